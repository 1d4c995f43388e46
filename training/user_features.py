"""Columns of the users table that become features of the ranker: which do, and what they are."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import polars as pl

from feature_store import USERS, DataError
from feature_store.settings import check_settings, setting
from recmem.dataset.candidate_features import CandidateFeature

MOST_VALUES = 100
"""A column of text with more different values is no category, unless it is named."""


@dataclass(frozen=True)
class UsersConfig:
    """What is read of the users table."""

    features: tuple[str, ...] = setting((), low=1, words="a list of names of columns")
    """Columns of the users table that are features of the ranker. An empty list: all columns of numbers, and those of
    text with at most 100 different values, which at least two users share on average."""

    interests: str = setting("interests", low=0, high=10_000)
    """The column of the users table that holds what users have declared to be interested in, as text. An empty name:
    none is read."""

    def __post_init__(self) -> None:
        check_settings(self, self._conflicts)

    def _conflicts(self) -> Iterator[str]:
        own = [name for name in self.features if name in USERS.schema()]
        if own:
            yield f"features: expected attributes of users, got {own[0]!r}, which is none. Leave it out."
        if len(set(self.features)) < len(self.features):
            yield f"features: expected each column once, got {', '.join(self.features)}. Remove the repeated one."


def user_features(users: pl.DataFrame, config: UsersConfig) -> tuple[CandidateFeature, ...]:
    """The features that the columns of the store's users table make; none without such a table.

    Raises DataError if a column that is named is missing, or holds neither numbers nor text.
    """
    names = config.features or user_feature_names(users, config.interests)
    return tuple(_feature(users, name) for name in names)


def interests_column(users: pl.DataFrame, config: UsersConfig) -> str:
    """The column that holds declared interests; "" if there is none.

    Raises DataError if it is named and missing, or holds no text.
    """
    name = config.interests
    if not name or (name not in users.columns and name == UsersConfig.interests):
        return ""
    dtype = users.schema.get(name)
    if dtype != pl.String:
        got = "none in the store" if dtype is None else f"a column of {dtype}"
        raise DataError(
            f"users.{name}: expected a column of text, which holds declared interests, got {got}. Give one, or name "
            "another in the setting users.interests."
        )
    return name if users[name].count() else ""


def user_feature_names(users: pl.DataFrame, interests: str) -> tuple[str, ...]:
    """The columns that are features where none is named, in order of their names; not the one of interests."""
    own = [name for name in users.columns if name not in (*USERS.schema(), interests)]
    return tuple(sorted(name for name in own if users.schema[name].is_numeric() or _is_category(users, name)))


def _is_category(users: pl.DataFrame, name: str) -> bool:
    """Whether a column of text has few values, of which each is that of several users: no name, and no address."""
    if users.schema[name] != pl.String:
        return False
    filled = users.select("user_id", name).drop_nulls()
    n_values = filled[name].n_unique()
    return n_values <= MOST_VALUES and 2 * n_values <= filled["user_id"].n_unique()


def _feature(users: pl.DataFrame, name: str) -> CandidateFeature:
    if name not in users.columns:
        got = "no users table" if users.is_empty() else f"none in the store, which has {', '.join(users.columns)}"
        raise DataError(
            f"users.{name}: expected a column with values, which is to be a feature, got {got}. Give a users table "
            "that has it, or take it out of the setting users.features."
        )
    column = users[name]
    if not (column.dtype.is_numeric() or column.dtype == pl.String):
        raise DataError(
            f"users.{name}: expected numbers or text for a feature, got {column.dtype}. Convert it, for example to a "
            "number of years."
        )
    # Users of whom nothing is known are missing values in training too.
    return replace(CandidateFeature.of(column), typical=None)
