"""What the users table says of users, as of any time: their attributes and declared interests."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np
import polars as pl

from feature_store.arrays import Float32Array, IntArray
from feature_store.point_in_time.event_log import rows_of
from feature_store.point_in_time.log_clock import log_clock
from feature_store.point_in_time.newest_rows import ALWAYS, NewestRows, when_change_known, when_changed
from feature_store.ragged import Ragged
from feature_store.schema import USERS
from recmem.dataset.candidate_features import CandidateFeature, as_categories
from recmem.dataset.interests import Encode, InterestVectors, interest_parts, interest_texts


@dataclass(frozen=True, eq=False)
class UserProfiles:
    """The rows of the users table, each of which holds from its time on, until the user's next one."""

    table: pl.DataFrame
    """Checked rows of the users table; of a user and timestamp, the last one counts."""
    ids: pl.Series
    """The distinct user ids, sorted."""
    interests: InterestVectors = field(default_factory=InterestVectors, repr=False)
    """Of all texts that `encoded` was called for."""
    _columns: dict[CandidateFeature, Float32Array] = field(default_factory=dict, repr=False)
    _texts: dict[str, list[str]] = field(default_factory=dict, repr=False)
    _parts: dict[str, list[list[str]]] = field(default_factory=dict, repr=False)

    @classmethod
    def of(cls, table: pl.DataFrame, interests: InterestVectors | None = None) -> UserProfiles:
        """The profiles of a store's `users` table, with the vectors of interests that are known already."""
        rows = table.unique(list(USERS.identity), keep="last", maintain_order=True)
        return cls(rows, rows["user_id"].unique().sort(), interests or InterestVectors())

    @classmethod
    def none(cls) -> UserProfiles:
        """The profiles of a store without a users table."""
        return cls.of(pl.DataFrame(schema=USERS.schema()))

    def __len__(self) -> int:
        """The number of users."""
        return len(self.ids)

    def table_beside(self, rows: pl.DataFrame) -> pl.DataFrame:
        """The table, with ids of the type of these checked rows where it is empty and has not decided it."""
        return self.table if len(self) else self.table.cast({"user_id": rows.schema["user_id"]})

    def with_rows(self, rows: pl.DataFrame) -> UserProfiles:
        """The profiles after these checked rows of the users table, of which the last of a user and time counts."""
        return UserProfiles.of(pl.concat([self.table_beside(rows), rows], how="diagonal_relaxed"), self.interests)

    def encoded(self, column: str, encode: Encode) -> UserProfiles:
        """The profiles with the vectors of all interests in this column, as a whole and one by one; "" is no column."""
        if not column:
            return self
        single = (part for parts in self._parts_of(column) for part in parts)
        return replace(self, interests=self.interests.with_texts([*self._texts_of(column), *single], encode))

    def interest_rows(self, column: str, rows: IntArray) -> IntArray:
        """Where the interests in these rows of the table stand in `interests.vectors`, -1 for none: int64."""
        texts = self._texts_of(column)
        return self.interests.rows_of(texts[row] if row >= 0 else "" for row in rows.tolist())

    def interest_parts(self, column: str, rows: IntArray) -> Ragged:
        """Where the single interests in these rows of the table stand in `interests.vectors`; none for a row of -1."""
        parts = self._parts_of(column)
        return Ragged.from_lists([self.interests.rows_of(parts[row] if row >= 0 else []) for row in rows.tolist()])

    def times(self, rows: IntArray) -> IntArray:
        """When these rows of the table happened, microseconds: int64; `ALWAYS` without a time, and for a row of -1."""
        happened = np.append(self._changed_at, ALWAYS)
        return happened[rows]

    def _parts_of(self, column: str) -> list[list[str]]:
        """The single interests in each row of the table."""
        if column not in self._parts:
            has_column = self.table.schema.get(column) == pl.String
            # Two threads may both compute it, and get the same.
            self._parts[column] = interest_parts(self.table[column]) if has_column else [[]] * len(self.table)
        return self._parts[column]

    def _texts_of(self, column: str) -> list[str]:
        """The interests in each row of the table."""
        if column not in self._texts:
            has_column = self.table.schema.get(column) == pl.String
            # Two threads may both compute it, and get the same.
            self._texts[column] = interest_texts(self.table[column]) if has_column else [""] * len(self.table)
        return self._texts[column]

    def rows_at(self, users: IntArray, times: IntArray, user_ids: pl.Series) -> IntArray:
        """The row of the table that holds for each user at its time, strictly before it; -1 for none: int64[query].

        `users` are rows of `user_ids`, -1 for unknown ones; `times` are microseconds.
        """
        if not len(self):
            return np.full(len(users), -1, np.int64)
        distinct, place = np.unique(users, return_inverse=True)
        keys = np.full(len(distinct), -1, np.int64)
        is_known = distinct >= 0
        keys[is_known] = rows_of(user_ids.gather(distinct[is_known]), self.ids).to_numpy()
        return self._newest.at(keys[place], times)

    def values(self, feature: CandidateFeature, rows: IntArray) -> Float32Array:
        """The feature in these rows of the table: float32, NaN for a row of -1, else see `CandidateFeature.values`."""
        column = self._columns.get(feature)
        if column is None:
            # Two threads may both compute it, and get the same.
            column = self._columns.setdefault(feature, self._values(feature))
        return np.where(rows >= 0, column[rows], np.float32(np.nan)) if len(column) else _missing(len(rows))

    def _values(self, feature: CandidateFeature) -> Float32Array:
        if feature.name not in self.table.columns:
            return _missing(len(self.table))
        return feature.values(as_categories(self.table[feature.name], feature).cast(feature.dtype, strict=False))

    @cached_property
    def clock(self) -> int:
        """The first microsecond at which all dated rows are known, but for a few that lie far ahead; else `ALWAYS`."""
        known = self.table.select(when_change_known()).to_series().to_numpy()
        dated = known[known > ALWAYS]
        return log_clock(int(dated.max()), dated) if len(dated) else ALWAYS

    @cached_property
    def _changed_at(self) -> IntArray:
        """When each row of the table happened, microseconds: int64[row]."""
        happened: IntArray = self.table.select(when_changed()).to_series().to_numpy()
        return happened

    @cached_property
    def _newest(self) -> NewestRows:
        keys = rows_of(self.table["user_id"], self.ids).to_numpy()
        known = self.table.select(when_change_known()).to_series().to_numpy()
        return NewestRows(keys, self._changed_at, known)


def _missing(n: int) -> Float32Array:
    return np.full(n, np.nan, np.float32)
