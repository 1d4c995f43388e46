"""Numbers of items as of a time, from rows of the table `item_changes`."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import polars as pl

from feature_store.point_in_time.item_history import ItemHistory
from feature_store.schema import ITEM_CHANGES
from strategies import as_datetime
from tolerances import close

ITEMS = pl.Series("item_id", ["a", "b", "c"])
NAN = math.nan


def changes(*rows: dict[str, Any]) -> pl.DataFrame:
    """Rows of the table: `item`, `at`, numbers, and perhaps `arrives`, `event_id` and `cancels`."""
    renamed = [
        {
            "item_id": row["item"],
            "timestamp": as_datetime(row["at"]),
            "available_at": as_datetime(row.get("arrives")),
            "event_id": row.get("event_id"),
            "cancels": row.get("cancels"),
            **{name: cell for name, cell in row.items() if name in ("price", "rating", "time")},
        }
        for row in rows
    ]
    own = ITEM_CHANGES.schema()
    names = dict.fromkeys(name for row in renamed for name in row)
    return pl.DataFrame(renamed, schema={name: own.get(name, pl.Float64()) for name in names})


def values(table: pl.DataFrame, name: str, *asked: tuple[int, int]) -> np.ndarray:
    """The column of (item row, time) pairs."""
    items, times = np.array(asked, np.int64).T
    return ItemHistory.of(table, ITEMS).values(name, items, times)


def test_a_row_holds_after_its_time_until_the_items_next_one() -> None:
    table = changes({"item": "a", "at": 5, "price": 1.0}, {"item": "a", "at": 8, "price": 2.0})
    asked = [(0, time) for time in (4, 5, 6, 8, 9, 99)]
    close(values(table, "price", *asked), [NAN, NAN, 1, 1, 2, 2], "exact")


def test_an_item_without_rows_and_one_outside_the_catalogue_are_missing() -> None:
    table = changes({"item": "zz", "at": 1, "price": 9.0}, {"item": "b", "at": 1, "price": 3.0})
    close(values(table, "price", (0, 9), (1, 9), (2, 9)), [NAN, 3, NAN], "exact")


def test_an_empty_cell_is_missing_from_then_on_and_a_row_without_the_column_changes_nothing() -> None:
    table = changes(
        {"item": "a", "at": 1, "price": 5.0, "rating": 4.0},
        {"item": "a", "at": 3, "price": NAN, "rating": None},
    )
    close(values(table, "price", (0, 2), (0, 4)), [5, NAN], "exact")
    close(values(table, "rating", (0, 2), (0, 4)), [4, 4], "exact")


def test_a_late_row_counts_from_its_arrival_and_never_over_a_later_one() -> None:
    table = changes(
        {"item": "a", "at": 1, "price": 1.0, "arrives": 6},
        {"item": "a", "at": 4, "price": 4.0},
        {"item": "b", "at": 1, "price": 1.0, "arrives": 6},
    )
    close(values(table, "price", (0, 4), (0, 5), (0, 7), (1, 5), (1, 6)), [NAN, 4, 4, NAN, 1], "exact")


def test_a_cancelled_row_gives_way_to_the_one_before_it_from_then_on() -> None:
    table = changes(
        {"item": "a", "at": 1, "price": 1.0},
        {"item": "a", "at": 3, "price": 300.0, "event_id": "typo"},
        {"item": "a", "at": 6, "cancels": "typo"},
        {"item": "b", "at": 3, "price": 2.0, "event_id": "typo2", "arrives": 9},
        {"item": "b", "at": 4, "cancels": "typo2"},
    )
    close(values(table, "price", (0, 3), (0, 4), (0, 6), (0, 7)), [1, 300, 300, 1], "exact")
    close(values(table, "price", (1, 4), (1, 20)), [NAN, NAN], "exact")


def test_columns_may_have_any_name_and_the_order_of_rows_does_not_matter() -> None:
    rows = [{"item": "a", "at": at, "time": float(at)} for at in (1, 2, 3)]
    for table in (changes(*rows), changes(*rows[::-1])):
        close(values(table, "time", (0, 1), (0, 2), (0, 3), (0, 4)), [NAN, 1, 2, 3], "exact")


def test_what_float32_cannot_hold_is_missing() -> None:
    table = changes({"item": "a", "at": 1, "price": 1e300}, {"item": "b", "at": 1, "price": math.inf})
    close(values(table, "price", (0, 9), (1, 9)), [NAN, NAN], "exact")


def test_a_table_without_rows_has_no_columns() -> None:
    assert ItemHistory.of(pl.DataFrame(schema=ITEM_CHANGES.schema()), ITEMS).columns == ()
