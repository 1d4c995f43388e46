"""Writes the items of a data set: each id once, and only those that are wanted."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Set
from typing import TypeVar

import polars as pl

from feature_store.importers.import_receipt import FileCount
from feature_store.importers.table_files import TableFiles, blocks_of

Row = TypeVar("Row")


def write_items(
    rows: Iterable[tuple[str, Row]],
    cells_of: Callable[[Row], tuple[object, ...]],
    schema: pl.Schema,
    tables: TableFiles,
    count: FileCount,
    *,
    word: str,
    wanted: Set[str] | None = None,
    wanted_for: str = "",
) -> set[str]:
    """Writes the items that are `wanted`, all for None, and returns their ids. Of an id the first row counts.

    `rows` are ids and what `cells_of` makes the cells after the id from. Rows that are left out are counted, under
    reasons that call an item by `word`, and what it has to have by `wanted_for`.
    """
    known: set[str] = set()

    def cells() -> Iterator[tuple[object, ...]]:
        for item, row in rows:
            if wanted is not None and item not in wanted:
                count.leave_out(f"{word} without {wanted_for} (--all-items keeps it)")
            elif item in known:
                count.leave_out(f"{word} given before, which is kept")
            else:
                known.add(item)
                yield (item, *cells_of(row))

    for block in blocks_of(cells(), schema):
        tables.write("items", block)
    return known
