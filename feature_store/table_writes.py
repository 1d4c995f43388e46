"""What one write attempt does to a table: add rows that are not stored yet, or remove rows.

Each function commits on the version that it has read. It raises CommitFailedError if another writer committed in
between; the store then opens the table again and repeats the attempt.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import polars as pl
from deltalake import DeltaTable

from feature_store._delta import append, replace, scan, stored_schema, upsert
from feature_store.cell_parsing import parse_ids
from feature_store.data_errors import DataError
from feature_store.fact_cells import are_about
from feature_store.forgetting.erasure import erase_history
from feature_store.rejected_rows import mentions_id
from feature_store.schema import EVENTS, FACTS, IMPRESSIONS, ITEM_VECTORS, REJECTED, Table
from feature_store.warnings.undated_items import changed_numbers, repeated_items

MANY_COLUMNS = 1_000
"""From here on items are written as a whole table: the time that Delta Lake takes to plan an append or a merge grows
with the square of the number of columns, to minutes for 20,000."""


FILLED_IN = ("position", "weight")
"""Columns of impressions that stored rows which have none get from a later append, as they do features."""


@dataclass(frozen=True)
class TableChange:
    """What one attempt did to a table."""

    n_rows: int
    """Rows written or, by a removal, rows removed."""
    version: int
    warnings: tuple[str, ...] = ()
    """What is written but looks wrong; a sentence or two each."""


def write_items(table: DeltaTable, rows: pl.DataFrame) -> TableChange:
    """Inserts new items and rewrites those whose description changed. The last row of an item wins."""
    dtypes = stored_schema(table)
    newest = rows.unique(subset=["item_id"], keep="last", maintain_order=True)
    newest = in_stored_dtypes(newest, dtypes, "items")
    ids = newest.lazy().select("item_id")
    stored = pl.scan_delta(table).join(ids, on="item_id", how="semi").collect()
    changed = _changed_items(newest, stored)
    if changed.is_empty():
        return TableChange(0, table.version())
    widens = any(dtypes.get(name, dtype) != dtype for name, dtype in changed.schema.items())
    if widens or changed.width >= MANY_COLUMNS:
        # A column that widens from whole numbers to fractions can only be rewritten as well.
        unchanged = pl.scan_delta(table).join(changed.lazy(), on="item_id", how="anti").collect()
        replace(table, pl.concat([unchanged, changed], how="diagonal_relaxed"))
    elif changed["item_id"].is_in(stored["item_id"].implode()).any():
        upsert(table, changed, keys=("item_id",))
    else:
        append(table, changed)
    return TableChange(changed.height, table.version(), (*repeated_items(rows), *changed_numbers(newest, stored)))


def write_events(table: DeltaTable, rows: pl.DataFrame) -> TableChange:
    """Adds the events that are not stored yet, identified by `event_id` or, without one, by the table's identity."""
    has_id = pl.col("event_id").is_not_null()
    stored = scan(table, EVENTS.schema())
    with_id = not_stored(rows.filter(has_id), stored, ("event_id",), within="event_id")
    without_id = not_stored(rows.filter(~has_id), stored.filter(~has_id), EVENTS.identity, within="timestamp")
    return _append(table, pl.concat([with_id, without_id]).sort("timestamp", maintain_order=True))


def write_impressions(table: DeltaTable, rows: pl.DataFrame) -> TableChange:
    """Adds the shown items that are not stored yet, and features, positions and weights that stored ones lack."""
    stored = pl.scan_delta(table)
    new = not_stored(rows, stored, IMPRESSIONS.identity, within="impression_id")
    known = IMPRESSIONS.schema()
    features = [name for name in rows.columns if name not in known or (name in FILLED_IN and rows[name].count())]
    if new.height == rows.height or not features:
        return _append(table, new)
    completed, n_completed = _with_features(stored.collect(), rows, features)
    if not n_completed:
        return _append(table, new)
    replace(table, pl.concat([completed, new], how="diagonal_relaxed"))
    return TableChange(new.height + n_completed, table.version())


def write_vectors(table: DeltaTable, rows: pl.DataFrame) -> TableChange:
    """Adds vectors of items, and puts those that differ in the place of the item's stored vector of the same name."""
    keys = list(ITEM_VECTORS.identity)
    newest = rows.unique(subset=keys, keep="last", maintain_order=True)
    stored = pl.scan_delta(table).join(newest.lazy().select(keys), on=keys, how="semi").collect()
    old = newest.select(keys).join(stored, on=keys, how="left", maintain_order="left")["vector"]
    changed = newest.filter(newest["vector"].ne_missing(old))
    if stored.is_empty():
        return _append(table, changed)
    if changed.height:
        upsert(table, changed, keys=keys)
    return TableChange(changed.height, table.version())


def write_facts(table: DeltaTable, rows: pl.DataFrame) -> TableChange:
    """Adds the facts that are not stored yet."""
    return _append(table, not_stored(rows, scan(table, FACTS.schema()), FACTS.identity, within="subject"))


