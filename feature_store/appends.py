"""Appends to a store: which rows of a frame are added, which are rejected, and what that settles."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial

import polars as pl
from deltalake import DeltaTable

from feature_store._delta import failures, scan
from feature_store.addresses import without_secrets
from feature_store.files.file_rows import FileRows
from feature_store.item_changes import changes_of, descriptions_of, tables_of, write_changes, write_descriptions
from feature_store.number_columns import as_numbers_again, without_numbers
from feature_store.receipts import Receipt, examples_of
from feature_store.rejected_rows import first_lines, rejected_rows, with_unreadable
from feature_store.schema import (
    EVENTS,
    FACTS,
    IMPRESSIONS,
    ITEM_CHANGES,
    ITEM_VECTORS,
    ITEMS,
    REJECTED,
    USERS,
    Table,
    are_dated_items,
)
from feature_store.settled_rows import STORED, settle, stored_since, were_settled, write_rejected
from feature_store.signals import SignalConfig
from feature_store.store_tables import StoreTables
from feature_store.table_checks import Checked, check_table
from feature_store.table_writes import (
    TableChange,
    write_events,
    write_facts,
    write_impressions,
    write_items,
    write_vectors,
)
from feature_store.user_rows import write_users
from feature_store.warnings.time_warnings import with_line
from feature_store.warnings.undated_items import several_texts

WRITES: Mapping[Table, Callable[[DeltaTable, pl.DataFrame], TableChange]] = {
    ITEMS: write_items,
    EVENTS: write_events,
    IMPRESSIONS: write_impressions,
    ITEM_VECTORS: write_vectors,
    USERS: write_users,
    FACTS: write_facts,
}
"""The tables that a caller appends to, and what commits their valid rows."""


@dataclass(frozen=True)
class Appends:
    """Appends to the tables of one store."""

    tables: StoreTables

    def append(self, table: Table, frame: pl.DataFrame | FileRows, signals: SignalConfig | None) -> Receipt:
        """See `Store.append`."""
        given = frame if isinstance(frame, FileRows) else FileRows(frame)
        checked = self._checked(given.frame, table, signals)
        rejected = with_unreadable(rejected_rows(checked, given.lines), given.unreadable, table)
        if rejected.height:
            self.tables.commit(REJECTED, partial(write_rejected, rejected=rejected), rewrites=True)
        change = self._as_numbers_again(checked, self._write_valid(checked), signals)
        is_known = self._settle_stored(checked, rejected)
        n_invalid = checked.invalid.height
        of_rows = [with_line(warning, given.lines) for warning in checked.warnings]
        return Receipt(
            table=table.name,
            n_in=given.n_rows,
            n_new=change.n_rows if change else 0,
            n_duplicate=checked.kept.height - (change.n_rows if change else 0),
            n_rejected=int((~is_known).sum()),
            version=change.version if change else None,
            reasons=dict(rejected.filter(~is_known)["reason"].value_counts(sort=True).iter_rows()),
            warnings=(*given.warnings, *of_rows, *(change.warnings if change else ())),
            examples=first_lines(given.unreadable.filter(~is_known[n_invalid:]))
            | examples_of(checked, given.lines, among=~is_known[:n_invalid]),
            n_known=int(is_known.sum()),
        )

    def check(
        self,
        table: Table,
        frame: pl.DataFrame,
        *,
        decided: Mapping[str, pl.DataType] | None = None,
        signals: SignalConfig | None = None,
    ) -> Checked:
        """See `Store.check`."""
        stored = {**(decided or {}), **self.tables.decided_dtypes(table)}
        dated = self._dated_columns() if table == ITEMS else ()
        return check_table(frame, table, stored=stored, signals=signals, dated=dated)

    def _checked(self, frame: pl.DataFrame, table: Table, signals: SignalConfig | None) -> Checked:
        """As `check`, of tables that exist: those that the valid rows are the first of are created."""
        checked = self.check(table, frame, signals=signals)
        new = {each: rows for each, rows in tables_of(checked).items() if self.tables.newest(each) is None}
        if checked.kept.height and new:
            for each, rows in new.items():
                with failures(self.tables.uri(each)):
                    self.tables.create(each, dict(rows.schema))
            # Another writer may have created it first, with ids of another dtype.
            checked = self.check(table, frame, signals=signals)
        return checked

    def _write_valid(self, checked: Checked) -> TableChange | None:
        """Commits the valid rows; None if the table does not exist yet and there is nothing to write."""
        if checked.kept.height and are_dated_items(checked.table):
            return self._write_dated(checked)
        if checked.kept.height:
            write = WRITES[checked.table]
            rewrites = checked.table in (ITEMS, ITEM_VECTORS, USERS)
            return self.tables.commit(checked.table, lambda delta: write(delta, checked.kept), rewrites=rewrites)
        delta = self.tables.newest(checked.table)
        return None if delta is None else TableChange(0, delta.version())

    def _settle_stored(self, checked: Checked, given: pl.DataFrame) -> pl.Series:
        """Settles rejected rows that are stored in a valid form by now; which of `given` are settled: bool[row].

        `given` are the rows of `rejected` that came with `checked`. A call that was killed before this can be repeated.
        """
        past = self.tables.read(REJECTED, None).filter(table=checked.table.name)
        if past.is_empty():
            return were_settled(given, past)

        def attempt() -> list[str]:
            delta = self.tables.open(checked.table)
            stored = None if delta is None else scan(delta, checked.table.schema())
            with failures(self.tables.uri(checked.table)):
                return stored_since(past, given, checked, stored)

        if hashes := self.tables.steadily(checked.table, attempt):
            self.tables.commit(REJECTED, partial(settle, hashes=hashes, how=STORED), rewrites=True)
            past = self.tables.read(REJECTED, None).filter(table=checked.table.name)
        return were_settled(given, past)

    def _as_numbers_again(
        self, checked: Checked, change: TableChange | None, signals: SignalConfig | None
    ) -> TableChange | None:
        """The change, after columns that came as numbers and are stored as text became numbers where all cells are."""
        if not checked.numbers or change is None:
            return change
        table = ITEMS if are_dated_items(checked.table) else checked.table
        retype = partial(as_numbers_again, table=table, names=checked.numbers, store=without_secrets(self.tables.root))
        retyped = self.tables.commit(table, retype, rewrites=True)
        change = replace(change, version=retyped.version, warnings=(*change.warnings, *retyped.warnings))
        is_dated = are_dated_items(checked.table)
        if not retyped.n_rows or not (is_dated or table == IMPRESSIONS):
            return change
        # Numbers of rows about which the store said nothing: they are read as of their times, or fill empty cells.
        again = self._write_valid(self.check(checked.table, checked.frame, signals=signals))
        if again is None or not is_dated:
            return change if again is None else replace(change, version=again.version)
        lacking = without_numbers(self.tables.read(ITEM_CHANGES, None), checked.numbers)
        return replace(change, version=again.version, warnings=(*again.warnings, *retyped.warnings, *lacking))

    def _write_dated(self, checked: Checked) -> TableChange:
        """Commits the changes, then the descriptions; a call that was killed in between can be repeated."""
        given = changes_of(checked.kept)
        changed = self.tables.commit(ITEM_CHANGES, lambda delta: write_changes(delta, given), rewrites=True)
        changes = self.tables.read(ITEM_CHANGES, None)
        described = descriptions_of(checked.kept)
        change = self.tables.commit(ITEMS, lambda delta: write_descriptions(delta, described, changes), rewrites=True)
        warnings = (*changed.warnings, *several_texts(checked.kept))
        return TableChange(max(changed.n_rows, change.n_rows), change.version, warnings)

    def _dated_columns(self) -> list[str]:
        """The columns of items that came with times."""
        return [name for name in self.tables.schema(ITEM_CHANGES) or {} if name not in ITEM_CHANGES.schema()]
