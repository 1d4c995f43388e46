"""Who asks, when, and with which history."""

from __future__ import annotations

from dataclasses import dataclass

from feature_store.arrays import IntArray
from feature_store.point_in_time.histories import Histories
from recmem.dataset.dataset import Dataset
from recmem.matching.user_memory import HISTORY


@dataclass(frozen=True, eq=False)
class QueryBatch:
    """Who asks, and when; with histories of their own where the log is not to be read."""

    users: IntArray
    """User rows, -1 for users without events."""
    times: IntArray
    """Microseconds."""
    histories: Histories

    @classmethod
    def of(cls, dataset: Dataset, users: IntArray, times: IntArray) -> QueryBatch:
        """Queries whose histories are the log's, strictly before each time."""
        return cls(users, times, dataset.histories(users, times, HISTORY))

    def __len__(self) -> int:
        return len(self.users)

    def take(self, rows: IntArray) -> QueryBatch:
        """The given queries, in the given order."""
        return QueryBatch(self.users[rows], self.times[rows], self.histories.take(rows))
