"""Which columns of items are named as telling the future, on logs whose right answer is known."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
import polars as pl
import pytest

from feature_store.schema import EVENTS, IMPRESSIONS, ITEM_CHANGES
from five_item_dataset import CONFIG
from recmem.dataset.catalogue import Catalogue
from recmem.dataset.dataset import Dataset
from strategies import UTC_US
from training.item_columns import column_warnings, future_correlations

N_ITEMS = 200
N_EVENTS = 4000
SPLIT = 700
END = 1000
IDS = pl.Series("item_id", [f"i{number:03d}" for number in range(N_ITEMS)])


@functools.cache
def choices() -> tuple[np.ndarray, np.ndarray]:
    """Items and times of a log in which popularity drifts, and a low price helps a little."""
    random = np.random.default_rng(0)
    popularity = random.lognormal(0, 1, N_ITEMS) * price() ** -0.3
    items = []
    for _ in range(20):
        popularity = popularity * random.lognormal(0, 0.2, N_ITEMS)
        items.append(random.choice(N_ITEMS, N_EVENTS // 20, p=popularity / popularity.sum()))
    return np.concatenate(items), np.arange(N_EVENTS) * END // N_EVENTS


@functools.cache
def price() -> np.ndarray:
    return np.random.default_rng(1).lognormal(1, 0.5, N_ITEMS)


def counts(begin: int, end: int) -> np.ndarray:
    """How often each item is chosen between two times."""
    items, times = choices()
    return np.bincount(items[(times > begin) & (times <= end)], minlength=N_ITEMS).astype(float)


def stored(table: Any, rows: dict[str, Any]) -> pl.DataFrame:
    """Rows of a table, whose other columns are null."""
    schema = table.schema()
    frame = pl.DataFrame(rows).with_columns(
        pl.lit(None, dtype).alias(name) for name, dtype in schema.items() if name not in rows
    )
    return frame.cast({name: dtype for name, dtype in schema.items() if name in frame.columns})


def times_of(times: np.ndarray) -> pl.Series:
    return pl.Series(times, dtype=pl.Int64).cast(UTC_US)


def dataset(columns: dict[str, Any], changes: pl.DataFrame | None = None, *, as_clicks: bool = False) -> Dataset:
    """The log with these columns of its items; all but its first choice may be clicks of impressions."""
    items, times = choices()
    n_events = 1 if as_clicks else N_EVENTS
    events = {"item_id": IDS.gather(items), "timestamp": times_of(times), "user_id": ["u"] * N_EVENTS}
    shown = events | {"impression_id": [str(n) for n in range(N_EVENTS)], "label": [1] * N_EVENTS}
    impressions = stored(IMPRESSIONS, shown)[: N_EVENTS if as_clicks else 0]
    catalogue = Catalogue.of(pl.DataFrame({"item_id": IDS, "title": IDS, **columns}), ("title",))
    return Dataset.of(catalogue, stored(EVENTS, events)[:n_events], impressions, CONFIG, item_changes=changes)


def named(made: Dataset) -> list[str]:
    return [warning.partition(":")[0] for warning in column_warnings(made, SPLIT)]


@pytest.mark.parametrize("as_clicks", [False, True], ids=["events", "impressions"])
def test_columns_that_sum_up_the_future_are_named_and_others_are_not(as_clicks: bool) -> None:
    noise = np.random.default_rng(2).normal(size=N_ITEMS)
    columns = {
        "sales_to_date": counts(-1, END),
        "coming_sales": counts(SPLIT, END),
        "sales_last_month": counts(END - 100, END),
        "stock_left": 500 - counts(-1, END),
        "price": price(),
        "weight": noise,
        "rating": 3 + np.log1p(counts(-1, SPLIT)) / 3 + noise / 2,
        "sales_until_the_split": counts(-1, SPLIT),
        "constant": np.ones(N_ITEMS),
    }
    expected = ["items.coming_sales", "items.sales_last_month", "items.sales_to_date", "items.stock_left"]
    assert named(dataset(columns, as_clicks=as_clicks)) == expected


def test_the_correlation_of_the_later_events_themselves_is_one() -> None:
    found = future_correlations(dataset({"coming_sales": counts(SPLIT, END), "missing": [None] * 200}), SPLIT)
    correlation, n_items = found["coming_sales"]
    assert correlation == pytest.approx(1)
    assert n_items == int((counts(-1, SPLIT) > 0).sum())
    assert "missing" not in found


def test_few_items_and_a_log_without_later_events_are_not_judged() -> None:
    few = [number if place < 25 else None for place, number in enumerate(counts(SPLIT, END))]
    assert named(dataset({"coming_sales": few})) == []
    assert future_correlations(dataset({"coming_sales": counts(SPLIT, END)}), END) == {}


def test_a_column_with_times_is_not_judged_but_items_without_a_dated_value_are_counted() -> None:
    changes = stored(ITEM_CHANGES, {"item_id": IDS[:150], "timestamp": times_of(np.full(150, SPLIT))})
    changes = changes.with_columns(coming_sales=pl.Series(counts(SPLIT, END)[:150]))
    (warning,) = column_warnings(dataset({"coming_sales": counts(SPLIT, END)}, changes), SPLIT)
    assert warning == (
        "items.coming_sales: 50 of 200 items have a value without a time, from before the column came with times. It "
        "is not read: give these items once more, with a `timestamp`."
    )
