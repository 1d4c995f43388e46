"""Single write attempts; tests/feature_store/test_store.py has them through the store, and repeated."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import polars as pl
import pytest

from feature_store import _delta, table_writes
from feature_store.schema import EVENTS, ITEMS, Table
from feature_store.table_writes import (
    TableChange,
    not_stored,
    remove_id,
    write_events,
    write_items,
)

STORED = pl.DataFrame({"user": ["u", "u", None], "day": [1, 2, 3]})


def table_of(folder: Path, table: Table, schema: dict[str, pl.DataType]) -> _delta.DeltaTable:
    _delta.create_table(str(folder / table.name), schema, storage_options=None)
    opened = _delta.open_table(str(folder / table.name), storage_options=None)
    assert opened is not None
    return opened


def opened_again(table: _delta.DeltaTable) -> _delta.DeltaTable:
    opened = _delta.open_table(table.table_uri, storage_options=None)
    assert opened is not None
    return opened


def events(*rows: tuple[str, str, int, str | None]) -> pl.DataFrame:
    frame = pl.DataFrame(rows, schema=["user_id", "item_id", "day", "event_id"], orient="row")
    times = [datetime(2024, 1, day, tzinfo=UTC) for day in frame["day"]]
    known = frame.drop("day").with_columns(pl.Series("timestamp", times, dtype=pl.Datetime("us", "UTC")))
    missing = [pl.lit(None, dtype).alias(name) for name, dtype in EVENTS.schema().items() if name not in known.columns]
    return known.with_columns(missing).select(list(EVENTS.schema())).cast(dict(EVENTS.schema()))


def test_a_row_is_new_once_and_if_its_identity_is_not_stored() -> None:
    rows = pl.DataFrame({"user": ["u", "v", "v", None], "day": [2, 2, 2, 3], "n": [1, 2, 3, 4]})
    new = not_stored(rows, STORED.lazy(), ("user", "day"), within="day")
    assert new.rows() == [("v", 2, 2)]


def test_only_stored_rows_within_the_range_of_the_new_ones_are_compared() -> None:
    scanned = []
    stored = STORED.lazy().map_batches(lambda frame: (scanned.append(frame.height), frame)[1])
    assert not_stored(STORED[:0], stored, ("user",), within="day").is_empty()
    assert scanned == []


def test_items_are_counted_if_they_change_and_the_last_row_of_an_item_wins(tmp_path: Path) -> None:
    schema: dict[str, pl.DataType] = {"item_id": pl.String(), "title": pl.String()}
    table = table_of(tmp_path, ITEMS, schema)
    rows = pl.DataFrame({"item_id": ["a", "b", "a"], "title": ["old", "b", "new"]})
    first = write_items(table, rows)
    assert replace(first, warnings=()) == TableChange(2, 1)
    assert "different texts" in first.warnings[0]
    table.update_incremental()
    assert replace(write_items(table, rows), warnings=()) == TableChange(0, 1)
    assert sorted(_delta.scan(table, schema).collect().rows()) == [("a", "new"), ("b", "b")]


def test_items_of_very_many_columns_are_written_as_a_whole_table(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for slow in ("append", "upsert"):
        monkeypatch.setattr(table_writes, slow, lambda *_, **__: pytest.fail("Delta Lake plans every column"))
    delta = table_of(tmp_path, ITEMS, ITEMS.schema())
    wide = pl.DataFrame({"item_id": ["a", "b"], **{f"n{n}": [1, n] for n in range(table_writes.MANY_COLUMNS)}})
    assert write_items(delta, wide).n_rows == 2
    changed = wide[1:].with_columns(n5=pl.lit(6, pl.Int64))
    added = pl.DataFrame({"item_id": ["c"], "n5": [7]})
    delta = opened_again(delta)
    assert write_items(delta, pl.concat([wide[:1], changed, added], how="diagonal")).n_rows == 2
    stored = pl.read_delta(delta.table_uri).sort("item_id")
    assert stored.select("item_id", "n5", "n6").rows() == [("a", 1, 1), ("b", 6, 6), ("c", 7, None)]
    assert stored.width == wide.width


def test_an_event_with_an_id_is_compared_by_it_and_one_without_by_its_content(tmp_path: Path) -> None:
    table = table_of(tmp_path, EVENTS, EVENTS.schema())
    assert write_events(table, events(("u", "i", 1, "e1"), ("u", "i", 1, None))).n_rows == 2
    table.update_incremental()
    again = events(("v", "j", 9, "e1"), ("u", "i", 1, None), ("u", "i", 1, "e2"), ("u", "i", 2, None))
    assert write_events(table, again).n_rows == 2
    table.update_incremental()
    found = _delta.scan(table, EVENTS.schema()).collect()
    assert sorted(found["event_id"].fill_null("")) == ["", "", "e1", "e2"]


@pytest.mark.parametrize(("user", "n_left"), [("u", 1), ("nobody", 2), (7, 2)])
def test_rows_of_a_user_are_removed_whatever_type_the_id_is_given_in(tmp_path: Path, user: object, n_left: int) -> None:
    table = table_of(tmp_path, EVENTS, EVENTS.schema())
    write_events(table, events(("u", "i", 1, None), ("v", "i", 2, None)))
    table.update_incremental()
    assert remove_id(table, table=EVENTS, column="user_id", value=user).n_rows == 2 - n_left
    table.update_incremental()
    assert _delta.scan(table, EVENTS.schema()).collect().height == n_left
