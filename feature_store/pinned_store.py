"""A store as of fixed versions of its tables, so that what others append meanwhile changes nothing."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import polars as pl

from feature_store.addresses import without_secrets
from feature_store.data_errors import DataError
from feature_store.files.file_rows import FileRows
from feature_store.receipts import Receipt
from feature_store.schema import Table
from feature_store.signals import SignalConfig
from feature_store.store import Store
from feature_store.store_tables import digest_of


class PinnedStore(Store):
    """Reads the tables at given versions; appends are refused.

    A subclass, so that code that reads a store (a dataset, a model) can read a pinned one as it is.
    """

    def __init__(
        self,
        path: str | Path,
        versions: Mapping[str, int],
        digest: str,
        *,
        storage_options: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(path, storage_options=storage_options)
        self._pinned = dict(versions)
        # Kept, not computed again: Delta gives a table a new id when a column is added.
        self._digest = digest

    @classmethod
    def newest(cls, store: Store) -> PinnedStore:
        """The store as it is now."""
        tables = store._tables.existing()
        versions = {name: table.version() for name, table in tables.items()}
        return cls(store.path, versions, digest_of(tables), storage_options=store._tables.storage_options)

    @classmethod
    def at(cls, store: Store, versions: Mapping[str, int], digest: str) -> PinnedStore:
        """The store as it was when it had these versions and this digest."""
        return cls(store.path, versions, digest, storage_options=store._tables.storage_options)

    def read(self, table: Table, *, version: int | None = None) -> pl.DataFrame:
        """The rows at the pinned version, empty if the table did not exist then.

        Raises DataError if that version is gone, because a user or an item was forgotten since.
        """
        if version is not None:
            return super().read(table, version=version)
        pinned = self._pinned.get(table.name)
        if pinned is None:
            return pl.DataFrame(schema=table.schema(self._tables.decided_dtypes(table)))
        try:
            return super().read(table, version=pinned)
        except DataError as error:
            if self._can_read_newest(table):
                remedy = "The store forgot someone, or was replaced, while training ran: run it again."
                raise DataError(
                    f"store.{table.name}: expected version {pinned}, which this training reads, got none that can be "
                    f"read. {remedy}"
                ) from error
            raise

    def append(self, table: Table, frame: pl.DataFrame | FileRows, *, signals: SignalConfig | None = None) -> Receipt:
        """Refused: what is read here would not change."""
        del frame, signals
        raise ValueError(
            f"store: expected a store to append {table.name} to, got a pinned one of {without_secrets(self.path)!r}. "
            "Open it with Store.open."
        )

    def versions(self) -> dict[str, int]:
        """The pinned versions."""
        return dict(self._pinned)

    def digest(self) -> str:
        """The store's digest when the tables were at these versions."""
        return self._digest

    def _can_read_newest(self, table: Table) -> bool:
        try:
            return self._tables.newest(table) is not None
        except DataError:
            return False