def remove_id(delta: DeltaTable, *, table: Table, column: str, value: object) -> TableChange:
    """Removes every row of a user or an item; from `rejected`, the rows that mention it; of an item also its facts."""
    if table is FACTS:
        facts = scan(delta, FACTS.schema()).collect()
        return _remove(delta, facts, are_about(facts["subject"], value))
    if table is not REJECTED:
        rows = pl.scan_delta(delta).collect()
        return _remove(delta, rows, has_id(rows, column, value))
    rows = scan(delta, REJECTED.schema()).collect()
    is_removed = mentions_id(rows, column, value)
    # An earlier form of a removed row is open again: nothing would show it otherwise.
    is_replaced = pl.col("replaced_by").is_in(rows.filter(~is_removed)["content_hash"].implode())
    return _remove(delta, rows.with_columns(pl.when(is_replaced).then("replaced_by")), is_removed)


def remove_history(delta: DeltaTable) -> TableChange:
    """Removes all versions but the newest from disk."""
    erase_history(delta)
    return TableChange(0, delta.version())


def has_id(rows: pl.DataFrame, column: str, value: object) -> pl.Series:
    """Boolean mask of the rows of this user or item, whose id is spelled exactly so."""
    (wanted,) = parse_ids(pl.Series(column, [value]), rows.schema[column])[0]
    # An id that the column's dtype cannot hold is in no row.
    return rows[column].eq_missing(wanted) if wanted is not None else rows[column].is_in([])


def not_stored(rows: pl.DataFrame, stored: pl.LazyFrame, identity: tuple[str, ...], *, within: str) -> pl.DataFrame:
    """The first row of each identity that is not stored, in order.

    Delta skips files whose range of the column `within` does not overlap that of `rows`.
    """
    first = rows.unique(subset=list(identity), keep="first", maintain_order=True)
    if first.is_empty():
        return first
    lowest = pl.lit(first[within].min())
    highest = pl.lit(first[within].max())
    keys = stored.filter(pl.col(within).is_between(lowest, highest)).select(identity).collect()
    return first.join(keys, on=list(identity), how="anti", nulls_equal=True, maintain_order="left")


def _with_features(stored: pl.DataFrame, rows: pl.DataFrame, features: list[str]) -> tuple[pl.DataFrame, int]:
    """The stored impressions with the features of `rows` where they had none, and how many changed."""
    given = rows.select(*IMPRESSIONS.identity, *features).unique(
        IMPRESSIONS.identity, keep="first", maintain_order=True
    )
    absent = [pl.lit(None, given.schema[name]).alias(name) for name in features if name not in stored.columns]
    old = stored.with_columns(absent)
    found = old.select(IMPRESSIONS.identity).join(
        given, on=list(IMPRESSIONS.identity), how="left", nulls_equal=True, maintain_order="left"
    )
    is_new = [old[name].is_null() & found[name].is_not_null() for name in features]
    filled = old.with_columns(old[name].fill_null(found[name]) for name in features)
    return filled, int(pl.select(pl.any_horizontal(is_new)).to_series().sum())


def _append(table: DeltaTable, rows: pl.DataFrame) -> TableChange:
    if rows.height:
        append(table, rows)
    return TableChange(rows.height, table.version())


def _remove(delta: DeltaTable, rows: pl.DataFrame, is_removed: pl.Series) -> TableChange:
    if is_removed.any():
        replace(delta, rows.filter(~is_removed))
    return TableChange(int(is_removed.sum()), delta.version())


def in_stored_dtypes(newest: pl.DataFrame, dtypes: Mapping[str, pl.DataType], table: str) -> pl.DataFrame:
    """Rows in the stored dtypes, except that fractions stay fractions: they widen a column of whole numbers."""
    clashes = {name: dtypes[name] for name, dtype in newest.schema.items() if dtypes.get(name, dtype) != dtype}
    for name, stored in clashes.items():
        given = newest.schema[name]
        # The check has read the frame as stored, so any other clash comes from a writer that committed since.
        if {stored, given} != {pl.Int64(), pl.Float64()}:
            expected = f"{stored} as another writer has just stored it"
            remedy = "Repeat the append: it will read the column as it is now."
            raise DataError(f"{table}.{name}: expected {expected}, got {given}. {remedy}")
    return newest.with_columns(newest[name].cast(pl.Float64) for name in clashes)


def _changed_items(newest: pl.DataFrame, stored: pl.DataFrame) -> pl.DataFrame:
    """Whole rows of the items that are new or differ from the stored ones; columns that `newest` lacks stay stored."""
    old = newest.select("item_id").join(stored, on="item_id", how="left", maintain_order="left")
    nulls = pl.Series([None] * newest.height, dtype=pl.Null)
    differs = [~newest["item_id"].is_in(stored["item_id"].implode())]
    # Read once: the names of a frame are made anew each time, which takes long if there are thousands.
    new_names = set(newest.columns)
    old_names = set(old.columns)
    for name in newest.columns[1:]:
        old_cells = old[name] if name in old_names else nulls
        differs.append(newest[name].ne_missing(old_cells))
    rows = newest.with_columns(old[name] for name in old.columns if name not in new_names)
    return rows.filter(pl.select(pl.any_horizontal(differs)).to_series())
