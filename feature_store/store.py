"""The store: items, their changes, events, impressions, users, facts and rejected rows, as Delta tables of a folder."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import TypeVar

import polars as pl
from deltalake import DeltaTable
from deltalake.exceptions import DeltaError

from feature_store._delta import (
    LocalTable,
    TableError,
    create_table,
    failures,
    local_folder,
    open_table,
    scan,
    stored_schema,
    table_root,
    until_committed,
)
from feature_store.addresses import cause_without_secrets, redact, without_secrets
from feature_store.data_errors import DataError
from feature_store.derived_files import DerivedFiles
from feature_store.files.file_rows import FileRows
from feature_store.forgetting.erasure import refuse_stray_commit
from feature_store.forgetting.forget import Forgetting
from feature_store.item_changes import (
    changes_of,
    descriptions_of,
    tables_of,
    write_changes,
    write_descriptions,
)
from feature_store.noted_digests import TableDigests, written_files
from feature_store.number_columns import as_numbers_again, without_numbers
from feature_store.receipts import Forgotten, Receipt, examples_of
from feature_store.rejected_rows import first_lines, rejected_rows, with_unreadable
from feature_store.schema import (
    EVENTS,
    FACTS,
    IMPRESSIONS,
    ITEM_CHANGES,
    ITEM_VECTORS,
    ITEMS,
    REJECTED,
    TABLES,
    USERS,
    Checked,
    Table,
    are_dated_items,
    check_table,
)
from feature_store.settled_rows import (
    STORED,
    WRITTEN_OFF,
    are_open,
    replace_rejected,
    settle,
    stored_since,
    were_settled,
    write_rejected,
)
from feature_store.signals import SignalConfig
from feature_store.table_writes import (
    TableChange,
    remove_history,
    write_events,
    write_facts,
    write_impressions,
    write_items,
    write_vectors,
)
from feature_store.user_rows import write_users
from feature_store.warnings.time_warnings import with_line
from feature_store.warnings.undated_items import several_texts

Result = TypeVar("Result")

_DIGEST_CHARS = 16
_WRITES: Mapping[Table, Callable[[DeltaTable, pl.DataFrame], TableChange]] = {
    ITEMS: write_items,
    EVENTS: write_events,
    IMPRESSIONS: write_impressions,
    ITEM_VECTORS: write_vectors,
    USERS: write_users,
    FACTS: write_facts,
}


class Store:
    """Durable tables of one recommender.

    Every append is one atomic commit on the version that it has read; if another writer committed first, it reads
    again. So concurrent writers never add a row twice, and a killed append changes nothing. Invalid rows go to
    `rejected`, in a commit before that of the valid rows. An append can therefore be repeated at any point.

    Get one with `Store.create`, `Store.open` or `Store.open_or_create`. It keeps no handle open and is thread-safe.
    """

    def __init__(self, path: str | Path, *, storage_options: Mapping[str, str] | None = None) -> None:
        self.path = table_root(path)
        self._storage_options = dict(storage_options) if storage_options else None
        folder = local_folder(self.path)
        # An object store checks what it holds itself.
        self._digests = {} if folder is None else {table: TableDigests(folder / table.name) for table in TABLES}

    @classmethod
    def create(cls, path: str | Path, *, storage_options: Mapping[str, str] | None = None) -> Store:
        """Creates an empty store in a local folder or at an object store's URL. Raises DataError if one exists."""
        store = cls(path, storage_options=storage_options)
        if not store._create():
            shown = without_secrets(store.path)
            raise DataError(f"store.path: expected a path without a store, got one at {shown!r}. Use Store.open.")
        return store

    @classmethod
    def open(cls, path: str | Path, *, storage_options: Mapping[str, str] | None = None) -> Store:
        """Opens an existing store. Raises DataError if there is none."""
        store = cls(path, storage_options=storage_options)
        if store._delta(REJECTED) is None:
            shown = without_secrets(store.path)
            raise DataError(
                f"store.path: expected a store, got none at {shown!r}. Check the path, or create a store: "
                "`recmem ingest`, or Store.create."
            )
        return store

    @classmethod
    def open_or_create(cls, path: str | Path, *, storage_options: Mapping[str, str] | None = None) -> Store:
        """Opens the store, creating it first if needed; several processes may do so at the same time."""
        store = cls(path, storage_options=storage_options)
        store._create()
        return store

    def append(self, table: Table, frame: pl.DataFrame | FileRows, *, signals: SignalConfig | None = None) -> Receipt:
        """Appends rows to ITEMS, EVENTS, IMPRESSIONS, USERS or FACTS; the methods named after them describe the rules.

        Of a file that was read (`read_table`), lines without a row count as rejected, and its warnings go into the
        receipt. `signals` says how events will be judged, for warnings about ratings; by default as `SignalConfig()`.

        Raises:
            DataError: the frame as a whole is invalid, see `check_table`; nothing is written then.
            ValueError: the table is REJECTED or ITEM_CHANGES, which the store alone writes to.
        """
        if not isinstance(table, Table):
            raise ValueError(f"table: expected a table such as feature_store.EVENTS, got {table!r}. Import its name.")
        if table not in _WRITES:
            names = ", ".join(each.name for each in (ITEMS, EVENTS, IMPRESSIONS))
            raise ValueError(f"table: expected one of {names}, got {table.name}. Append to one of these tables.")
        given = frame if isinstance(frame, FileRows) else FileRows(frame)
        checked = self._checked(given.frame, table, signals)
        rejected = with_unreadable(rejected_rows(checked, given.lines), given.unreadable, table)
        if rejected.height:
            self._commit(REJECTED, partial(write_rejected, rejected=rejected), rewrites=True)
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

    def append_items(self, frame: pl.DataFrame) -> Receipt:
        """Adds items, or updates the description of stored ones.

        The newest description wins; within a frame that is the last row of an item, and earlier rows count as
        duplicates. A column that the frame lacks keeps its stored value. A row that changes nothing is a duplicate.

        A frame with a `timestamp` has a row a change, and its numbers are read as of their times:
        `feature_store.item_changes`.
        """
        return self.append(ITEMS, frame)

    def append_events(self, frame: pl.DataFrame) -> Receipt:
        """Adds the events that are not stored yet.

        An event is identified by its `event_id` or, without one, by user, item, timestamp and event. The first of
        several events with one identity is stored, even if value, session or arrival differ. Columns that the table
        does not have are dropped. A row with `cancels` cancels the event of that `event_id`:
        `feature_store.cancellations`.
        """
        return self.append(EVENTS, frame)

    def append_impressions(self, frame: pl.DataFrame) -> Receipt:
        """Adds the shown items that are not stored yet.

        They are identified by user, timestamp, impression and item; the first wins. So an `impression_id` may come
        again with another user or time, as where several files number theirs from 1.
        """
        return self.append(IMPRESSIONS, frame)

    def append_users(self, frame: pl.DataFrame) -> Receipt:
        """Adds what is known of users: attributes and interests, a row a change.

        A row holds from its `timestamp` on, until the user's next one; without a timestamp it always did. It is whole:
        what a later row leaves out is missing from then on. A row with the user and timestamp of a stored one replaces
        it, but for columns that the frame lacks; one that changes nothing is a duplicate.
        """
        return self.append(USERS, frame)

    def append_facts(self, frame: pl.DataFrame) -> Receipt:
        """Adds facts of items that are not stored yet: subject, relation and object, as text.

        A subject is an item's id, or the object of another fact. Nothing of an item's facts is replaced: facts that no
        longer hold are removed with the item (`forget_item`), or by a store of its own.
        """
        return self.append(FACTS, frame)

    def check(
        self,
        table: Table,
        frame: pl.DataFrame,
        *,
        decided: Mapping[str, pl.DataType] | None = None,
        signals: SignalConfig | None = None,
    ) -> Checked:
        """Validates a frame as `append` would, without writing: the valid rows, and what is wrong with the others.

        `decided` gives the dtypes of ids that other tables will have decided by then; `signals` as for `append`.
        """
        stored = {**(decided or {}), **self._decided_dtypes(table)}
        dated = self._dated_columns() if table == ITEMS else ()
        return check_table(frame, table, stored=stored, signals=signals, dated=dated)

    def read(self, table: Table, *, version: int | None = None) -> pl.DataFrame:
        """The rows of a table, by default of its newest version, in no particular order; empty if there is no table.

        Raises DataError if there is no such version, it was erased when a user or an item was forgotten, or a file is
        not as it was written.
        """
        return self._steadily(table, lambda: self._read(table, version))

    def items(self, version: int | None = None) -> pl.DataFrame:
        """`read(ITEMS)`: `item_id` and every column that items were appended with."""
        return self.read(ITEMS, version=version)

    def item_changes(self, version: int | None = None) -> pl.DataFrame:
        """`read(ITEM_CHANGES)`: the numbers of items that came with times, a row a change; empty without such items."""
        return self.read(ITEM_CHANGES, version=version)

    def events(self, version: int | None = None) -> pl.DataFrame:
        """`read(EVENTS)`: all columns of the table, null where the appended frame had none."""
        return self.read(EVENTS, version=version)

    def impressions(self, version: int | None = None) -> pl.DataFrame:
        """`read(IMPRESSIONS)`: the shown items with their labels."""
        return self.read(IMPRESSIONS, version=version)

    def users(self, version: int | None = None) -> pl.DataFrame:
        """`read(USERS)`: `user_id`, `timestamp`, `available_at` and every column that users were appended with."""
        return self.read(USERS, version=version)

    def facts(self, version: int | None = None) -> pl.DataFrame:
        """`read(FACTS)`: `subject`, `relation`, `object` and `language`; empty in a store without facts."""
        return self.read(FACTS, version=version)

    def rejected(self, version: int | None = None) -> pl.DataFrame:
        """The open rows of `read(REJECTED)`: `table`, `reason`, `row` (JSON text), `row_number`, `content_hash`, ...

        Not those that were dealt with: corrected, stored since in a valid form, or written off.
        """
        rejected = self.read(REJECTED, version=version)
        return rejected.filter(are_open(rejected))

    def settle_rejected(self, content_hashes: Sequence[str], how: str = WRITTEN_OFF) -> int:
        """Marks rejected rows as dealt with, by default as written off; returns how many were open.

        They stay in the table, and are not reported any more, also when they come again unchanged. `how`: one of those
        of `feature_store.settled_rows`.
        """
        return self._commit(REJECTED, partial(settle, hashes=content_hashes, how=how), rewrites=True).n_rows

    def replace_rejected(self, corrections: Mapping[str, str]) -> None:
        """Notes corrections that were rejected in their turn: content hash of the row -> that of its correction."""
        self._commit(REJECTED, partial(replace_rejected, corrections=corrections), rewrites=True)

    def forget_user(self, user_id: object) -> Forgotten:
        """Removes every row of the user, rejected ones too, and the history of the tables that may still hold it.

        Older versions can no longer be read. Events that arrive later for this user are new data. The call can be
        repeated, and has to be if it was killed.
        """
        return self._forgetting().forget("user_id", user_id)

    def forget_item(self, item_id: object) -> Forgotten:
        """As `forget_user`, for an item with its events and impressions."""
        return self._forgetting().forget("item_id", item_id)

    def versions(self) -> dict[str, int]:
        """The newest version of each existing table."""
        return {name: table.version() for name, table in self._tables().items()}

    def digest(self) -> str:
        """16 hex digits that change with every commit and differ between stores."""
        return digest_of(self._tables())

    def identity(self) -> str:
        """16 hex digits that never change and differ between stores; those of a copied folder are the same."""
        table = self._delta(REJECTED)  # every store has it from its creation on
        return "" if table is None else sha256(str(table.metadata().id).encode()).hexdigest()[:_DIGEST_CHARS]

    def __repr__(self) -> str:
        return f"Store({without_secrets(self.path)!r})"

    def digests(self) -> dict[Table, TableDigests]:
        """The noted digests of each table's files; empty on an object store, which checks what it holds itself."""
        return dict(self._digests)

    def derived_files(self) -> DerivedFiles | None:
        """What was computed of the tables and is kept until an id is forgotten; None on an object store."""
        folder = local_folder(self.path)
        return None if folder is None else DerivedFiles(folder)

    def file_names(self, table: Table) -> list[str]:
        """Names of the newest version's files below the table's folder; empty without a table, or on an object store.

        Raises DataError if the table's log is not as it was written.
        """
        delta = self._delta(table)
        return delta.file_names() if isinstance(delta, LocalTable) and table in self._digests else []

    def _read(self, table: Table, version: int | None) -> pl.DataFrame:
        delta = self._delta(table)
        _check_version(table, version, delta)
        if delta is None:
            return pl.DataFrame(schema=table.schema(self._decided_dtypes(table)))
        if version is None:
            self._check_files(table, delta)
            with failures(self._uri(table)):
                return scan(delta, table.schema()).collect()
        try:
            with failures(self._uri(table)):
                delta.load_as_version(version)
            self._check_files(table, delta)
            with failures(self._uri(table)):
                return scan(delta, table.schema()).collect()
        except TableError as error:
            expected = "a version that can still be read"
            remedy = "Forgetting a user or an item deletes old versions. Read the newest one."
            raise TableError(
                f"{table.name}.version: expected {expected}, got {version}, which is gone. {remedy}"
            ) from error

    def _uri(self, table: Table) -> str:
        return f"{self.path}/{table.name}"

    def _create(self) -> bool:
        try:
            return self._create_table(REJECTED, REJECTED.schema())
        except (DeltaError, OSError) as error:
            cause = redact(str(error), addresses=[self.path]).partition("\n")[0]
            got = f"{without_secrets(self.path)!r} ({cause})"
            remedy = "Choose another folder, or change its permissions."
            reason = cause_without_secrets(error, addresses=[self.path])
            raise DataError(f"store.path: expected a folder that can be written, got {got}. {remedy}") from reason

    def _create_table(self, table: Table, schema: dict[str, pl.DataType]) -> bool:
        is_new = create_table(self._uri(table), schema, storage_options=self._storage_options)
        if is_new:
            self._note(table, range(1))
        return is_new

    def _note(self, table: Table, versions: range) -> None:
        """Notes the digests of the files that these commits of ours have written."""
        digests = self._digests.get(table)
        if digests is not None:
            digests.note(name for version in versions for name in written_files(digests.folder, version))

    def _delta(self, table: Table) -> DeltaTable | None:
        """The newest version. Raises DataError if its log is not as it was written."""
        return self._steadily(table, lambda: self._open(table))

    def _open(self, table: Table) -> DeltaTable | None:
        digests = self._digests.get(table)
        if digests is None:
            return open_table(self._uri(table), storage_options=self._storage_options)
        noted = digests.noted()
        digests.check_log(noted)
        delta = open_table(self._uri(table), storage_options=self._storage_options)
        if delta is not None:
            digests.check_newest(delta.version(), noted)
        return delta

    def _check_files(self, table: Table, delta: DeltaTable) -> None:
        """Raises DataError if a file of the open version is not as it was written."""
        if isinstance(delta, LocalTable) and table in self._digests:
            digests = self._digests[table]
            with failures(self._uri(table)):
                digests.check(delta.file_names(), digests.noted())

    def _steadily(self, table: Table, attempt: Callable[[], Result]) -> Result:
        """What `attempt` returns; repeated while another process commits or removes older files in between."""
        return until_committed(attempt, uri=self._uri(table))

    def _tables(self) -> dict[str, DeltaTable]:
        found = ((table.name, self._delta(table)) for table in TABLES)
        return {name: table for name, table in found if table is not None}

    def _decided_dtypes(self, table: Table) -> dict[str, pl.DataType]:
        """Dtypes that earlier appends decided: all of the table's own or, for a new table, those of ids elsewhere."""
        own = self._stored_schema(table)
        if own is not None:
            return own
        # A table's own ids only: items may have a column `user_id` that is no user's id.
        decided: dict[str, pl.DataType] = {}
        for other in (ITEMS, EVENTS, IMPRESSIONS, USERS):
            stored = self._stored_schema(other)
            if stored is not None:
                decided |= {column.name: stored[column.name] for column in other.columns if column.parse is None}
        return decided

    def _stored_schema(self, table: Table) -> dict[str, pl.DataType] | None:
        def attempt() -> dict[str, pl.DataType] | None:
            delta = self._open(table)
            return None if delta is None else stored_schema(delta)

        return self._steadily(table, attempt)

    def _checked(self, frame: pl.DataFrame, table: Table, signals: SignalConfig | None) -> Checked:
        checked = self.check(table, frame, signals=signals)
        new = {each: rows for each, rows in tables_of(checked).items() if self._delta(each) is None}
        if checked.kept.height and new:
            for each, rows in new.items():
                with failures(self._uri(each)):
                    self._create_table(each, dict(rows.schema))
            # Another writer may have created it first, with ids of another dtype.
            checked = self.check(table, frame, signals=signals)
        return checked

    def _write_valid(self, checked: Checked) -> TableChange | None:
        """Commits the valid rows; None if the table does not exist yet and there is nothing to write."""
        if checked.kept.height and are_dated_items(checked.table):
            return self._write_dated(checked)
        if checked.kept.height:
            write = _WRITES[checked.table]
            rewrites = checked.table in (ITEMS, ITEM_VECTORS, USERS)
            return self._commit(checked.table, lambda delta: write(delta, checked.kept), rewrites=rewrites)
        delta = self._delta(checked.table)
        return None if delta is None else TableChange(0, delta.version())

    def _settle_stored(self, checked: Checked, given: pl.DataFrame) -> pl.Series:
        """Settles rejected rows that are stored in a valid form by now; which of `given` are settled: bool[row].

        `given` are the rows of `rejected` that came with `checked`. A call that was killed before this can be repeated.
        """
        past = self.read(REJECTED).filter(table=checked.table.name)
        if past.is_empty():
            return were_settled(given, past)

        def attempt() -> list[str]:
            delta = self._open(checked.table)
            stored = None if delta is None else scan(delta, checked.table.schema())
            with failures(self._uri(checked.table)):
                return stored_since(past, given, checked, stored)

        if hashes := self._steadily(checked.table, attempt):
            self.settle_rejected(hashes, STORED)
            past = self.read(REJECTED).filter(table=checked.table.name)
        return were_settled(given, past)

    def _as_numbers_again(
        self, checked: Checked, change: TableChange | None, signals: SignalConfig | None
    ) -> TableChange | None:
        """The change, after columns that came as numbers and are stored as text became numbers where all cells are."""
        if not checked.numbers or change is None:
            return change
        table = ITEMS if are_dated_items(checked.table) else checked.table
        retype = partial(as_numbers_again, table=table, names=checked.numbers, store=without_secrets(self.path))
        retyped = self._commit(table, retype, rewrites=True)
        change = replace(change, version=retyped.version, warnings=(*change.warnings, *retyped.warnings))
        is_dated = are_dated_items(checked.table)
        if not retyped.n_rows or not (is_dated or table == IMPRESSIONS):
            return change
        # Numbers of rows about which the store said nothing: they are read as of their times, or fill empty cells.
        again = self._write_valid(self.check(checked.table, checked.frame, signals=signals))
        if again is None or not is_dated:
            return change if again is None else replace(change, version=again.version)
        lacking = without_numbers(self.item_changes(), checked.numbers)
        return replace(change, version=again.version, warnings=(*again.warnings, *retyped.warnings, *lacking))

    def _write_dated(self, checked: Checked) -> TableChange:
        """Commits the changes, then the descriptions; a call that was killed in between can be repeated."""
        given = changes_of(checked.kept)
        changed = self._commit(ITEM_CHANGES, lambda delta: write_changes(delta, given), rewrites=True)
        changes = self.item_changes()
        described = descriptions_of(checked.kept)
        change = self._commit(ITEMS, lambda delta: write_descriptions(delta, described, changes), rewrites=True)
        warnings = (*changed.warnings, *several_texts(checked.kept))
        return TableChange(max(changed.n_rows, change.n_rows), change.version, warnings)

    def _dated_columns(self) -> list[str]:
        """The columns of items that came with times."""
        return [name for name in self._stored_schema(ITEM_CHANGES) or {} if name not in ITEM_CHANGES.schema()]

    def _forgetting(self) -> Forgetting:
        return Forgetting(
            self.path,
            read=self.read,
            open=self._delta,
            rewrite=partial(self._commit, rewrites=True),
            erase_history=lambda table: self._commit(table, remove_history),
        )

    def _commit(
        self, table: Table, write: Callable[[DeltaTable], TableChange], *, rewrites: bool = False
    ) -> TableChange:
        """Repeats `write` until it commits. `rewrites`: it writes stored rows anew, so they are checked first."""

        def attempt() -> TableChange:
            delta = self._open(table)
            if delta is None:
                raise DataError(f"store.{table.name}: expected a table, got none yet. Append rows to it first.")
            if rewrites:
                self._check_files(table, delta)
            read = delta.version()
            with failures(self._uri(table)):
                change = write(delta)
                # Erasing checks this itself, before it removes the entry that it has read.
                if write is not remove_history and delta.version() > read and table in self._digests:
                    refuse_stray_commit(self._digests[table].folder, read, delta.version())
                self._note(table, range(read + 1, delta.version() + 1))
            return change

        return self._steadily(table, attempt)


def digest_of(tables: Mapping[str, DeltaTable]) -> str:
    """A store's digest, of its tables as they were opened."""
    state = [f"{name} {table.metadata().id} {table.version()}" for name, table in sorted(tables.items())]
    return sha256("\n".join(state).encode()).hexdigest()[:_DIGEST_CHARS]


def _check_version(table: Table, version: int | None, delta: DeltaTable | None) -> None:
    newest = -1 if delta is None else delta.version()
    if version is not None and not 0 <= version <= newest:
        expected = f"a version from 0 to {newest}" if delta else "no version, because the table does not exist yet"
        raise DataError(f"{table.name}.version: expected {expected}, got {version}. See Store.versions().")
