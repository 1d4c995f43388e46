from __future__ import annotations

from datetime import UTC, date, datetime

import polars as pl
import pytest

from feature_store.warnings.date_columns import holds_dates

DAY = date(2026, 3, 1)


@pytest.mark.parametrize(
    "column",
    [
        pl.Series([DAY, None]),
        pl.Series([datetime(2026, 3, 1, tzinfo=UTC)]),
        pl.Series(["2026-03-01", None, " 2025-12-24 ", ""]),
        pl.Series(["2026-03-01T12:00:00Z"]),
        pl.Series(["1.3.2026", "24/12/25"]),
        pl.Series(["2026/03/01", "2026/3/1 10:05", "20260301T100500Z"]),
        pl.Series(["2026-03-01"] * 19 + ["soon"]),
    ],
)
def test_dates_are_dates_as_types_and_as_texts(column: pl.Series) -> None:
    assert holds_dates(column)


@pytest.mark.parametrize(
    "column",
    [
        pl.Series(["2026-03-01", "soon"]),
        pl.Series([20260301]),
        pl.Series(["20260301", "1.5", "10-12", "2026/03", "2026/03/01/7"]),
        pl.Series([None, ""], dtype=pl.String),
        pl.Series(["from 2026-03-01 on"]),
    ],
)
def test_other_columns_are_not(column: pl.Series) -> None:
    assert not holds_dates(column)
