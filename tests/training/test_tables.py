"""Paths and frames of each library as input tables: the same rows, a digest of the content, errors in words."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

import small_training
from feature_store import DataError, Store
from training.tables import Tables, frame_digest

KINDS: dict[str, Callable[[pl.DataFrame], Any]] = {
    "polars": lambda frame: frame,
    "lazy polars": lambda frame: frame.lazy(),
    "pandas": lambda frame: frame.to_pandas(),
    "Arrow table": lambda frame: frame.to_arrow(),
    "Arrow batch": lambda frame: frame.to_arrow().combine_chunks().to_batches()[0],
}


def stored(frame: pl.DataFrame, folder: Path) -> pl.DataFrame:
    """The rows that a store makes of events."""
    store = Store.create(folder)
    assert store.append_events(frame).n_rejected == 0
    return store.events().sort("user_id", "timestamp", "item_id")


@pytest.mark.parametrize("kind", KINDS)
def test_frames_of_every_kind_give_the_rows_of_the_file(kind: str, tmp_path: Path) -> None:
    _, path = small_training.write_tables(tmp_path)
    frame = KINDS[kind](small_training.events())
    from_path = Tables.of(None, path, None).read("events")
    from_frame = Tables.of(None, frame, None).read("events")
    assert from_path is not None
    assert from_frame is not None
    assert stored(from_frame, tmp_path / "a").equals(stored(from_path, tmp_path / "b"))


def test_missing_text_of_a_pandas_frame_is_missing_in_the_table() -> None:
    frame = pd.DataFrame({"item_id": ["a", "b"], "title": ["A", None], "price": [1.0, float("nan")]})
    found = Tables.of(frame, None, None).read("items")
    assert found is not None
    assert found.rows() == [("a", "A", 1.0), ("b", None, None)]


def test_table_that_is_not_given_is_not_read() -> None:
    assert Tables().read("items") is None
    assert Tables().given() == {}
    assert Tables.of(None, "events.csv", None).given() == {"events": "events.csv"}


def test_digest_is_that_of_the_content() -> None:
    events = small_training.events()
    same = pl.concat([events[:50], events[50:]], rechunk=False)
    assert frame_digest(same) == frame_digest(events)
    others = [
        events[1:],
        events.reverse(),
        events.rename({"event": "kind"}),
        events.with_columns(pl.col("event").cast(pl.Categorical)),
        events.with_columns(event=pl.when(pl.int_range(pl.len()) == 7).then(None).otherwise(pl.col("event"))),
    ]
    assert len({frame_digest(frame) for frame in [events, *others]}) == 1 + len(others)


def test_digests_are_by_the_content_of_files_and_frames(tmp_path: Path) -> None:
    items, events = small_training.write_tables(tmp_path)
    before = Tables.of(items, small_training.events(), None).digests()
    assert set(before) == {"items", "events"}
    assert Tables.of(items, small_training.events().to_pandas(), None).digests()["items"] == before["items"]
    small_training.items()[:-1].write_parquet(items)
    after = Tables.of(items, small_training.events(), None).digests()
    assert after["items"] != before["items"]
    assert after["events"] == before["events"] != Tables.of(None, events, None).digests()["events"]


def events_digest(path: Path | str) -> str:
    return Tables.of(None, path, None).digests()["events"]


def test_digest_of_a_folder_follows_its_files(tmp_path: Path) -> None:
    folder = tmp_path / "events"
    folder.mkdir()
    small_training.events()[:90].write_parquet(folder / "part-0.parquet")
    before = events_digest(folder)
    assert events_digest(folder) == before
    small_training.events()[90:].write_parquet(folder / "part-1.parquet")
    with_a_part = events_digest(folder)
    (folder / "part-1.parquet").rename(folder / "part-2.parquet")
    renamed = events_digest(folder)
    small_training.events()[91:].write_parquet(folder / "part-2.parquet")
    assert len({before, with_a_part, renamed, events_digest(folder)}) == 4


def test_digest_of_a_delta_table_follows_its_versions(tmp_path: Path) -> None:
    table = tmp_path / "delta"
    small_training.events()[:90].write_delta(str(table))
    before = events_digest(table)
    assert events_digest(table) == before
    small_training.events()[90:].write_delta(str(table), mode="append")
    assert events_digest(table) != before


def test_digest_of_an_url_is_never_the_same_twice() -> None:
    assert events_digest("s3://bucket/events.parquet") != events_digest("s3://bucket/events.parquet")


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ({"item_id": ["a"]}, r"items: expected a polars, pandas or Arrow frame, got dict\."),
        (pl.Series(["a"]), r"items: expected a polars, pandas or Arrow frame, got polars Series\."),
        (pd.Series(["a"]), r"items: expected a polars, pandas or Arrow frame, got pandas Series\."),
        (pd.DataFrame({"item_id": ["a", 1, b"c"]}), r"items: expected one type in a column, got several .*item_id"),
        (pl.DataFrame({"item_id": pl.Series([object()], dtype=pl.Object)}), r"items\.item_id: expected values of one"),
    ],
)
def test_anything_else_is_refused_in_words(table: Any, message: str) -> None:
    with pytest.raises(DataError, match=message):
        Tables.of(table, None, None)


def test_columns_of_one_name_are_refused() -> None:
    message = "items: expected every column once, got title twice"
    frame = pd.DataFrame([["a", "A", "B"]], columns=["item_id", "title", "title"])
    with pytest.raises(DataError, match=message):
        Tables.of(frame, None, None)
    table = pa.Table.from_arrays([pa.array(["a"])] * 3, names=["item_id", "title", "title"])
    with pytest.raises(DataError, match=message):
        Tables.of(table, None, None)
