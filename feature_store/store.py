"""The store: items, events, impressions and rejected rows, as Delta tables in one folder."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from hashlib import sha256
from pathlib import Path

import polars as pl
from deltalake import DeltaTable
from deltalake.exceptions import DeltaError

from feature_store._delta import (
    create_table,
    failures,
    open_table,
    stored_schema,
    table_root,
    until_committed,
)
from feature_store.data_errors import DataError
from feature_store.rejected_rows import rejected_rows
from feature_store.schema import EVENTS, IMPRESSIONS, ITEMS, REJECTED, TABLES, Checked, Table, check_table
from feature_store.table_writes import (
    Change,
    firsts,
    put_items,
    put_refused,
    put_rows,
    put_without,
    put_without_hashes,
    put_without_past,
    unseen,
)

_DIGEST_CHARS = 16
_NATIVE_IDS = frozenset(
    column.name for table in (ITEMS, EVENTS, IMPRESSIONS) for column in table.columns if column.parse is None
)


@dataclass(frozen=True)
class Receipt:
    """What became of the rows of one append: `n_in == n_new + n_duplicate + n_rejected`."""

    table: str
    n_in: int
    n_new: int
    """Rows that changed the table; of items also those that brought another description."""
    n_duplicate: int
    """Rows that were there already, or that a row of the same identity in the same frame stands for."""
    n_rejected: int
    """Rows that are in `rejected` now, with their reasons."""
    version: int | None
    """The table's version after the append; None while no row was ever good."""
    reasons: dict[str, int]
    """Reason of rejection to number of rows."""

    def __str__(self) -> str:
        counts = (
            f"{self.n_new:,} new, {self.n_duplicate:,} duplicate, {self.n_rejected:,} rejected of {self.n_in:,} rows"
        )
        return "\n".join([f"{self.table}: {counts}", *(f"  {n:,} x {reason}" for reason, n in self.reasons.items())])


@dataclass(frozen=True)
class Forgotten:
    """What one call removed."""

    column: str
    """user_id or item_id."""
    n_removed: dict[str, int]
    """Table to rows that are gone, of the tables that name users or items, as may be, and are there."""


