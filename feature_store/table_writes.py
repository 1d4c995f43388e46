"""What one attempt changes in a table: rows in that are not there yet, rows out. All land only on the version read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import polars as pl
from deltalake import DeltaTable

from feature_store._delta import append, erase_past, replace, stored_schema, upsert
from feature_store.cell_parsing import parse_ids
from feature_store.data_errors import DataError
from feature_store.rejected_rows import names_id
from feature_store.schema import REJECTED, Table


@dataclass(frozen=True)
class Change:
    """What one attempt did to a table."""

    n_new: int
    """Rows that it wrote; of forgetting, those that it removed."""
    version: int


def firsts(rows: pl.DataFrame, identity: tuple[str, ...]) -> pl.DataFrame:
    """The first row of each identity, in their order."""
    return rows.unique(subset=list(identity), keep="first", maintain_order=True)


def unseen(rows: pl.DataFrame, stored: pl.LazyFrame, identity: tuple[str, ...], *, within: str) -> pl.DataFrame:
    """The rows whose identity is not stored; read are only files whose range of column `within` meets the rows' own."""
    if rows.is_empty():
        return rows
    first, last = pl.lit(rows[within].min()), pl.lit(rows[within].max())
    keys = stored.filter(pl.col(within).is_between(first, last)).select(identity).collect()
    return rows.join(keys, on=list(identity), how="anti", nulls_equal=True, maintain_order="left")


def put_rows(table: DeltaTable, rows: pl.DataFrame) -> Change:
    """Add the rows."""
    if rows.height:
        append(table, rows)
    return Change(rows.height, table.version())


def put_refused(table: DeltaTable, refused: pl.DataFrame) -> Change:
    """Add the rejected rows that are not there yet."""
    return put_rows(
        table,
        unseen(firsts(refused, REJECTED.identity), pl.scan_delta(table), REJECTED.identity, within="content_hash"),
    )


def put_without(delta: DeltaTable, *, table: Table, column: str, value: object) -> Change:
    """Take out every row of a user or an item; of rejected rows, those that came with it."""
    rows = pl.scan_delta(delta).collect()
    gone = names_id(rows, column, value) if table is REJECTED else _is_id(rows, column, value)
    if gone.any():
        replace(delta, rows.filter(~gone))
    return Change(int(gone.sum()), delta.version())


def _is_id(rows: pl.DataFrame, column: str, value: object) -> pl.Series:
    (wanted,) = parse_ids(pl.Series(column, [value]), rows.schema[column])[0]
    return rows[column].eq_missing(wanted) if wanted is not None else rows[column].is_in([])


def put_without_hashes(delta: DeltaTable, *, hashes: Sequence[str]) -> Change:
    """Take out the rejected rows of these content hashes."""
    rows = pl.scan_delta(delta).collect()
    gone = rows["content_hash"].is_in(list(hashes))
    if gone.any():
        replace(delta, rows.filter(~gone))
    return Change(int(gone.sum()), delta.version())


def put_without_past(delta: DeltaTable) -> Change:
    """Leave nothing but the newest version."""
    erase_past(delta)
    return Change(0, delta.version())


def put_items(table: DeltaTable, newest: pl.DataFrame) -> Change:
    """Insert the items that are new and rewrite those that changed."""
    dtypes = stored_schema(table)
    newest = _as_decided(newest, dtypes)
    ids = newest.lazy().select("item_id")
    stored = pl.scan_delta(table).join(ids, on="item_id", how="semi").collect()
    changed = _changed_items(newest, stored)
    if changed.is_empty():
        return Change(0, table.version())
    if any(dtypes.get(name, dtype) != dtype for name, dtype in changed.schema.items()):
        others = pl.scan_delta(table).join(changed.lazy(), on="item_id", how="anti").collect()
        replace(table, pl.concat([others, changed], how="diagonal_relaxed"))
    elif changed["item_id"].is_in(stored["item_id"].implode()).any():
        upsert(table, changed, key="item_id")
    else:
        append(table, changed)
    return Change(changed.height, table.version())


def _as_decided(newest: pl.DataFrame, dtypes: Mapping[str, pl.DataType]) -> pl.DataFrame:
    """The items in the stored dtypes, but fractions stay fractions: they widen a column of whole numbers."""
    clashes = {name: dtypes[name] for name, dtype in newest.schema.items() if dtypes.get(name, dtype) != dtype}
    for name, stored in clashes.items():
        given = newest.schema[name]
        if {stored, given} != {pl.Int64(), pl.Float64()}:  # the check read it as stored: a writer was faster since
            what = f"{stored} as another writer has just stored it, got {given}"
            raise DataError(f"items.{name}: expected {what}. Repeat the append, which reads the column as it is now.")
    return newest.with_columns(pl.col(name).cast(pl.Float64) for name in clashes)


def _changed_items(newest: pl.DataFrame, stored: pl.DataFrame) -> pl.DataFrame:
    """Whole rows of the items that are not stored, or not so; columns that `newest` lacks as they are stored."""
    old = newest.select("item_id").join(stored, on="item_id", how="left", maintain_order="left")
    nothing = pl.Series([None] * newest.height, dtype=pl.Null)
    differs = [~newest["item_id"].is_in(stored["item_id"].implode())]
    for name in newest.columns[1:]:
        differs.append(newest[name].ne_missing(old[name]) if name in old.columns else newest[name].ne_missing(nothing))
    rows = newest.with_columns(old[name] for name in old.columns if name not in newest.columns)
    return rows.filter(pl.select(pl.any_horizontal(differs)).to_series())
