"""Writes what is known of users: a row a change, each from its timestamp on."""

from __future__ import annotations

import polars as pl
from deltalake import DeltaTable

from feature_store._delta import append, replace, scan, stored_schema
from feature_store.schema import USERS
from feature_store.table_writes import TableChange, in_stored_dtypes

_FOUND = "\n"
"""A column's name that no table can have."""


def write_users(table: DeltaTable, rows: pl.DataFrame) -> TableChange:
    """Adds the rows that are new, and replaces those of the same user and timestamp, see `changed_users`."""
    dtypes = stored_schema(table)
    stored = scan(table, USERS.schema())
    key = list(USERS.identity)
    same = stored.join(rows.lazy().select(key), on=key, how="semi", nulls_equal=True).collect()
    changed = changed_users(in_stored_dtypes(rows, dtypes, USERS.name), same)
    if changed.is_empty():
        return TableChange(0, table.version())
    widens = any(dtypes.get(name, dtype) != dtype for name, dtype in changed.schema.items())
    if widens or not same.is_empty():
        others = stored.join(changed.lazy().select(key), on=key, how="anti", nulls_equal=True).collect()
        replace(table, pl.concat([others, changed], how="diagonal_relaxed"))
    else:
        append(table, changed)
    return TableChange(changed.height, table.version())


def changed_users(rows: pl.DataFrame, stored: pl.DataFrame) -> pl.DataFrame:
    """Those of the rows of the users table that are not stored so; of several of a user and timestamp, the last.

    They keep the stored values of the columns that they lack.
    """
    key = list(USERS.identity)
    given = rows.unique(subset=key, keep="last", maintain_order=True)
    found = stored.with_columns(pl.lit(value=True).alias(_FOUND))
    old = given.select(key).join(found, on=key, how="left", nulls_equal=True, maintain_order="left")
    old_names = set(old.columns)
    nulls = pl.Series([None] * given.height, dtype=pl.Null)
    differs = [old[_FOUND].is_null()]
    for name in given.columns:
        if name not in key:
            differs.append(given[name].ne_missing(old[name] if name in old_names else nulls))
    kept = given.with_columns(old[name] for name in stored.columns if name not in given.columns)
    return kept.filter(pl.select(pl.any_horizontal(differs)).to_series())
