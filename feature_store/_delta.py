"""Delta Lake as the store uses it: open, read, and commits that land only on the version that was read."""

from __future__ import annotations

import os
import random
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import unquote

import polars as pl
from deltalake import CommitProperties, DeltaTable, write_deltalake
from deltalake.exceptions import CommitFailedError, DeltaError

from feature_store.addresses import cause_without_secrets, redact, without_secrets
from feature_store.data_errors import DataError, is_library_failure
from feature_store.forked_process import refuse_forked

Result = TypeVar("Result")

ONLY_NEXT_VERSION = CommitProperties(max_commit_retries=0)
"""By default Delta rebases an append onto commits made in between; then two writers could both add the same row."""

LOG_RETENTION = "delta.logRetentionDuration"
TABLE_SETTINGS = {LOG_RETENTION: "interval 36500 days"}
"""Delta drops old versions after 30 days by default; a model refers to its training version for longer."""

_MAX_RETRIES_ELSEWHERE = 3
"""Retries after a failed read of an object store, where changes by other processes cannot be detected."""

_UNSAFE_IN_PATHS = frozenset('%?*[]{}|^\\"<>#`')

_FIRST_PAUSE_S = 0.01
_MAX_PAUSE_S = 1.0
_GIVE_UP_AFTER_S = 120.0


class TableError(DataError):
    """A table that could not be read or written, for whatever reason the libraries give."""


@contextmanager
def failures(uri: str) -> Iterator[None]:
    """Turns library errors (damaged table, full disk, lost drive) into one TableError.

    CommitFailedError passes through: another writer committed first, and the caller retries.
    """
    try:
        yield
    except CommitFailedError:
        raise
    except BaseException as error:
        if not (isinstance(error, DeltaError) or is_library_failure(error)):
            raise
        cause = redact(str(error), addresses=[uri]).partition("\n")[0].rstrip(".")
        remedy = "Check disk space, permissions and the network; restore a damaged store from a backup."
        raise TableError(
            f"store: expected a readable and writable table at {without_secrets(uri)!r}, got an error ({cause}). "
            f"{remedy}"
        ) from cause_without_secrets(error, addresses=[uri])


class LocalTable(DeltaTable):
    """A Delta table whose folder name may contain spaces or umlauts.

    Delta lists its files with URL-quoted paths ("my%20shop"), and polars would open those paths literally.
    """

    def file_uris(self, *args: Any, **kwargs: Any) -> list[str]:
        """Unquoted paths of this version's files. Raises DataError for a file outside the table's folder."""
        uris = super().file_uris(*args, **kwargs)
        if "://" in self.table_uri and not self.table_uri.startswith("file://"):
            return uris
        root = Path(unquote(self.table_uri.removeprefix("file://"))).resolve()
        paths = [uri if os.path.exists(uri) else unquote(uri) for uri in uris]
        if outside := [path for path in paths if "\0" in path or not Path(path).resolve().is_relative_to(root)]:
            remedy = "Restore the table's log from a backup: it was edited."
            raise DataError(f"store: expected files inside {str(root)!r}, got {outside[0]!r}. {remedy}")
        return paths

    def file_names(self) -> list[str]:
        """This version's files by their names below the table's folder, which must be a local one."""
        root = Path(unquote(self.table_uri.removeprefix("file://"))).resolve()
        # Not the path resolved as a whole: a file that is a link keeps its own name.
        in_full = [Path(path).parent.resolve() / Path(path).name for path in self.file_uris()]
        return [path.relative_to(root).as_posix() for path in in_full]


def local_folder(uri: str) -> Path | None:
    """The folder of a table's URI or path; None on an object store."""
    if "://" in uri and not uri.startswith("file://"):
        return None
    return Path(unquote(uri.removeprefix("file://")) if uri.startswith("file://") else uri)


def table_root(path: str | Path) -> str:
    """The store's root: an object store's URL unchanged, or the absolute path of a local folder.

    Raises DataError for a local path with characters that Delta Lake cannot handle.
    """
    if "://" in str(path):
        return str(path).rstrip("/")
    absolute = Path(path).expanduser().absolute().as_posix()
    if unsafe := _UNSAFE_IN_PATHS & set(absolute):
        shown = " ".join(sorted(unsafe))
        raise DataError(f"store.path: expected a path without {shown}, got {absolute!r}. Choose another folder.")
    return absolute


