"""Several tables at once: where one is refused nothing is written, and the message has the faults of all."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest

import small_training
from feature_store import EVENTS, IMPRESSIONS, ITEMS, DataError, Store
from feature_store.ingestion import append_tables, check_tables, require_matching_ids
from feature_store.schema import Table


def refusal(store: Store, frames: dict[Table, pl.DataFrame]) -> str:
    with pytest.raises(DataError) as refused:
        check_tables(store, frames)
    return str(refused.value)


def test_errors_of_all_tables_are_reported_at_once_and_nothing_is_written(tmp_path: Path) -> None:
    frames = {
        ITEMS: small_training.items().drop("item_id"),
        EVENTS: small_training.events().with_columns(timestamp=pl.lit("soon")),
        IMPRESSIONS: pl.DataFrame({"item_id": ["a"]}),
    }
    error = refusal(Store(tmp_path / "store"), frames)
    assert "items.item_id: expected the column" in error
    assert "events: expected valid rows, got none: all 180 are rejected" in error
    assert "events.timestamp: expected a time" in error
    assert "such as 'soon' (180 rows" in error
    assert "impressions.label: expected the column" in error
    assert not (tmp_path / "store").exists()


def test_faults_that_were_found_before_come_first(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"^items\.path: no such file\nevents\.user_id: expected the column"):
        check_tables(Store(tmp_path), {EVENTS: pl.DataFrame({"item_id": ["a"]})}, faults=["items.path: no such file"])


def test_swapped_tables_are_named(tmp_path: Path) -> None:
    error = refusal(Store(tmp_path), {ITEMS: small_training.events(), EVENTS: small_training.items()})
    assert "events, items: the table given as items has these columns. Are the two swapped?" in error


def test_a_table_that_lacks_a_column_is_not_called_swapped(tmp_path: Path) -> None:
    error = refusal(Store(tmp_path), {ITEMS: small_training.items(), EVENTS: small_training.events().drop("timestamp")})
    assert "swapped" not in error


def test_rejected_items_with_whole_number_ids_decide_nothing(tmp_path: Path) -> None:
    items = pl.DataFrame({"item_id": [1, 2], "title": ["a", "b"]})
    events = pl.DataFrame({"user_id": ["u"] * 2, "item_id": ["001", "002"], "timestamp": [10**9, 10**9 + 1]})
    error = refusal(Store(tmp_path), {ITEMS: items, EVENTS: events})
    assert "events.item_id: expected an integer id" in error
    assert "Likely cause: leading zeros ('001' stands for '1'). Give the ids of both tables as text, with" in error


def test_tables_are_appended_in_order_whatever_the_order_they_are_given_in(tmp_path: Path) -> None:
    store = Store.create(tmp_path / "store")
    frames = {EVENTS: small_training.events(), ITEMS: small_training.items()}
    check_tables(store, frames)
    steps: list[int] = []
    receipts = append_tables(store, frames, on_table=steps.append)
    assert [receipt.table for receipt in receipts] == ["items", "events"]
    assert steps == [1, 1]
    assert store.events().height == 180


def test_ids_that_would_never_meet_are_refused_before_anything_is_written(tmp_path: Path) -> None:
    store = Store.create(tmp_path / "store")
    items = small_training.items().with_columns(pl.col("item_id").str.to_uppercase())
    checked = check_tables(store, {ITEMS: items, EVENTS: small_training.events()})
    with pytest.raises(DataError, match=r"events\.item_id: expected ids .* Likely cause: upper and lower case"):
        require_matching_ids(store, checked)
    assert store.versions() == {"rejected": 0}


def test_ids_may_meet_what_the_store_has(tmp_path: Path) -> None:
    store = Store.create(tmp_path / "store")
    store.append_items(small_training.items())
    require_matching_ids(store, check_tables(store, {EVENTS: small_training.events()}))


def test_a_table_of_rows_that_were_all_written_off_is_no_error(tmp_path: Path) -> None:
    store = Store.create(tmp_path / "store")
    bad = pl.DataFrame({"user_id": ["u"], "item_id": ["a"], "timestamp": ["soon"]})
    store.append_events(bad)
    with pytest.raises(DataError, match="expected valid rows, got none"):
        check_tables(store, {EVENTS: bad})
    store.settle_rejected(store.rejected()["content_hash"].to_list())
    check_tables(store, {EVENTS: bad})
    (receipt,) = append_tables(store, {EVENTS: bad})
    assert (receipt.n_in, receipt.n_rejected, receipt.n_known) == (1, 0, 1)
