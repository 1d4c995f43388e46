"""Whole numbers of every numeric dtype: exact, or null. tests/recmem/serving/test_ids.py has them as ids."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import polars as pl
import pytest

from feature_store.whole_numbers import is_rounded, whole_numbers


@pytest.mark.parametrize(
    ("cells", "dtype", "expected"),
    [
        ([7, -7, None], pl.Int8, [7, -7, None]),
        ([2**63 - 1, 2**63], pl.UInt64, [2**63 - 1, None]),
        ([2.0**53, 2.0**53 + 2, -3.0, 0.5], pl.Float64, [2**53, None, -3, None]),
        ([2047.0, 2048.0], pl.Float16, [2047, None]),
        ([2.0**24 - 1, -(2.0**24)], pl.Float32, [2**24 - 1, None]),
        ([float("inf"), float("nan")], pl.Float32, [None, None]),
        ([Decimal("-3.99"), Decimal("12.00"), None], pl.Decimal(10, 2), [None, 12, None]),
        ([Decimal(2**63 - 1), Decimal(2**63)], pl.Decimal(38, 0), [2**63 - 1, None]),
    ],
)
def test_a_number_is_whole_and_exact_or_null(cells: list[Any], dtype: Any, expected: list[int | None]) -> None:
    found = whole_numbers(pl.Series(cells, dtype=dtype))
    assert (found.to_list(), found.dtype) == (expected, pl.Int64)


def test_only_short_floats_are_rounded_where_they_are_large() -> None:
    assert is_rounded(pl.Series([1.0, 3e7, None, float("nan")], dtype=pl.Float32)).to_list() == [
        False,
        True,
        False,
        False,
    ]
    assert not is_rounded(pl.Series([1e300])).any()
    assert not is_rounded(pl.Series([2**62])).any()
