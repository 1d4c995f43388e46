"""Removes a user or an item from a store: its rows, then every older file; then searches the files."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import polars as pl
from deltalake import DeltaTable

from feature_store._delta import LocalTable, local_folder
from feature_store.data_errors import DataError
from feature_store.derived_files import remove_derived
from feature_store.fact_cells import are_about
from feature_store.forgetting.erasure import refuse_links
from feature_store.forgetting.id_search import IdSearch, obsolete_files_with
from feature_store.noted_digests import log_versions
from feature_store.receipts import Forgotten
from feature_store.schema import EVENTS, FACTS, IMPRESSIONS, ITEM_CHANGES, ITEMS, REJECTED, TABLES, USERS, Table
from feature_store.table_writes import TableChange, has_id, remove_id

_SEARCH_ROUNDS = 5
_MAX_NAMED = 5
_OTHER_WRITERS_S = 1.0
"""After forgetting beside other writers (seconds): one that had read the table before may leave a file until then."""


@dataclass(frozen=True)
class Forgetting:
    """Forgets ids in one store, through the store's own reads and commits."""

    path: str
    read: Callable[[Table], pl.DataFrame]
    open: Callable[[Table], DeltaTable | None]
    """The newest version of a table; None if there is no such table."""
    rewrite: Callable[[Table, Callable[[DeltaTable], TableChange]], TableChange]
    """Commits a change that writes stored rows anew, and repeats it if another writer was first."""
    erase_history: Callable[[Table], TableChange]

    def forget(self, column: str, value: object) -> Forgotten:
        """Removes the rows whose `column` holds the id, rejected ones that hold it anywhere, and the older files.

        Raises DataError if there is a link in the store's folder, a file cannot be removed, or one still holds the id.
        """
        folder = local_folder(self.path)
        if folder is not None:
            refuse_links(folder)
        search = IdSearch(value)
        mentions = self._mentions(column, value, search)
        n_removed = {}
        for table in TABLES:
            if self.open(table) is not None and (table is REJECTED or _names(table, column)):
                change = self.rewrite(table, partial(remove_id, table=table, column=column, value=value))
                self.erase_history(table)
                n_removed[table.name] = change.n_rows
        if folder is not None:
            remove_derived(folder)
            erased = [table for table in TABLES if table.name in n_removed]
            self._erase_files_of_other_writers(folder, erased, search)
        return Forgotten(column, n_removed, mentions)

    def _mentions(self, column: str, value: object, search: IdSearch) -> dict[str, int]:
        """Rows of others that mention the id, by table.column."""
        mentions: dict[str, int] = {}
        for table in (ITEMS, ITEM_CHANGES, EVENTS, IMPRESSIONS, USERS, FACTS):
            rows = self.read(table)
            if table is FACTS and _names(table, column):
                rows = rows.filter(~are_about(rows["subject"], value))
            if column in rows.columns:
                rows = rows.filter(~has_id(rows, column, value))
            mentions |= {f"{table.name}.{name}": n for name, n in search.mentions(rows).items()}
        return mentions

    def _erase_files_of_other_writers(self, folder: Path, erased: list[Table], search: IdSearch) -> None:
        """Searches the files for the id, and erases again what writers that were running have left.

        A table without the column is left out: its older versions stay readable.
        """
        others = [folder / table.name for table in TABLES if table not in erased]
        left: list[Path] = []
        for number in range(_SEARCH_ROUNDS):
            tables = {folder / table.name: self.open(table) for table in erased}
            opened = {root: delta for root, delta in tables.items() if isinstance(delta, LocalTable)}
            left = list(obsolete_files_with(search, folder, opened, left_out=others))
            if not left and (number > 0 or not any(_is_written_to(root) for root in opened)):
                return
            time.sleep(_OTHER_WRITERS_S)
            for table in erased:
                root = folder / table.name
                if any(path.is_relative_to(root) for path in left):
                    self.erase_history(table)
        if left:
            names = ", ".join(repr(path.relative_to(folder).as_posix()) for path in left[:_MAX_NAMED])
            expected = f"no file in {self.path!r} that holds the id"
            remedy = "The rows are removed. Delete these files if recmem did not write them, or repeat the call."
            raise DataError(f"store: expected {expected}, got {names}. {remedy}")


def _names(table: Table, column: str) -> bool:
    """Whether rows of the table are about such an id: those of facts are about items, and about no users."""
    return column in table.schema() or (table is FACTS and column == "item_id")


def _is_written_to(folder: Path) -> bool:
    """Whether another writer has committed since the table's history was erased."""
    versions = log_versions(folder)
    checkpoint = min((version for name, version in versions.items() if "checkpoint" in name), default=0)
    return max(versions.values(), default=0) > checkpoint