def open_table(uri: str, *, storage_options: dict[str, str] | None) -> DeltaTable | None:
    """The table at its newest version, or None if there is no table."""
    refuse_forked()
    with failures(uri):
        if not DeltaTable.is_deltatable(uri, storage_options):
            return None
        return LocalTable(uri, storage_options=storage_options)


def create_table(uri: str, schema: dict[str, pl.DataType], *, storage_options: dict[str, str] | None) -> bool:
    """Creates an empty table; False if it exists already, also if another process has just created it."""
    refuse_forked()
    empty = pl.DataFrame(schema=schema)
    try:
        write_deltalake(uri, empty, mode="error", configuration=TABLE_SETTINGS, storage_options=storage_options)
    except DeltaError:
        # Lost the race against another process: the table exists now.
        if DeltaTable.is_deltatable(uri, storage_options):
            return False
        raise
    return True


def stored_schema(table: DeltaTable) -> dict[str, pl.DataType]:
    """Maps each column to its polars dtype."""
    with failures(table.table_uri):
        return dict(pl.scan_delta(table).collect_schema())


def scan(table: DeltaTable, schema: Mapping[str, pl.DataType]) -> pl.LazyFrame:
    """The rows of the open version; columns of `schema` that an older recmem did not store are null."""
    rows = pl.scan_delta(table)
    stored = rows.collect_schema().names()
    missing = [pl.lit(None, dtype).alias(name) for name, dtype in schema.items() if name not in stored]
    return rows.with_columns(missing) if missing else rows


def append(table: DeltaTable, rows: pl.DataFrame) -> None:
    """Adds rows, and any new columns, in one commit. CommitFailedError if the table has changed since it was opened."""
    write_deltalake(table, rows, mode="append", schema_mode="merge", commit_properties=ONLY_NEXT_VERSION)


def replace(table: DeltaTable, rows: pl.DataFrame) -> None:
    """Replaces the whole content, dtypes included, in one commit. Raises as `append` does."""
    write_deltalake(table, rows, mode="overwrite", schema_mode="overwrite", commit_properties=ONLY_NEXT_VERSION)


def upsert(table: DeltaTable, rows: pl.DataFrame, *, keys: Sequence[str]) -> None:
    """Replaces rows with equal keys and adds the others, in one commit. Raises as `append` does."""
    merge = table.merge(
        rows,
        predicate=" AND ".join(f"stored.{key} = given.{key}" for key in keys),
        source_alias="given",
        target_alias="stored",
        merge_schema=True,
        commit_properties=ONLY_NEXT_VERSION,
    )
    merge.when_matched_update_all().when_not_matched_insert_all().execute()


def until_committed(attempt: Callable[[], Result], *, uri: str = "") -> Result:
    """Returns what `attempt` returns; repeats it, reading included, whenever another process got in between.

    That is, when another writer committed first, or when reading the table at `uri` failed while another process
    removed its older files. Pauses between attempts grow and are random, so that two colliding writers do not collide
    again.

    Raises:
        TimeoutError: other writers kept committing first for two minutes.
    """
    deadline = time.monotonic() + _GIVE_UP_AFTER_S
    pause_s = _FIRST_PAUSE_S
    n_failures = 0
    while True:
        before = _log_files(uri)
        try:
            return attempt()
        except CommitFailedError as error:
            if time.monotonic() > deadline:
                message = (
                    f"store: expected to commit within {_GIVE_UP_AFTER_S:.0f} s, got other writers' commits each time. "
                    "Use fewer writers or larger appends; this call changed nothing and can be repeated."
                )
                raise TimeoutError(message) from error
        except TableError:
            n_failures += 1
            is_settled = n_failures > _MAX_RETRIES_ELSEWHERE if before is None else before == _log_files(uri)
            if is_settled or time.monotonic() > deadline:
                raise
        # No generator is passed in: the pause is not part of any result.
        time.sleep(random.uniform(0.5, 1.0) * pause_s)
        pause_s = min(2 * pause_s, _MAX_PAUSE_S)


def _log_files(uri: str) -> set[str] | None:
    """The names in a table's log; None on an object store, where they cannot be listed."""
    folder = local_folder(uri)
    if folder is None:
        return None
    try:
        return set(os.listdir(folder / "_delta_log"))
    except OSError:
        return set()
