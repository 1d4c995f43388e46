"""Every text under which an item's vector may be cached: of its earlier descriptions too."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import chain, combinations
from pathlib import Path

import polars as pl

from feature_store import ITEMS, Store
from feature_store.data_errors import is_library_failure
from feature_store.table_writes import has_id
from recmem.text.item_text import PLAIN_COLUMNS, item_text, text_columns
from recmem.text.vector_cache import VECTORS_FOLDER, cached_texts

_MAX_FREE_COLUMNS = 8
"""Up to so many text columns besides title and description, a model may have read any subset of them."""


def cached_texts_of(store: Store, item_id: object) -> list[str]:
    """The item's texts, present and earlier, whose vectors are in the store's cache and are needed for no other item.

    Call it before the item is forgotten: earlier descriptions are read from the files of the table's older versions. A
    model reads the text columns that it found when it was trained, so every choice of columns is tried.
    """
    if "://" in store.path:
        return []
    items = store.items()
    textual = dict.fromkeys(_textual(items))
    choices = {tuple(text_columns(items))}
    described = []
    for rows in (items, *stored_rows(Path(store.path) / ITEMS.name, "item_id")):
        own = rows.filter(has_id(rows, "item_id", item_id))
        if not own.is_empty():
            described.append(own.select(_textual(rows)))
            textual |= dict.fromkeys(_textual(rows))
            choices.add(tuple(text_columns(rows)))
    if not described:
        return []
    own_rows = pl.concat(described, how="diagonal").unique()
    choices |= set(_subsets(list(textual)))
    texts = {
        columns: set(item_text(own_rows, columns)) for columns in choices if columns and set(columns) <= set(textual)
    }
    cached = set(cached_texts(Path(store.path) / VECTORS_FOLDER, sorted(set().union(*texts.values()))))
    others = items.filter(~has_id(items, "item_id", item_id))
    return sorted(cached - _needed(others, {columns: some & cached for columns, some in texts.items()}))


def _needed(others: pl.DataFrame, texts: dict[tuple[str, ...], set[str]]) -> set[str]:
    """Those of the texts, by their columns, that another item has too."""
    needed = set[str]()
    for columns, some in texts.items():
        present = [name for name in columns if name in others.columns]
        if some:
            of_others = item_text(others, present)
            needed |= set(of_others.filter(of_others.is_in(sorted(some))))
    return needed


def stored_rows(folder: Path, id_column: str) -> Iterator[pl.DataFrame]:
    """The rows of every Parquet file of a table with these ids, whichever version it belongs to."""
    for path in sorted(folder.glob("*.parquet")):
        try:
            rows = pl.read_parquet(path, glob=False)
        except BaseException as error:
            if not is_library_failure(error):
                raise
            continue  # unfinished: what a killed writer left, or a running one has not written yet
        if id_column in rows.columns:
            yield rows


def _textual(rows: pl.DataFrame) -> list[str]:
    """The columns that a model may have read as text."""
    return [name for name, dtype in rows.schema.items() if dtype == pl.String and name != "item_id"]


def _subsets(textual: Sequence[str]) -> Iterator[tuple[str, ...]]:
    """Choices of columns: title and description, and any of the others, or nearly all of many."""
    plain = tuple(name for name in PLAIN_COLUMNS if name in textual)
    free = [name for name in textual if name not in plain]
    sizes = range(len(free) + 1) if len(free) <= _MAX_FREE_COLUMNS else (0, len(free) - 1, len(free))
    chosen = chain.from_iterable(combinations(free, size) for size in sizes)
    return ((*plain, *others) for others in chosen)
