"""Items with times, through the store: what is kept of each row, resubmissions, and what is refused."""

from __future__ import annotations

import json
import math
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from feature_store import ITEMS, DataError, Store
from feature_store.item_changes import n_waiting_changes, write_descriptions
from feature_store.resubmission import read_corrected, resubmit, write_correction_file
from feature_store.schema import ITEM_CHANGES


def day(number: int) -> datetime:
    return datetime(2026, 3, number, tzinfo=UTC)


def frame(*rows: dict[str, Any]) -> pl.DataFrame:
    """Rows of items: `item`, `on` (a day), and any columns."""
    return pl.DataFrame(
        [
            {"item_id": row["item"], "timestamp": day(row["on"])}
            | {name: cell for name, cell in row.items() if name not in ("item", "on")}
            for row in rows
        ],
        infer_schema_length=None,
    )


def history(store: Store, item: str, column: str) -> list[tuple[int, float | None]]:
    """The days and cells of an item's changes; "empty" for a cell that is given without a value."""
    rows = store.item_changes().filter(pl.col("item_id") == item).sort("timestamp")
    cells = ["empty" if cell is not None and math.isnan(cell) else cell for cell in rows[column]]
    return list(zip(rows["timestamp"].dt.day().to_list(), cells, strict=True))


def description(store: Store, item: str) -> dict[str, Any]:
    (row,) = store.items().filter(pl.col("item_id") == item).to_dicts()
    return row


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store.create(tmp_path / "store")


FIRST = (
    {"item": "a", "on": 5, "title": "blue pen", "price": 2.0},
    {"item": "a", "on": 1, "title": "pen", "price": 1.0},
    {"item": "b", "on": 1, "title": "ink", "price": None},
)


def test_every_row_is_a_change_and_the_newest_is_the_description(store: Store) -> None:
    receipt = store.append(ITEMS, frame(*FIRST))
    assert (receipt.n_new, receipt.n_duplicate, receipt.n_rejected) == (3, 0, 0)
    assert history(store, "a", "price") == [(1, 1.0), (5, 2.0)]
    assert history(store, "b", "price") == [(1, "empty")]
    assert description(store, "a") == {"item_id": "a", "title": "blue pen", "price": 2.0}
    assert set(store.versions()) == {"items", "item_changes", "rejected"}


def test_the_same_rows_again_are_duplicates_and_change_nothing(store: Store) -> None:
    store.append(ITEMS, frame(*FIRST))
    before = store.digest()
    receipt = store.append(ITEMS, frame(*FIRST))
    assert (receipt.n_new, receipt.n_duplicate) == (0, 3)
    assert store.digest() == before


def test_of_equal_times_the_first_counts_as_for_events(store: Store) -> None:
    store.append(ITEMS, frame(*FIRST))
    receipt = store.append(ITEMS, frame({"item": "a", "on": 5, "title": "blue pen", "price": 99.0}))
    assert history(store, "a", "price") == [(1, 1.0), (5, 2.0)]
    assert receipt.n_duplicate == 0  # it changed the description
    assert receipt.warnings == (
        "1 row has the item and timestamp of a stored row, but other numbers: the stored ones count. To correct a row, "
        "give one of a later time, or cancel it: see `cancels`.",
    )
    twice = frame(
        {"item": "c", "on": 2, "title": "c", "price": 1.0}, {"item": "c", "on": 2, "title": "c", "price": 7.0}
    )
    store.append(ITEMS, twice)
    assert history(store, "c", "price") == [(2, 1.0)]
    assert description(store, "c")["price"] == 1.0


def test_an_earlier_change_that_comes_later_leaves_the_description_but_fills_its_gaps(store: Store) -> None:
    store.append(ITEMS, frame({"item": "a", "on": 5, "title": "blue pen", "price": 2.0}))
    store.append(ITEMS, frame({"item": "a", "on": 2, "title": "pen", "price": 1.0, "brand": "Quill"}))
    assert history(store, "a", "price") == [(2, 1.0), (5, 2.0)]
    assert description(store, "a") == {"item_id": "a", "title": "blue pen", "price": 2.0, "brand": "Quill"}


