"""Queries: users at times, each with the history that its candidates are matched against."""

from __future__ import annotations

from dataclasses import dataclass

from feature_store.arrays import IntArray
from feature_store.point_in_time.histories import Histories
from recmem.dataset.dataset import Dataset
from recmem.dataset.further_slots import with_further
from recmem.matching.user_memory import HISTORY


@dataclass(frozen=True, eq=False)
class QueryBatch:
    """Some queries; all arrays have one entry per query."""

    users: IntArray
    """User rows, -1 for unknown users and for queries whose history was given with the candidates."""
    times: IntArray
    """Microseconds."""
    histories: Histories
    """The newest `HISTORY` events of each user before the query's time, or the given history; with what is remembered
    of the user beside events."""
    described: IntArray | None = None
    """Whose attributes are read: user rows, -1 for unknown ones; None for `users`. A user whose history was given is
    none of `users`, and has attributes all the same."""

    @classmethod
    def of(cls, dataset: Dataset, users: IntArray, times: IntArray, described: IntArray | None = None) -> QueryBatch:
        """Queries whose histories are read from the log, strictly before each time. `described`: as the field."""
        return cls.with_histories(dataset, users, times, dataset.histories(users, times, HISTORY), described)

    @classmethod
    def with_histories(
        cls, dataset: Dataset, users: IntArray, times: IntArray, histories: Histories, described: IntArray | None
    ) -> QueryBatch:
        """Queries with these events, beside which is what else is remembered of the users that are described."""
        known = users if described is None else described
        return cls(users, times, with_further(dataset, known, times, histories), described)

    @property
    def described_users(self) -> IntArray:
        """User rows whose attributes are read, -1 for unknown users."""
        return self.users if self.described is None else self.described

    def __len__(self) -> int:
        return len(self.users)

    def take(self, rows: IntArray) -> QueryBatch:
        """The given queries, in the given order."""
        described = None if self.described is None else self.described[rows]
        return QueryBatch(self.users[rows], self.times[rows], self.histories.take(rows), described)
