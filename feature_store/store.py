"""The store: items, their changes, events, impressions, users, facts and rejected rows, as Delta tables of a folder."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

import polars as pl
from deltalake.exceptions import DeltaError

from feature_store._delta import local_folder
from feature_store.addresses import cause_without_secrets, redact, without_secrets
from feature_store.appends import WRITES, Appends
from feature_store.data_errors import DataError
from feature_store.derived_files import DerivedFiles
from feature_store.files.file_rows import FileRows
from feature_store.forgetting.forget import Forgetting
from feature_store.noted_digests import TableDigests
from feature_store.receipts import Forgotten, Receipt
from feature_store.schema import EVENTS, FACTS, IMPRESSIONS, ITEM_CHANGES, ITEMS, REJECTED, USERS, Table
from feature_store.settled_rows import WRITTEN_OFF, are_open, replace_rejected, settle
from feature_store.signals import SignalConfig
from feature_store.store_tables import StoreTables
from feature_store.table_checks import Checked
from feature_store.table_writes import remove_history


class Store:
    """Durable tables of one recommender.

    Every append is one atomic commit on the version that it has read; if another writer committed first, it reads
    again. So concurrent writers never add a row twice, and a killed append changes nothing. Invalid rows go to
    `rejected`, in a commit before that of the valid rows. An append can therefore be repeated at any point.

    Get one with `Store.create`, `Store.open` or `Store.open_or_create`. It keeps no handle open and is thread-safe.
    """

    def __init__(self, path: str | Path, *, storage_options: Mapping[str, str] | None = None) -> None:
        self._tables = StoreTables(path, storage_options)
        self._appends = Appends(self._tables)
        self.path = self._tables.root

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
        if store._tables.newest(REJECTED) is None:
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
        if table not in WRITES:
            names = ", ".join(each.name for each in (ITEMS, EVENTS, IMPRESSIONS, USERS, FACTS))
            raise ValueError(f"table: expected one of {names}, got {table.name}. Append to one of these tables.")
        return self._appends.append(table, frame, signals)

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
        return self._appends.check(table, frame, decided=decided, signals=signals)

    def read(self, table: Table, *, version: int | None = None) -> pl.DataFrame:
        """The rows of a table, by default of its newest version, in no particular order; empty if there is no table.

        Raises DataError if there is no such version, it was erased when a user or an item was forgotten, or a file is
        not as it was written.
        """
        return self._tables.read(table, version)

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
        return self._tables.commit(REJECTED, partial(settle, hashes=content_hashes, how=how), rewrites=True).n_rows

    def replace_rejected(self, corrections: Mapping[str, str]) -> None:
        """Notes corrections that were rejected in their turn: content hash of the row -> that of its correction."""
        self._tables.commit(REJECTED, partial(replace_rejected, corrections=corrections), rewrites=True)

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
        return {name: table.version() for name, table in self._tables.existing().items()}

    def digest(self) -> str:
        """16 hex digits that change with every commit and differ between stores."""
        return self._tables.digest()

    def identity(self) -> str:
        """16 hex digits that never change and differ between stores; those of a copied folder are the same."""
        return self._tables.identity()

    def __repr__(self) -> str:
        return f"Store({without_secrets(self.path)!r})"

    def digests(self) -> dict[Table, TableDigests]:
        """The noted digests of each table's files; empty on an object store, which checks what it holds itself."""
        return dict(self._tables.digests)

    def derived_files(self) -> DerivedFiles | None:
        """What was computed of the tables and is kept until an id is forgotten; None on an object store."""
        folder = local_folder(self.path)
        return None if folder is None else DerivedFiles(folder)

    def file_names(self, table: Table) -> list[str]:
        """Names of the newest version's files below the table's folder; empty without a table, or on an object store.

        Raises DataError if the table's log is not as it was written.
        """
        return self._tables.file_names(table)

    def _create(self) -> bool:
        try:
            return self._tables.create(REJECTED, REJECTED.schema())
        except (DeltaError, OSError) as error:
            cause = redact(str(error), addresses=[self.path]).partition("\n")[0]
            got = f"{without_secrets(self.path)!r} ({cause})"
            remedy = "Choose another folder, or change its permissions."
            reason = cause_without_secrets(error, addresses=[self.path])
            raise DataError(f"store.path: expected a folder that can be written, got {got}. {remedy}") from reason

    def _forgetting(self) -> Forgetting:
        return Forgetting(
            self.path,
            read=self.read,
            open=self._tables.newest,
            rewrite=partial(self._tables.commit, rewrites=True),
            erase_history=lambda table: self._tables.commit(table, remove_history),
        )
