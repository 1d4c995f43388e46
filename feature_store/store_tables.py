"""The Delta tables of one store, whose files are checked: opened, created, read, and committed to."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from hashlib import sha256
from pathlib import Path
from typing import TypeVar

import polars as pl
from deltalake import DeltaTable

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
from feature_store.data_errors import DataError
from feature_store.forgetting.erasure import refuse_stray_commit
from feature_store.noted_digests import TableDigests, written_files
from feature_store.schema import EVENTS, IMPRESSIONS, ITEMS, REJECTED, TABLES, USERS, Table
from feature_store.table_writes import TableChange, remove_history

Result = TypeVar("Result")

_DIGEST_CHARS = 16


class StoreTables:
    """The tables below a store's root. Thread-safe: it keeps no table open.

    In a local folder every read compares the files with the digests that were noted when they were written.
    """

    def __init__(self, path: str | Path, storage_options: Mapping[str, str] | None) -> None:
        self.root = table_root(path)
        self.storage_options = dict(storage_options) if storage_options else None
        folder = local_folder(self.root)
        # An object store checks what it holds itself.
        self.digests = {} if folder is None else {table: TableDigests(folder / table.name) for table in TABLES}

    def uri(self, table: Table) -> str:
        """Where the table lies."""
        return f"{self.root}/{table.name}"

    def create(self, table: Table, schema: dict[str, pl.DataType]) -> bool:
        """Creates the table, empty; whether it is new. It may be created by another writer at the same time."""
        is_new = create_table(self.uri(table), schema, storage_options=self.storage_options)
        if is_new:
            self._note(table, range(1))
        return is_new

    def newest(self, table: Table) -> DeltaTable | None:
        """The newest version; None if there is no table. Raises DataError if its log is not as it was written."""
        return self.steadily(table, lambda: self.open(table))

    def existing(self) -> dict[str, DeltaTable]:
        """The newest version of each table that exists, by name."""
        found = ((table.name, self.newest(table)) for table in TABLES)
        return {name: table for name, table in found if table is not None}

    def open(self, table: Table) -> DeltaTable | None:
        """As `newest`, within an attempt of `steadily`: a commit in between is an error."""
        digests = self.digests.get(table)
        if digests is None:
            return open_table(self.uri(table), storage_options=self.storage_options)
        noted = digests.noted()
        digests.check_log(noted)
        delta = open_table(self.uri(table), storage_options=self.storage_options)
        if delta is not None:
            digests.check_newest(delta.version(), noted)
        return delta

    def read(self, table: Table, version: int | None) -> pl.DataFrame:
        """See `Store.read`."""
        return self.steadily(table, lambda: self._read(table, version))

    def schema(self, table: Table) -> dict[str, pl.DataType] | None:
        """The columns of the newest version; None if there is no table."""

        def attempt() -> dict[str, pl.DataType] | None:
            delta = self.open(table)
            return None if delta is None else stored_schema(delta)

        return self.steadily(table, attempt)

    def decided_dtypes(self, table: Table) -> dict[str, pl.DataType]:
        """Dtypes that earlier appends decided: all of the table's own or, for a new table, those of ids elsewhere."""
        own = self.schema(table)
        if own is not None:
            return own
        # A table's own ids only: items may have a column `user_id` that is no user's id.
        decided: dict[str, pl.DataType] = {}
        for other in (ITEMS, EVENTS, IMPRESSIONS, USERS):
            stored = self.schema(other)
            if stored is not None:
                decided |= {column.name: stored[column.name] for column in other.columns if column.parse is None}
        return decided

    def file_names(self, table: Table) -> list[str]:
        """See `Store.file_names`."""
        delta = self.newest(table)
        return delta.file_names() if isinstance(delta, LocalTable) and table in self.digests else []

    def digest(self) -> str:
        """See `Store.digest`."""
        return digest_of(self.existing())

    def identity(self) -> str:
        """See `Store.identity`."""
        table = self.newest(REJECTED)  # every store has it from its creation on
        return "" if table is None else sha256(str(table.metadata().id).encode()).hexdigest()[:_DIGEST_CHARS]

    def steadily(self, table: Table, attempt: Callable[[], Result]) -> Result:
        """What `attempt` returns; repeated while another process commits or removes older files in between."""
        return until_committed(attempt, uri=self.uri(table))

    def commit(
        self, table: Table, write: Callable[[DeltaTable], TableChange], *, rewrites: bool = False
    ) -> TableChange:
        """Repeats `write` until it commits. `rewrites`: it writes stored rows anew, so they are checked first."""

        def attempt() -> TableChange:
            delta = self.open(table)
            if delta is None:
                raise DataError(f"store.{table.name}: expected a table, got none yet. Append rows to it first.")
            if rewrites:
                self._check_files(table, delta)
            read = delta.version()
            with failures(self.uri(table)):
                change = write(delta)
                # Erasing checks this itself, before it removes the entry that it has read.
                if write is not remove_history and delta.version() > read and table in self.digests:
                    refuse_stray_commit(self.digests[table].folder, read, delta.version())
                self._note(table, range(read + 1, delta.version() + 1))
            return change

        return self.steadily(table, attempt)

    def _read(self, table: Table, version: int | None) -> pl.DataFrame:
        delta = self.newest(table)
        _check_version(table, version, delta)
        if delta is None:
            return pl.DataFrame(schema=table.schema(self.decided_dtypes(table)))
        if version is None:
            self._check_files(table, delta)
            with failures(self.uri(table)):
                return scan(delta, table.schema()).collect()
        try:
            with failures(self.uri(table)):
                delta.load_as_version(version)
            self._check_files(table, delta)
            with failures(self.uri(table)):
                return scan(delta, table.schema()).collect()
        except TableError as error:
            expected = "a version that can still be read"
            remedy = "Forgetting a user or an item deletes old versions. Read the newest one."
            raise TableError(
                f"{table.name}.version: expected {expected}, got {version}, which is gone. {remedy}"
            ) from error

    def _note(self, table: Table, versions: range) -> None:
        """Notes the digests of the files that these commits of ours have written."""
        digests = self.digests.get(table)
        if digests is not None:
            digests.note(name for version in versions for name in written_files(digests.folder, version))

    def _check_files(self, table: Table, delta: DeltaTable) -> None:
        """Raises DataError if a file of the open version is not as it was written."""
        if isinstance(delta, LocalTable) and table in self.digests:
            digests = self.digests[table]
            with failures(self.uri(table)):
                digests.check(delta.file_names(), digests.noted())


def digest_of(tables: Mapping[str, DeltaTable]) -> str:
    """A store's digest, of its tables as they were opened."""
    state = [f"{name} {table.metadata().id} {table.version()}" for name, table in sorted(tables.items())]
    return sha256("\n".join(state).encode()).hexdigest()[:_DIGEST_CHARS]


def _check_version(table: Table, version: int | None, delta: DeltaTable | None) -> None:
    newest = -1 if delta is None else delta.version()
    if version is not None and not 0 <= version <= newest:
        expected = f"a version from 0 to {newest}" if delta else "no version, because the table does not exist yet"
        raise DataError(f"{table.name}.version: expected {expected}, got {version}. See Store.versions().")