def test_changes_of_numbers_alone_keep_the_texts_and_the_other_columns(store: Store) -> None:
    store.append(ITEMS, frame(*FIRST))
    store.append(ITEMS, frame({"item": "a", "on": 7, "rating": 4}))
    assert history(store, "a", "rating") == [(1, None), (5, None), (7, 4.0)]
    assert history(store, "a", "price") == [(1, 1.0), (5, 2.0), (7, None)]
    assert description(store, "a") == {"item_id": "a", "title": "blue pen", "price": 2.0, "rating": 4}


def test_a_new_column_at_stored_times_is_filled_in(store: Store) -> None:
    store.append(ITEMS, frame(*FIRST))
    rows = frame(
        {"item": "a", "on": 1, "price": 50.0, "stock": 10},
        {"item": "a", "on": 5, "price": 50.0, "stock": None},
    )
    assert store.append(ITEMS, rows).n_new == 2
    assert history(store, "a", "stock") == [(1, 10.0), (5, "empty")]
    assert history(store, "a", "price") == [(1, 1.0), (5, 2.0)]


def test_the_first_items_with_times_need_a_text_and_each_row_its_time(store: Store) -> None:
    with pytest.raises(DataError, match=r"items: expected at least one text column"):
        store.append(ITEMS, frame({"item": "a", "on": 1, "price": 1.0}))
    rows = frame(*FIRST).with_columns(timestamp=pl.when(pl.col("item_id") == "a").then("timestamp"))
    receipt = store.append(ITEMS, rows)
    assert (receipt.n_new, receipt.n_rejected) == (2, 1)
    assert list(receipt.reasons) == ["timestamp: expected a time, got null"]


def test_rejected_rows_are_corrected_and_resubmitted(store: Store, tmp_path: Path) -> None:
    rows = frame(*FIRST).with_columns(pl.col("timestamp").dt.strftime("%Y-%m-%d"))
    store.append(
        ITEMS, rows.with_columns(timestamp=pl.when(pl.col("price") == 2).then(pl.lit("soon")).otherwise("timestamp"))
    )
    assert history(store, "a", "price") == [(1, 1.0)]
    write_correction_file(store.rejected(), tmp_path / "rejected.jsonl")
    lines = read_corrected(tmp_path / "rejected.jsonl")
    lines[0]["row"]["timestamp"] = "2026-03-05"
    assert resubmit(store, json.loads(json.dumps(lines))).n_accepted == 1
    assert history(store, "a", "price") == [(1, 1.0), (5, 2.0)]
    assert store.rejected().is_empty()


def test_a_cancellation_is_a_row_of_its_own_and_leaves_the_description(store: Store) -> None:
    store.append(ITEMS, frame(*FIRST).with_columns(event_id=pl.Series(["typo", None, None])))
    cancel = frame({"item": "a", "on": 8, "cancels": "typo"})
    waiting = frame({"item": "b", "on": 8, "cancels": "typo"})
    assert store.append(ITEMS, pl.concat([cancel, waiting])).n_new == 2
    assert n_waiting_changes(store.item_changes()) == 1
    assert history(store, "a", "price") == [(1, 1.0), (5, 2.0), (8, None)]
    assert description(store, "a")["title"] == "blue pen"
    assert store.append(ITEMS, cancel).n_new == 0
    corrected = frame({"item": "a", "on": 5, "event_id": "right", "title": "blue pen", "price": 3.0})
    assert store.append(ITEMS, corrected).n_new == 1
    own = frame({"item": "b", "on": 9, "title": "x", "event_id": "e", "cancels": "e"})
    assert "the row's own event_id" in next(iter(store.append(ITEMS, own).reasons))


