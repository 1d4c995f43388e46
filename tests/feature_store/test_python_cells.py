from __future__ import annotations

import polars as pl
import pytest

from feature_store.python_cells import with_python_times

FARTHEST = 2**63 - 1


@pytest.mark.parametrize(
    ("dtype", "number", "expected"),
    [
        (pl.Datetime("us"), FARTHEST, str(FARTHEST)),
        (pl.Datetime("us", "UTC"), -FARTHEST - 1, str(-FARTHEST - 1)),
        (pl.Datetime("ms"), 2**62, str(2**62)),
        (pl.Datetime("us"), 253_402_300_800_000_000, "+10000-01-01 00:00:00.000000"),
        (pl.Date(), 2**31 - 1, str(2**31 - 1)),
        (pl.Date(), 2_932_897, "+10000-01-01"),
    ],
)
def test_times_that_python_has_no_year_for_become_text(dtype: pl.DataType, number: int, expected: str) -> None:
    column = pl.Series("at", [number, None], dtype=pl.Int64).cast(pl.Int32 if dtype == pl.Date else pl.Int64)
    assert with_python_times(column.cast(dtype).to_frame()).rows() == [(expected,), (None,)]


def test_other_columns_stay_as_they_are() -> None:
    near = pl.DataFrame({"at": pl.Series([0, FARTHEST]).cast(pl.Datetime("ns")), "n": [1, None], "text": ["a", "b"]})
    assert with_python_times(near).equals(near)
