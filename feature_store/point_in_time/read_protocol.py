"""What histories and counters read from a log, however it is kept: as one, with a growing tail, or in Redis."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from feature_store.arrays import Int8Array, IntArray
from feature_store.ragged import Ragged

END_OF_TIME = int(np.iinfo(np.int64).max)
"""Later than every time: stands for "never". Compare with it only: the sum with anything overflows."""
START_OF_TIME = -END_OF_TIME
"""Earlier than every time. Compare with it only, too."""


@dataclass(frozen=True, eq=False)
class Past:
    """Events of several users, those known first in front in each row; all arrays have one entry per event."""

    items: Ragged
    """Item rows."""
    times: IntArray
    """When each happened, microseconds."""
    known: IntArray
    """From when on it may be used, microseconds."""
    signs: Int8Array
    """+1 positive, 0 neutral, -1 negative."""

    @classmethod
    def concat(cls, parts: Sequence[Past]) -> Past:
        """The rows of all parts, of which there is at least one, one part after the other."""
        return cls(
            items=Ragged.concat([part.items for part in parts]),
            times=np.concatenate([part.times for part in parts]),
            known=np.concatenate([part.known for part in parts]),
            signs=np.concatenate([part.signs for part in parts]),
        )

    def only(self, events: IntArray) -> Past:
        """The events at the given places, which ascend; the rows stay, though one may become empty."""
        lengths = np.bincount(self.items.row_index[events], minlength=len(self.items))
        items = Ragged.from_lengths(self.items.values[events], lengths)
        return Past(items, self.times[events], self.known[events], self.signs[events])


class AsOf(Protocol):
    """Reads of a log as of times (microseconds): what was known then, by `as_of_join.known_at`.

    An event that is cancelled later is still read as of the times before its cancellation became known.
    """

    def past(self, users: IntArray, times: IntArray, limit: int | None = None) -> Past:
        """The last `limit` events of user `users[n]` as of `times[n]`, or all; a user row of -1 has none."""
        ...

    def seen(self, users: IntArray, times: IntArray) -> Ragged:
        """Item rows of all events of user `users[n]` as of `times[n]`, in no order."""
        ...

    def user_counts(self, users: IntArray, times: IntArray) -> tuple[IntArray, IntArray]:
        """How many events each user has, and when the newest happened (0 without any)."""
        ...

    def item_counts(self, items: IntArray, times: IntArray, windows: Sequence[int]) -> list[IntArray]:
        """How many events each item has in all, then how many became known within each window before the time."""
        ...

    def item_firsts(self, items: IntArray, times: IntArray) -> tuple[IntArray, IntArray]:
        """When each item's first event became known, and when it happened. The item must have one at the time."""
        ...

    def item_lasts(self, items: IntArray, times: IntArray) -> tuple[IntArray, IntArray]:
        """When each item's newest event became known, and when it happened. The item must have one at the time.

        The newest event is the one that happened last among those known at the time; of several, the one known last.
        """
        ...
