"""Columns that hold dates: they are no features as they are."""

from __future__ import annotations

import polars as pl

DATE = (
    r"(\d{4}-\d{1,2}(-\d{1,2})?|\d{4}/\d{1,2}/\d{1,2}|\d{1,2}[./]\d{1,2}[./]\d{2,4})([T ]\d{1,2}:\d{2}.*)?"
    r"|\d{8}T\d{4}.*"
)
"""The forms of a whole cell that is a date or time, as a regular expression."""
_SAMPLE_ROWS = 1000
_LEAST_SHARE = 0.9
REMEDY = (
    "Give a number in its place, such as the age in days, or call the column `timestamp` if it says from when on a row "
    "holds"
)
"""What to do about a column of dates in items or users; `timestamp` has this meaning in both."""


def holds_dates(column: pl.Series) -> bool:
    """Whether a column is of a temporal type, or of texts of which nine in ten of a sample look like dates."""
    if column.dtype.is_temporal():
        return True
    if column.dtype != pl.String:
        return False
    sample = column.drop_nulls().str.strip_chars()
    sample = sample.filter(sample != "").head(_SAMPLE_ROWS)
    return bool(len(sample)) and int(sample.str.contains(f"^({DATE})$").sum()) >= _LEAST_SHARE * len(sample)
