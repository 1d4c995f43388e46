"""Columns that are stored as text because of a few bad cells, and become numbers once these are mended."""

from __future__ import annotations

from collections.abc import Sequence
from shlex import quote

import polars as pl
from deltalake import DeltaTable

from feature_store._delta import replace, scan
from feature_store.excerpts import excerpt
from feature_store.files.typed_columns import ALWAYS_TEXT, MISSING_WORDS
from feature_store.schema import IMPRESSIONS, ITEMS, USERS, Table
from feature_store.table_writes import TableChange
from feature_store.whole_numbers import finite_numbers

_LEADING_ZERO = r"^\s*[+-]?0[0-9]"
"""A code rather than a number: as a number it would lose its zeros."""
_MOST = 0.5
"""From this share of other texts on a column is text on purpose, and nothing is said."""
_N_EXAMPLES = 3
_MAX_EXAMPLE_CHARS = 40
_REMEDIES = {
    ITEMS: "Give these items again with a number or an empty cell, and it becomes one of numbers",
    USERS: "Give these rows again with a number or an empty cell, and it becomes one of numbers",
    IMPRESSIONS: "Stored impressions stay as they are: add the mended table to a new store",
}


def as_numbers_again(delta: DeltaTable, *, table: Table, names: Sequence[str], store: str) -> TableChange:
    """Makes the columns of these names, which are stored as text, columns of numbers if all their cells are numbers.

    Words for a missing number, such as "n/a", become null. Every stored row counts: of users those of earlier times
    too, since past queries read them. A column that stays text though most of its cells are numbers gets a warning
    that names the cells in the way. The result's `n_rows` is the number of columns that became numbers.
    """
    rows = scan(delta, table.schema()).collect()
    found = {}
    warnings = []
    for name in names:
        texts = rows[name]
        if texts.dtype != pl.String or (table == ITEMS and name in ALWAYS_TEXT):
            continue  # of the first kind if another writer has just made it numbers
        numbers = _numbers(texts)
        in_the_way = _have_text(texts) & numbers.is_null()
        if not in_the_way.any():
            found[name] = numbers
        elif int(in_the_way.sum()) < _MOST * int(_have_text(texts).sum()):
            warnings.append(_stays_text(rows.filter(in_the_way), name, table, store))
    if found:
        whole = {name: _as_whole(numbers, table) for name, numbers in found.items()}
        replace(delta, rows.with_columns(numbers.alias(name) for name, numbers in whole.items()))
        if table == ITEMS:
            warnings += [_was_text(name) for name in found]
    return TableChange(len(found), delta.version(), tuple(warnings))


def without_numbers(changes: pl.DataFrame, names: Sequence[str]) -> list[str]:
    """What to say about items with times, of which some rows came with a column of these names when it was text."""
    warnings = []
    for name in names:
        n_rows = changes.filter(pl.col("cancels").is_null())[name].null_count() if name in changes.columns else 0
        if n_rows:
            rows = "1 stored row has" if n_rows == 1 else f"{n_rows:,} stored rows have"
            warnings.append(
                f"items.{name}: {rows} no number as of their times, because the column was text. Give the whole table "
                "again."
            )
    return warnings


def _have_text(texts: pl.Series) -> pl.Series:
    """Which cells hold more than spaces, or a word for a missing number: bool[row]."""
    plain = texts.str.strip_chars().str.to_lowercase()
    return texts.is_not_null() & ~plain.is_in(["", *MISSING_WORDS]).fill_null(value=True)


def _numbers(texts: pl.Series) -> pl.Series:
    numbers = finite_numbers(texts.str.strip_chars())
    return numbers.set(texts.str.contains(_LEADING_ZERO).fill_null(value=False), None)


def _as_whole(numbers: pl.Series, table: Table) -> pl.Series:
    """As Int64 if all are whole numbers; features of impressions are fractions always."""
    if table == IMPRESSIONS or not (numbers.drop_nulls().floor() == numbers.drop_nulls()).all():
        return numbers
    whole = numbers.cast(pl.Int64, strict=False)
    return whole if whole.null_count() == numbers.null_count() else numbers


def _stays_text(rows: pl.DataFrame, name: str, table: Table, store: str) -> str:
    """What to say about a column that stays text because of these rows."""
    keys = [key for key in table.identity if key in rows.columns]
    examples = ", ".join(
        f"{excerpt(repr(row[name]), _MAX_EXAMPLE_CHARS)} of {_key(row, keys)}"
        for row in rows.head(_N_EXAMPLES).iter_rows(named=True)
    )
    n_rows = "1 stored cell is no number" if len(rows) == 1 else f"{len(rows):,} stored cells are no numbers"
    more = ", ..." if len(rows) > _N_EXAMPLES else ""
    remedy = _REMEDIES.get(table, _REMEDIES[ITEMS])
    command = "" if table == IMPRESSIONS else f": `recmem ingest --store {quote(store)} --{table.name} FILE`"
    return f"{table.name}.{name}: the column stays text, because {n_rows}: {examples}{more}. {remedy}{command}."


def _was_text(name: str) -> str:
    """What to say about a column of items that has become numbers: texts of items are what a model was trained on."""
    return (
        f"items.{name}: the column held text, and has become one of numbers. Models that were trained before may have "
        "read it as part of the items' texts: train again."
    )


def _key(row: dict[str, object], keys: Sequence[str]) -> str:
    return " ".join(f"{key} {excerpt(repr(str(row[key])), _MAX_EXAMPLE_CHARS)}" for key in keys if row[key] is not None)
