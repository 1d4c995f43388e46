"""What histories and counters ask of a log, whichever way it is kept: in one piece, or with a tail that grows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from feature_store.arrays import Int8Array, IntArray
from feature_store.ragged import Ragged


@dataclass(frozen=True, eq=False)
class Past:
    """Events of several users, the oldest known first in each row; all arrays have one entry per event."""

    items: Ragged
    """Item rows."""
    times: IntArray
    """When each happened, microseconds."""
    known: IntArray
    """From when on it may be used."""
    signs: Int8Array
    """+1 for, 0 neutral, -1 against."""

    @classmethod
    def concat(cls, parts: Sequence[Past]) -> Past:
        """The rows of all parts, of which there is at least one, one part after the other."""
        times, known, signs = (
            np.concatenate(columns) for columns in zip(*((p.times, p.known, p.signs) for p in parts), strict=True)
        )
        return cls(Ragged.concat([part.items for part in parts]), times, known, signs)

    def only(self, events: IntArray) -> Past:
        """Some of the events, whose places ascend; the rows stay, though one may become empty."""
        lengths = np.bincount(self.items.row_index[events], minlength=len(self.items))
        items = Ragged.from_lengths(self.items.values[events], lengths)
        return Past(items, self.times[events], self.known[events], self.signs[events])


class AsOf(Protocol):
    """Reads of a log as of moments (microseconds): what was known then, by `point_in_time.known_at`."""

    def past(self, users: IntArray, times: IntArray, limit: int | None = None) -> Past:
        """The last `limit` events of user `users[n]` as of `times[n]`, or all; a user row of -1 has none."""
        ...

    def seen(self, users: IntArray, times: IntArray) -> Ragged:
        """Item rows of all events of user `users[n]` as of `times[n]`, in no order."""
        ...

    def user_counts(self, users: IntArray, times: IntArray) -> tuple[IntArray, IntArray]:
        """Events of each user, and when the newest happened (0 where there is none)."""
        ...

    def item_counts(self, items: IntArray, times: IntArray, windows: Sequence[int]) -> list[IntArray]:
        """Events of each item in all, then those that became known within each window before the time."""
        ...

    def item_firsts(self, items: IntArray, times: IntArray) -> tuple[IntArray, IntArray]:
        """When the first event of each item became known, and when it happened; for items that have one at the time."""
        ...

    def item_lasts(self, items: IntArray, times: IntArray) -> tuple[IntArray, IntArray]:
        """When the newest event of each item became known, and when it happened; for items that have one at the time.

        The newest is the one that happened last among those known at the time; of several, the one known last.
        """
        ...


END_OF_TIME = int(np.iinfo(np.int64).max)
"""Later than every time: stands for "never". Nothing may be added to it."""
START_OF_TIME = -END_OF_TIME
"""Earlier than every time."""