def test_a_column_that_came_with_times_is_refused_without_them(store: Store) -> None:
    store.append(ITEMS, frame(*FIRST))
    undated = pl.DataFrame({"item_id": ["a"], "title": ["green pen"], "price": [3.0]})
    message = (
        r"items.timestamp: expected the column, because price came with times before, got none. "
        r"Add from when on each row holds, or leave out price."
    )
    with pytest.raises(DataError, match=message):
        store.append(ITEMS, undated)
    assert store.append(ITEMS, undated.drop("price")).n_new == 1
    assert description(store, "a") == {"item_id": "a", "title": "green pen", "price": 2.0}


def test_items_without_times_make_no_table_of_changes(store: Store) -> None:
    store.append(ITEMS, pl.DataFrame({"item_id": ["a"], "title": ["pen"], "price": [1.0]}))
    assert set(store.versions()) == {"items", "rejected"}
    assert store.item_changes().is_empty()


def test_stored_numbers_that_change_without_times_are_a_warning(store: Store) -> None:
    store.append(ITEMS, pl.DataFrame({"item_id": ["a", "b"], "title": ["pen", "ink"], "sales": [1, 2]}))
    same = store.append(ITEMS, pl.DataFrame({"item_id": ["a", "c"], "title": ["pen", "cap"], "sales": [1, 0]}))
    assert same.warnings == ()
    changed = store.append(ITEMS, pl.DataFrame({"item_id": ["a", "b"], "title": ["pen", "ink"], "sales": [5, 2]}))
    assert changed.warnings == (
        "Stored numbers have changed: sales (1 item). Without times, past queries read the new ones too, which leaks "
        "where they tell what has happened since. Give the table a `timestamp` and a row for each change.",
    )


def test_texts_that_change_are_a_warning(store: Store) -> None:
    receipt = store.append(ITEMS, frame(*FIRST))
    expected = (
        "Texts change: title (1 item). For all times the newest text is read: only numbers are read as of a time."
    )
    assert receipt.warnings == (expected,)


def test_a_killed_append_is_completed_by_the_next(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("feature_store.appends.write_descriptions", killed)
    with pytest.raises(KeyboardInterrupt):
        store.append(ITEMS, frame(*FIRST))
    monkeypatch.setattr("feature_store.appends.write_descriptions", write_descriptions)
    assert store.append(ITEMS, frame(*FIRST)).n_new == 2
    assert description(store, "a")["title"] == "blue pen"
    assert history(store, "a", "price") == [(1, 1.0), (5, 2.0)]


def test_forgetting_an_item_removes_all_its_rows_from_every_version(store: Store) -> None:
    store.append(ITEMS, frame(*FIRST))
    store.append(ITEMS, frame({"item": "a", "on": 7, "price": 4.0}))
    assert store.forget_item("a").n_removed == {"items": 1, "item_changes": 3, "rejected": 0}
    assert store.item_changes()["item_id"].to_list() == ["b"]
    with pytest.raises(DataError, match="which is gone"):
        store.read(ITEM_CHANGES, version=1)


def test_whole_numbers_stay_whole_and_ids_of_numbers_work(store: Store) -> None:
    rows = pl.DataFrame({"item_id": [7, 7], "timestamp": [day(1), day(2)], "title": ["x", "x"], "pages": [10, 11]})
    store.append(ITEMS, rows)
    assert store.items().to_dicts() == [{"item_id": 7, "title": "x", "pages": 11}]
    assert store.item_changes()["item_id"].dtype == pl.Int64
    assert store.item_changes().sort("timestamp")["pages"].to_list() == [10.0, 11.0]
    fractions = rows.with_columns(timestamp=pl.lit(day(3)), pages=pl.lit(11.5))
    assert store.append(ITEMS, fractions[:1]).n_new == 1
    assert store.items()["pages"].to_list() == [11.5]
