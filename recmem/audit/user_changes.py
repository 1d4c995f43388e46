"""Feeds the rows of the users table to an audit in the order in which they became known."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polars as pl

from feature_store.arrays import IntArray
from feature_store.point_in_time.newest_rows import when_change_known
from recmem.dataset.dataset import Dataset
from recmem.dataset.interests import InterestVectors
from recmem.dataset.user_profiles import UserProfiles


@dataclass(eq=False)
class UserChanges:
    """The rows of a users table, and how many of them were fed."""

    rows: pl.DataFrame
    """Sorted by when they became known."""
    known: IntArray
    """When that was, microseconds."""
    interests: InterestVectors
    n_fed: int = 0

    @classmethod
    def of(cls, dataset: Dataset) -> UserChanges:
        """The changes in a dataset's users table."""
        rows = dataset.profiles.table.with_columns(when_change_known().alias("\n")).sort("\n")
        return cls(rows.drop("\n"), rows["\n"].to_numpy(), dataset.profiles.interests)

    def known_at_first(self, time: int) -> UserProfiles:
        """What was known of users at the first time, microseconds."""
        return UserProfiles.of(self.since_last(time), self.interests)

    def since_last(self, time: int) -> pl.DataFrame:
        """The rows known at the time that were not fed yet."""
        begin = self.n_fed
        self.n_fed = max(int(np.searchsorted(self.known, time, side="right")), begin)
        return self.rows[begin : self.n_fed]
