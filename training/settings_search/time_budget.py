"""Whether another trial fits into the time that is left, by how long those before it took."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from training.settings_search.study import BASE, Trial


class TimeBudget:
    """The time of one call, from its begin."""

    def __init__(self, minutes: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._ends = clock() + minutes * 60

    def left_s(self) -> float:
        """Seconds that are left, 0 if none are."""
        return max(self._ends - self._clock(), 0.0)

    def fits(self, group: str, trials: Sequence[Trial], *, has_pairs: bool) -> bool:
        """Whether a trial of the group would end in time. The base configuration is always measured.

        `has_pairs`: whether the ranker's features of the best trial are in memory, so that only rankers are fitted.
        """
        return group == BASE or expected_s(group, trials, has_pairs=has_pairs) <= self.left_s()


def expected_s(group: str, trials: Sequence[Trial], *, has_pairs: bool) -> float:
    """Seconds that a trial of the group takes: as long as the longest so far, since a trial cannot be cut short.

    Without one of its group, or without its features, as long as the base configuration's.
    """
    base = [trial.seconds for trial in trials if trial.group == BASE]
    own = [trial.seconds for trial in trials if trial.group == group]
    if group == "ranker" and has_pairs:
        own = own or [trial.ranking_s for trial in trials]
    elif group == "ranker":
        own += base
    return max(own or base, default=0.0)
