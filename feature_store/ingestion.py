"""Appends several tables to one store, after all were checked; the errors of all are reported at once."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

import polars as pl

from feature_store.cell_parsing import parse_ids
from feature_store.data_errors import DataError, describe
from feature_store.files.file_rows import FileRows
from feature_store.item_vectors import CheckedVectors, checked_vectors
from feature_store.receipts import Receipt
from feature_store.rejected_rows import rejected_rows
from feature_store.schema import EVENTS, FACTS, IMPRESSIONS, ITEMS, REJECTED, USERS, Table
from feature_store.settled_rows import were_settled
from feature_store.signals import SignalConfig
from feature_store.store import Store
from feature_store.table_checks import Checked
from feature_store.warnings.id_differences import N_SAMPLED, ZEROS, likely_difference
from feature_store.warnings.unmatched_ids import require_matches, unmatched_rows

_IN_ORDER = (ITEMS, EVENTS, IMPRESSIONS, USERS, FACTS)
_WITH_ITEMS = (ITEMS, EVENTS, IMPRESSIONS)
"""The tables whose rows name items."""
_ID_COLUMNS = ("item_id", "user_id")


TableRows = pl.DataFrame | FileRows
"""A table in memory, or as it was read from a file."""


def check_tables(
    store: Store, tables: Mapping[Table, TableRows], *, faults: Sequence[str] = ()
) -> dict[Table, Checked]:
    """The tables as `Store.append` will check them. The store need not exist yet; nothing is written.

    Raises DataError if a table as a whole is invalid, or has no valid row but invalid ones that were not dealt with:
    with all errors of all tables, and `faults` that were found before, such as files that cannot be read.
    """
    frames = {table: rows.frame if isinstance(rows, FileRows) else rows for table, rows in tables.items()}
    errors = list(faults)
    checked: dict[Table, Checked] = {}
    decided: dict[str, pl.DataType] = {}
    for table in _ordered(frames):
        try:
            found = store.check(table, frames[table], decided=decided)
        except DataError as error:
            errors.append(f"{error}{_swapped_with(table, frames)}")
            continue
        if not found.kept.height and not _were_all_settled(found, store):
            errors.append(_nothing_valid(found, checked.get(ITEMS), store))
        checked[table] = found
        decided |= {name: found.kept.schema[name] for name in _ID_COLUMNS if name in found.kept.columns}
    if errors:
        raise DataError("\n".join(errors))
    return checked


def append_tables(
    store: Store,
    tables: Mapping[Table, TableRows],
    *,
    signals: SignalConfig | None = None,
    on_table: Callable[[int], None] = lambda _: None,
) -> tuple[Receipt, ...]:
    """Appends tables that `check_tables` has found usable; `signals` as for `Store.append`.

    `on_table` is called with 1 after each.
    """
    receipts = []
    for table in _ordered(tables):
        receipts.append(store.append(table, tables[table], signals=signals))
        on_table(1)
    return tuple(receipts)


def vectors_of(
    store: Store, given: TableRows, name: str, tables: Mapping[Table, TableRows]
) -> tuple[CheckedVectors | None, list[str]]:
    """Vectors that are given along with these tables, checked but not written; or their faults, for `check_tables`."""
    ids = [store.items()["item_id"]] if store.items().height else []
    items = tables.get(ITEMS)
    frame = items.frame if isinstance(items, FileRows) else items
    if frame is not None and "item_id" in frame.columns:
        decided = ids[0].dtype if ids else None
        ids.append(parse_ids(frame["item_id"], decided)[0].drop_nulls())
    known = pl.concat(ids) if ids else pl.Series("item_id", [], dtype=pl.String)
    try:
        return checked_vectors(store, given, name, items=known), []
    except DataError as error:
        return None, [str(error)]


def _ordered(tables: Iterable[Table]) -> list[Table]:
    """Items first, as given: impressions may be those with features, see `Table.with_features`."""
    return sorted(tables, key=_IN_ORDER.index)


def require_matching_ids(store: Store, checked: Mapping[Table, Checked]) -> None:
    """Raises DataError if, after these tables were appended, no event or no impression would name a stored item."""
    stored = {table: store.read(table) for table in _WITH_ITEMS}
    ids = {table: _item_ids(stored[table], checked.get(table)) for table in _WITH_ITEMS}
    if _have_matches(ids[EVENTS], ids[ITEMS]) and _have_matches(ids[IMPRESSIONS], ids[ITEMS]):
        return
    # Only for the message: its search for the cause also looks at other columns.
    items, events, impressions = (_with(stored[table], checked.get(table)) for table in _WITH_ITEMS)
    require_matches(unmatched_rows(items, events, impressions))


def _item_ids(stored: pl.DataFrame, checked: Checked | None) -> pl.Series:
    """The distinct item ids of both, as text."""
    frames = [stored] if checked is None else [stored, checked.kept]
    return pl.concat([frame["item_id"].cast(pl.String) for frame in frames]).unique()


def _have_matches(ids: pl.Series, known: pl.Series) -> bool:
    """Whether some of the ids are known; True if there is nothing to compare."""
    if ids.is_empty() or known.is_empty():
        return True
    return bool(ids.is_in(known.implode()).any())


def _with(stored: pl.DataFrame, checked: Checked | None) -> pl.DataFrame:
    return stored if checked is None else pl.concat([stored, checked.kept], how="diagonal_relaxed")


def _swapped_with(table: Table, frames: Mapping[Table, pl.DataFrame]) -> str:
    """A sentence that names another given table, if that has all the columns that this one lacks."""
    required = {column.name for column in table.columns if column.required}
    # Nearly every table has ids of users.
    if table is USERS or required <= set(frames[table].columns):
        return ""
    other = next((name for name, frame in frames.items() if name != table and required <= set(frame.columns)), None)
    if other is None:
        return ""
    return f"\n{table.name}, {other.name}: the table given as {other.name} has these columns. Are the two swapped?"


def _were_all_settled(checked: Checked, store: Store) -> bool:
    """Whether all invalid rows were corrected or written off before, see `settled_rows`."""
    past = store.read(REJECTED).filter(table=checked.table.name)
    return bool(were_settled(rejected_rows(checked), past).all())


def _nothing_valid(checked: Checked, items: Checked | None, store: Store) -> str:
    name = checked.table.name
    n_rows = checked.frame.height
    first = f"{name}: expected valid rows, got none: all {n_rows:,} are rejected. Correct them; nothing was written."
    return f"{first}\n{describe(checked.problems, table=name)}{_likely_cause(checked, items, store)}"


def _likely_cause(checked: Checked, items: Checked | None, store: Store) -> str:
    """How the item ids that the table could not take probably differ from those of the items; mostly nothing."""
    refused = next((p for p in checked.problems if p.column == "item_id" and p.rows is not None), None)
    if refused is None or checked.table == ITEMS or "item_id" not in checked.frame.columns:
        return ""
    known = (store.items() if items is None else items.kept)["item_id"].unique().cast(pl.String)
    cells = checked.frame["item_id"]
    if not len(known) or cells.dtype != pl.String or not cells.len() > cells.null_count():
        return ""
    ids = cells.drop_nulls().unique().sort()
    sample = ids.gather_every(-(-len(ids) // N_SAMPLED))
    difference = likely_difference(sample, known)
    if not difference.known_examples:
        return ""
    pair = f"{difference.examples[0]!r} stands for {difference.known_examples[0]!r}"
    return f" Likely cause: {difference.cause} ({pair}).{_remedy(difference.cause)}"


def _remedy(cause: str) -> str:
    zeros = " Give the ids of both tables as text, with their zeros: numbers have none."
    return zeros if ZEROS in cause else " Write the ids alike in both tables."
