"""Items with times: a row a change, in two tables.

`item_changes` keeps the numbers of every row, to be read as of any time. `items` keeps one description an item, as it
does for items without times: of each column the newest cell that is not empty. Texts are read from there.

A row is identified by its `event_id` or, without one, by item and timestamp, and the first one counts, as for events.
A row is whole: an empty cell means that the value is missing from then on. A column that a table lacks stays as it is.
"""

from __future__ import annotations

import polars as pl
from deltalake import DeltaTable

from feature_store._delta import append, replace, scan
from feature_store.cancellations import n_waiting
from feature_store.schema import DATED_ITEMS, ITEM_CHANGES, ITEMS, Table, are_dated_items
from feature_store.table_checks import Checked
from feature_store.table_writes import TableChange, not_stored, write_items
from feature_store.warnings.undated_items import other_numbers


def number_columns(rows: pl.DataFrame) -> list[str]:
    """The columns of checked rows of `DATED_ITEMS` that are read as of a time."""
    own = DATED_ITEMS.schema()
    return [name for name, dtype in rows.schema.items() if dtype.is_numeric() and name not in own]


def changes_of(rows: pl.DataFrame) -> pl.DataFrame:
    """Checked rows of `DATED_ITEMS` as rows of `ITEM_CHANGES`: numbers, NaN where a cell is empty.

    NaN says that there is no value, null that the row says nothing about the column.
    """
    is_change = rows["cancels"].is_null()
    own = [rows[name] for name in ITEM_CHANGES.schema()]
    numbers = [rows[name].cast(pl.Float64).fill_null(float("nan")) for name in number_columns(rows)]
    return pl.DataFrame([*own, *(cells.set(~is_change, None) for cells in numbers)])


def descriptions_of(rows: pl.DataFrame) -> pl.DataFrame:
    """One row an item, as rows of `ITEMS` with the `timestamp` of its newest: of each column the newest cell."""
    own = DATED_ITEMS.schema()
    changes = rows.filter(rows["cancels"].is_null())
    changes = changes.unique(DATED_ITEMS.identity, keep="first", maintain_order=True)
    changes = changes.sort("timestamp", maintain_order=True)
    # By number, since names such as `^a$` would be patterns.
    names = [name for name in changes.columns if name not in own]
    plain = {f"c{number}": changes[name] for number, name in enumerate(names)}
    newest = (
        pl.DataFrame({"item_id": changes["item_id"], "timestamp": changes["timestamp"], **plain})
        .group_by("item_id", maintain_order=True)
        .agg(pl.col("timestamp").last(), *(pl.col(name).drop_nulls().last() for name in plain))
    )
    newest.columns = ["item_id", "timestamp", *names]
    return newest


def n_waiting_changes(changes: pl.DataFrame) -> int:
    """How many cancellations in a store's `item_changes` name no row of their item."""
    return n_waiting(changes.select("item_id", "timestamp", "available_at", "event_id", "cancels", user_id=0))


def tables_of(checked: Checked) -> dict[Table, pl.DataFrame]:
    """The tables that a checked frame goes to, with its rows there."""
    if not are_dated_items(checked.table):
        return {checked.table: checked.kept}
    return {ITEMS: descriptions_of(checked.kept).drop("timestamp"), ITEM_CHANGES: changes_of(checked.kept)}


def write_changes(table: DeltaTable, changes: pl.DataFrame) -> TableChange:
    """Adds the changes that are not stored yet, and numbers of stored rows about which they said nothing."""
    stored = scan(table, ITEM_CHANGES.schema())
    has_id = pl.col("event_id").is_not_null()
    with_id = not_stored(changes.filter(has_id), stored, ("event_id",), within="event_id")
    without = not_stored(changes.filter(~has_id), stored.filter(~has_id), ITEM_CHANGES.identity, within="timestamp")
    new = pl.concat([with_id, without]).sort("timestamp", maintain_order=True)
    if new.height == changes.height:
        append(table, new)
        return TableChange(new.height, table.version())
    completed, n_completed, n_other = _completed(stored.collect(), changes)
    if n_completed:
        replace(table, pl.concat([completed, new], how="diagonal_relaxed"))
    elif new.height:
        append(table, new)
    return TableChange(new.height + n_completed, table.version(), other_numbers(n_other))


def write_descriptions(table: DeltaTable, described: pl.DataFrame, changes: pl.DataFrame) -> TableChange:
    """Writes the newest description of each item; that of an earlier time than a stored one only fills gaps.

    `described` is from `descriptions_of`, `changes` what the table `item_changes` holds.
    """
    newest = changes.filter(pl.col("cancels").is_null()).group_by("item_id").agg(pl.col("timestamp").max())
    newest_times = described.select("item_id").join(newest, on="item_id", how="left", maintain_order="left")
    is_newest = (described["timestamp"] >= newest_times["timestamp"]).fill_null(value=True)
    given = described.drop("timestamp")
    stored = pl.scan_delta(table).join(given.lazy().select("item_id"), on="item_id", how="semi").collect()
    old = given.select("item_id").join(stored, on="item_id", how="left", maintain_order="left")
    columns = [given["item_id"]]
    for name in given.columns[1:]:
        cells = given[name]
        if name in old.columns:
            cells = _either(cells, old[name], is_newest)
        columns.append(cells)
    return write_items(table, pl.DataFrame(columns))


def _either(given: pl.Series, old: pl.Series, is_newest: pl.Series) -> pl.Series:
    """The given cell where it is the newest, else the stored one; the other where that is empty."""
    if given.dtype != old.dtype:
        if not (given.dtype.is_numeric() and old.dtype.is_numeric()):
            return given  # another writer has just decided the column: `write_items` says so
        given = given.cast(pl.Float64)
        old = old.cast(pl.Float64)
    return given.zip_with(is_newest & given.is_not_null() | old.is_null(), old)


def _completed(stored: pl.DataFrame, changes: pl.DataFrame) -> tuple[pl.DataFrame, int, int]:
    """The stored rows with numbers that they said nothing about; how many changed, and how many say other numbers."""
    keys = list(ITEM_CHANGES.identity)
    numbers = [name for name in changes.columns if name not in ITEM_CHANGES.schema()]
    given = changes.unique(keys, keep="first", maintain_order=True)
    found = stored.select(keys).join(given, on=keys, how="left", nulls_equal=True, maintain_order="left")
    filled = []
    is_new = [pl.repeat(value=False, n=len(stored), eager=True)]
    is_other = [is_new[0]]
    for name in numbers:
        old = stored[name] if name in stored.columns else pl.Series(name, [None] * len(stored), dtype=pl.Float64)
        is_new.append(old.is_null() & found[name].is_not_null())
        is_other.append((old != found[name]).fill_null(value=False))
        filled.append(old.zip_with(~is_new[-1], found[name]))
    n_changed, n_other = (int(pl.select(pl.any_horizontal(each)).to_series().sum()) for each in (is_new, is_other))
    return stored.with_columns(filled), n_changed, n_other
