"""Columns of candidates and impressions that the ranker reads as features: numbers, or text of a fixed vocabulary."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl

from feature_store.arrays import Float32Array, IntArray
from feature_store.cell_parsing import parse_attribute
from feature_store.data_errors import ColumnProblem
from feature_store.warnings.missing_columns import remedy_for_missing
from feature_store.whole_numbers import finite_numbers

MAX_CATEGORIES = 1000
"""Values of a column of text that the ranker tells apart, the most frequent; the others count as missing."""


@dataclass(frozen=True)
class CandidateFeature:
    """A column of the candidates that is a feature of the ranker. Fixed in training, and carried in the bundle."""

    name: str
    """Of the column."""
    categories: tuple[str, ...] | None = None
    """The values of a column of text, each once; None for a column of numbers."""
    typical: float | None = None
    """The median, or the place of the most frequent category; None if all values are missing. Items that recmem
    retrieves itself have no such column: there all get this value, so that it ranks none above another."""

    def __post_init__(self) -> None:
        categories = self.categories or ()
        where = f"candidate_features.{self.name[:60]!r}"
        if len(set(categories)) < len(categories) or len(categories) > MAX_CATEGORIES:
            raise ValueError(
                f"{where}: expected at most {MAX_CATEGORIES:,} categories, each once, got {len(categories):,}. "
                "Train again."
            )
        if not abs(self.typical or 0.0) <= float(np.finfo(np.float32).max):
            raise ValueError(f"{where}: expected a typical value in float32, got {self.typical}. Train again.")
        if self.categories is not None and self.typical not in (None, *range(len(categories))):
            raise ValueError(f"{where}: expected a category as typical value, got {self.typical}. Train again.")

    @property
    def dtype(self) -> pl.DataType:
        """What the column is read as."""
        return pl.Float64() if self.categories is None else pl.String()

    @property
    def example(self) -> float | str | None:
        """The typical value as candidates bring it; None if there is none."""
        if self.typical is None or self.categories is None:
            return self.typical
        return self.categories[int(self.typical)]

    def values(self, column: pl.Series) -> Float32Array:
        """The feature of each row of a column of `dtype`: float32[row].

        Numbers, or the place of the row's text among the categories. NaN for nulls, numbers that float32 does not hold,
        and texts that training did not have.
        """
        if self.categories is None:
            numbers = column.cast(pl.Float32, strict=False)
        elif not self.categories:
            numbers = pl.Series([None] * len(column), dtype=pl.Float32)
        else:
            places = list(range(len(self.categories)))
            numbers = column.replace_strict(list(self.categories), places, default=None, return_dtype=pl.Float32)
        values = numbers.to_numpy().copy()
        values[~np.isfinite(values)] = np.nan
        return values

    def typical_values(self, n: int) -> Float32Array:
        """What `n` items count as for which nobody gave a value: float32[n]."""
        return np.full(n, np.nan if self.typical is None else self.typical, np.float32)

    @classmethod
    def of(cls, column: pl.Series) -> CandidateFeature:
        """The feature that a column of the store's impressions makes, which holds numbers or text."""
        if column.dtype.is_numeric():
            numbers = cls(column.name).values(column)
            known = numbers[np.isfinite(numbers)]
            return cls(column.name, None, float(np.median(known)) if len(known) else None)
        counts = column.drop_nulls().value_counts().sort(["count", column.name], descending=[True, False])
        frequent = counts[column.name].head(MAX_CATEGORIES).to_list()
        categories = tuple(sorted(frequent))
        return cls(column.name, categories, float(categories.index(frequent[0])) if frequent else None)


def read_features(
    frame: pl.DataFrame, features: Sequence[CandidateFeature]
) -> tuple[dict[str, Float32Array], list[ColumnProblem]]:
    """The features of each row of a frame of candidates by name, float32[row], and what is wrong with its columns.

    Nothing for what is no polars frame: `check_candidates` refuses it.
    """
    values: dict[str, Float32Array] = {}
    problems: list[ColumnProblem] = []
    for feature in features if isinstance(frame, pl.DataFrame) else ():
        if feature.name not in frame.columns:
            expected = "the column, which is a feature of this model"
            remedy = remedy_for_missing(feature.name, frame.columns)
            problems.append(ColumnProblem(feature.name, expected, "none", f"{remedy} Nulls count as missing."))
            continue
        column, found = _parsed(frame[feature.name], feature)
        problems += found
        values[feature.name] = feature.values(column)
    return values, problems


def feature_faults(column: pl.Series, feature: CandidateFeature) -> list[ColumnProblem]:
    """What is wrong with the cells of a column of candidates that is this feature."""
    return _parsed(column, feature)[1]


def distinct_rows(columns: Iterable[Float32Array]) -> IntArray:
    """A number for each row of some columns of one length, equal for equal rows, whatever order they are in."""
    # As integers, because NaN is equal to nothing; + 0 makes -0 the same as 0.
    bits = np.stack([np.ascontiguousarray(column + np.float32(0)).view(np.int32) for column in columns], axis=1)
    inverse: IntArray = np.unique(bits, axis=0, return_inverse=True)[1].reshape(-1).astype(np.int64)
    return inverse


def _parsed(column: pl.Series, feature: CandidateFeature) -> tuple[pl.Series, list[ColumnProblem]]:
    parsed, problems = parse_attribute(as_categories(column, feature), feature.dtype)
    return (pl.Series([], dtype=feature.dtype) if parsed is None else parsed), problems


def as_categories(column: pl.Series, feature: CandidateFeature) -> pl.Series:
    """Numbers, true and false of a column as the feature's categories write them; other columns as they are.

    A category 3 or "True" may come as 3.0 from pandas, where some are missing, and as true from CSV. Each cell is read
    by itself, so that it counts the same in any frame.
    """
    if feature.categories is None or not (column.dtype.is_float() or column.dtype == pl.Boolean):
        return column
    if column.dtype.is_float():
        text = column.fill_nan(None).cast(pl.String)
        same_value = _categories_of_value(column, feature.categories)
        return text.zip_with(text.is_in(feature.categories) | same_value.is_null(), same_value)
    text = column.cast(pl.String)
    written = {category.lower(): category for category in feature.categories}
    return text.replace(written) if "true" in written or "false" in written else column


def _categories_of_value(column: pl.Series, categories: Sequence[str]) -> pl.Series:
    """The category that is the same number as each cell, however it is written; null for none."""
    numbers = finite_numbers(pl.Series(categories, dtype=pl.String))
    written = {number: text for number, text in zip(numbers, categories, strict=True) if number is not None}
    values = list(written.values())
    return column.cast(pl.Float64).replace_strict(list(written), values, default=None, return_dtype=pl.String)
