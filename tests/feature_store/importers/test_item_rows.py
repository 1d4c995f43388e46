from __future__ import annotations

from pathlib import Path

import polars as pl

from feature_store.importers.import_receipt import FileCount
from feature_store.importers.item_rows import write_items
from feature_store.importers.table_files import tables_in

SCHEMA = pl.Schema({"item_id": pl.String, "title": pl.String})
ROWS = [("a", "first"), ("b", "unwanted"), ("a", "second"), ("c", "third")]


def test_each_wanted_item_is_written_once_and_its_first_row_counts(tmp_path: Path) -> None:
    count = FileCount("books")
    made: list[str] = []

    def cells_of(title: str) -> tuple[object, ...]:
        made.append(title)
        return (title.upper(),)

    with tables_in(tmp_path) as tables:
        known = write_items(
            ROWS, cells_of, SCHEMA, tables, count, word="book", wanted={"a", "c", "d"}, wanted_for="a rating"
        )
    assert known == {"a", "c"}
    assert pl.read_parquet(tmp_path / "items.parquet").rows() == [("a", "FIRST"), ("c", "THIRD")]
    assert count.left_out == {"book without a rating (--all-items keeps it)": 1, "book given before, which is kept": 1}
    # Of the others nothing is read: a catalogue may be much larger than the log.
    assert made == ["first", "third"]


def test_all_items_are_written_where_all_are_wanted(tmp_path: Path) -> None:
    with tables_in(tmp_path) as tables:
        known = write_items(ROWS, lambda title: (title,), SCHEMA, tables, FileCount("books"), word="book")
    assert known == {"a", "b", "c"}