class Store:
    """Durable tables of one recommender.

    Every append is one commit: a killed one leaves the table as it was. It lands only on the version that it has read,
    and otherwise reads again: writers in any number of processes never add a row twice. A row that cannot be used goes
    to `rejected`, in a commit before the good rows' own. So repeating an append is safe at any point.

    Make one with `Store.create`, `Store.open` or `Store.open_or_create`. It holds nothing open: use it in any thread.
    """

    def __init__(self, path: str | Path, *, storage_options: Mapping[str, str] | None = None) -> None:
        self.path = table_root(path)
        self._storage_options = dict(storage_options) if storage_options else None

    @classmethod
    def create(cls, path: str | Path, *, storage_options: Mapping[str, str] | None = None) -> Store:
        """A new, empty store in a local folder or under an object store's URL; DataError where there is one."""
        store = cls(path, storage_options=storage_options)
        if not store._create():
            raise DataError(f"store.path: expected no store yet, got one at {store.path!r}. Use Store.open.")
        return store

    @classmethod
    def open(cls, path: str | Path, *, storage_options: Mapping[str, str] | None = None) -> Store:
        """The store that is there; DataError where there is none."""
        store = cls(path, storage_options=storage_options)
        if store._delta(REJECTED) is None:
            raise DataError(f"store.path: expected a store, got none at {store.path!r}. Check it, or use Store.create.")
        return store

    @classmethod
    def open_or_create(cls, path: str | Path, *, storage_options: Mapping[str, str] | None = None) -> Store:
        """The store that is there, made first where there is none; processes may do so at the same time."""
        store = cls(path, storage_options=storage_options)
        store._create()
        return store

    def append_items(self, frame: pl.DataFrame) -> Receipt:
        """Add items, or replace the description of those that are there.

        The newest description wins; within a frame that is the last row of an item, and the rows before it count as
        duplicates. A column that the frame does not have stays as it is. A row that changes nothing is a duplicate.
        """
        checked = self._checked(frame, ITEMS)
        newest = checked.kept.unique(subset=["item_id"], keep="last", maintain_order=True)
        return self._append(checked, lambda table: put_items(table, newest))

    def append_events(self, frame: pl.DataFrame) -> Receipt:
        """Add the events that are not there yet.

        An event is known by its `event_id` where it has one, else by user, item, timestamp and event. Of two events of
        one identity the first that came is kept, also where value, session or arrival differ. Columns of other names
        are left out. A row with `cancels` takes the event of that `event_id` back: `feature_store.cancellations`.
        """
        checked = self._checked(frame, EVENTS)
        has_id = pl.col("event_id").is_not_null()
        with_id = firsts(checked.kept.filter(has_id), ("event_id",))
        without = firsts(checked.kept.filter(~has_id), EVENTS.identity)

        def put(table: DeltaTable) -> Change:
            stored = _as_now(pl.scan_delta(table), EVENTS)
            new_with_id = unseen(with_id, stored, ("event_id",), within="event_id")
            new_without = unseen(without, stored.filter(~has_id), EVENTS.identity, within="timestamp")
            return put_rows(table, pl.concat([new_with_id, new_without]).sort("timestamp", maintain_order=True))

        return self._append(checked, put)

    def append_impressions(self, frame: pl.DataFrame) -> Receipt:
        """Add the shown items that are not there yet, known by `impression_id` and `item_id`; the first is kept."""
        checked = self._checked(frame, IMPRESSIONS)
        once = firsts(checked.kept, IMPRESSIONS.identity)

        def put(table: DeltaTable) -> Change:
            return put_rows(table, unseen(once, pl.scan_delta(table), IMPRESSIONS.identity, within="impression_id"))

        return self._append(checked, put)

    def check(self, table: Table, frame: pl.DataFrame) -> Checked:
        """What an append would make of the frame, without making it: its good rows, and the faults of the others."""
        return check_table(frame, table, stored=self._stored(table))

    def items(self, version: int | None = None) -> pl.DataFrame:
        """`item_id` and every column that items came with; rows in no order."""
        return self._read(ITEMS, version)

    def events(self, version: int | None = None) -> pl.DataFrame:
        """All events: every column of the table, null where the source had none; rows in no order."""
        return self._read(EVENTS, version)

    def impressions(self, version: int | None = None) -> pl.DataFrame:
        """All shown items with their labels; rows in no order."""
        return self._read(IMPRESSIONS, version)

    def rejected(self, version: int | None = None) -> pl.DataFrame:
        """The refused rows: `table`, `reason`, `row` (JSON text), `row_number`, `content_hash`."""
        return self._read(REJECTED, version)

    def discard_rejected(self, content_hashes: Sequence[str]) -> int:
        """Takes rows out of `rejected`: those that were mended, or are not worth it; how many there were."""
        return self._commit(REJECTED, partial(put_without_hashes, hashes=content_hashes)).n_new

    def forget_user(self, user_id: object) -> Forgotten:
        """Removes every row of the user, rejected ones too, and all that the tables remember of earlier versions.

        Old versions cannot be read any more. An append that comes later with this user is new data. Safe to repeat, and
        to be repeated where it was killed.
        """
        return self._forget("user_id", user_id)

    def forget_item(self, item_id: object) -> Forgotten:
        """As `forget_user`, for an item and every event and impression of it."""
        return self._forget("item_id", item_id)

    def versions(self) -> dict[str, int]:
        """Table to its newest version, of the tables that are there."""
        return {name: table.version() for name, table in self._tables().items()}

    def digest(self) -> str:
        """16 hex digits that change with every commit, and that no other store has."""
        state = [f"{name} {table.metadata().id} {table.version()}" for name, table in sorted(self._tables().items())]
        return sha256("\n".join(state).encode()).hexdigest()[:_DIGEST_CHARS]

    def __repr__(self) -> str:
        return f"Store({self.path!r})"

    def _uri(self, table: Table) -> str:
        return f"{self.path}/{table.name}"

    def _create(self) -> bool:
        try:
            return create_table(self._uri(REJECTED), REJECTED.schema(), storage_options=self._storage_options)
        except (DeltaError, OSError) as error:
            cause = str(error).partition("\n")[0]
            what = f"a folder that can be written, got {self.path!r} ({cause})"
            raise DataError(f"store.path: expected {what}. Choose another, or mend its rights.") from error

    def _delta(self, table: Table) -> DeltaTable | None:
        return open_table(self._uri(table), storage_options=self._storage_options)

    def _tables(self) -> dict[str, DeltaTable]:
        found = ((table.name, self._delta(table)) for table in TABLES)
        return {name: table for name, table in found if table is not None}

    def _read(self, table: Table, version: int | None) -> pl.DataFrame:
        newest = self._delta(table)
        latest = -1 if newest is None else newest.version()
        if version is not None and not 0 <= version <= latest:
            there = f"a version from 0 to {latest}" if newest else "no version, there is no table yet"
            raise DataError(f"{table.name}.version: expected {there}, got {version}. See Store.versions().")
        if newest is None:
            return pl.DataFrame(schema=table.schema(self._stored(table)))
        if version is None:
            with failures(self._uri(table)):
                return _as_now(pl.scan_delta(newest), table).collect()
        try:
            newest.load_as_version(version)
            return _as_now(pl.scan_delta(newest), table).collect()
        except (DeltaError, OSError, pl.exceptions.PolarsError) as error:
            what = f"a version that can still be read, got {version}, which is gone"
            raise DataError(
                f"{table.name}.version: expected {what}. Forgetting takes old versions along; read the newest."
            ) from error

    def _stored(self, table: Table) -> dict[str, pl.DataType]:
        """Dtypes that are decided: by the table itself, or those of ids by whichever table came first."""
        own = self._delta(table)
        if own is not None:
            return stored_schema(own)
        schemas = [stored_schema(other) for other in self._tables().values()]
        return {name: dtype for schema in schemas for name, dtype in schema.items() if name in _NATIVE_IDS}

    def _checked(self, frame: pl.DataFrame, table: Table) -> Checked:
        checked = self.check(table, frame)
        if checked.kept.height and self._delta(table) is None:
            with failures(self._uri(table)):
                create_table(self._uri(table), dict(checked.kept.schema), storage_options=self._storage_options)
            # Another writer may have been faster, with ids of another dtype.
            checked = self.check(table, frame)
        return checked

    def _append(self, checked: Checked, put: Callable[[DeltaTable], Change]) -> Receipt:
        refused = rejected_rows(checked)
        if refused.height:
            self._commit(REJECTED, lambda table: put_refused(table, refused))
        n_new, version = 0, None
        if checked.kept.height:
            change = self._commit(checked.table, put)
            n_new, version = change.n_new, change.version
        elif (delta := self._delta(checked.table)) is not None:
            version = delta.version()
        return Receipt(
            table=checked.table.name,
            n_in=checked.frame.height,
            n_new=n_new,
            n_duplicate=checked.kept.height - n_new,
            n_rejected=refused.height,
            version=version,
            reasons=dict(refused["reason"].value_counts(sort=True).iter_rows()),
        )

    def _forget(self, column: str, value: object) -> Forgotten:
        n_removed = {}
        for table in TABLES:
            if self._delta(table) is not None and (table is REJECTED or column in table.schema()):
                change = self._commit(table, partial(put_without, table=table, column=column, value=value))
                self._commit(table, put_without_past)
                n_removed[table.name] = change.n_new
        return Forgotten(column, n_removed)

    def _commit(self, table: Table, put: Callable[[DeltaTable], Change]) -> Change:
        def attempt() -> Change:
            delta = self._delta(table)
            if delta is None:
                raise DataError(f"store.{table.name}: expected the table, got none. Use Store.open_or_create.")
            with failures(self._uri(table)):
                return put(delta)

        return until_committed(attempt)


def _as_now(rows: pl.LazyFrame, table: Table) -> pl.LazyFrame:
    """With the columns that a table made by an earlier version of recmem lacks, null."""
    there = rows.collect_schema().names()
    missing = [pl.lit(None, column.dtype).alias(column.name) for column in table.columns if column.name not in there]
    return rows.with_columns(missing) if missing else rows
