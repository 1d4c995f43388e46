"""Delta Lake as the store uses it: open, read, and a commit that lands only on the version that was read."""

from __future__ import annotations

import os
import random
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import unquote

import polars as pl
from deltalake import CommitProperties, DeltaTable, write_deltalake
from deltalake.exceptions import CommitFailedError, DeltaError

from feature_store.data_errors import DataError, is_library_failure

Result = TypeVar("Result")

_ONLY_NEXT_VERSION = CommitProperties(max_commit_retries=0)
"""Delta rebases a plain append on whatever was committed since; then two writers could both add the same row."""

_KEPT_FOR = "delta.logRetentionDuration"
_TABLE_SETTINGS = {_KEPT_FOR: "interval 36500 days"}
"""By default old versions are forgotten after 30 days; a model names the version it was trained from for longer."""

_AT_WORK_H = 1
"""Files without a commit that are younger than this may belong to a writer at work, hours."""

_UNSAFE_IN_PATHS = frozenset('%?*[]{}|^\\"<>#`')

_FIRST_PAUSE_S = 0.01
_LONGEST_PAUSE_S = 1.0
_GIVE_UP_AFTER_S = 120.0


@contextmanager
def failures(uri: str) -> Iterator[None]:
    """What a damaged table, a full disk or a lost drive makes the libraries say, as one DataError.

    CommitFailedError passes: another writer was first.
    """
    try:
        yield
    except CommitFailedError:
        raise
    except BaseException as error:
        if not (isinstance(error, DeltaError) or is_library_failure(error)):
            raise
        cause = str(error).partition("\n")[0].rstrip(".")
        remedy = "Check the disk, its rights and the network; a damaged store is to be restored from a copy."
        raise DataError(
            f"store: expected a table that can be used at {uri!r}, got an error ({cause}). {remedy}"
        ) from error


class LocalTable(DeltaTable):
    """A Delta table whose folder may have a space or an umlaut in its name.

    Delta writes the paths of its files as in a URL ("my%20shop") and polars opens them as they stand.
    """

    def file_uris(self, *args: Any, **kwargs: Any) -> list[str]:
        """Paths of the files of this version, as the file system has them; DataError for one outside the folder."""
        uris = super().file_uris(*args, **kwargs)
        if "://" in self.table_uri and not self.table_uri.startswith("file://"):
            return uris
        root = Path(unquote(self.table_uri.removeprefix("file://"))).resolve()
        paths = [uri if os.path.exists(uri) else unquote(uri) for uri in uris]
        if outside := [path for path in paths if "\0" in path or not Path(path).resolve().is_relative_to(root)]:
            remedy = "Somebody has changed the table's log: restore it from a copy."
            raise DataError(f"store: expected files inside {str(root)!r}, got {outside[0]!r}. {remedy}")
        return paths


def table_root(path: str | Path) -> str:
    """The store's root: an object store's URL as it is, a local folder as an absolute path.

    Raises DataError for a local path with a character that Delta Lake loses.
    """
    if "://" in str(path):
        return str(path).rstrip("/")
    absolute = Path(path).expanduser().absolute().as_posix()
    if unsafe := _UNSAFE_IN_PATHS & set(absolute):
        shown = " ".join(sorted(unsafe))
        raise DataError(f"store.path: expected a path without {shown}, got {absolute!r}. Choose another folder.")
    return absolute


def open_table(uri: str, *, storage_options: dict[str, str] | None) -> DeltaTable | None:
    """The table at its newest version, or None where there is no table."""
    with failures(uri):
        if not DeltaTable.is_deltatable(uri, storage_options):
            return None
        return LocalTable(uri, storage_options=storage_options)


def create_table(uri: str, schema: dict[str, pl.DataType], *, storage_options: dict[str, str] | None) -> bool:
    """Create an empty table; False where it is there already, also where another process was a moment faster."""
    empty = pl.DataFrame(schema=schema)
    try:
        write_deltalake(uri, empty, mode="error", configuration=_TABLE_SETTINGS, storage_options=storage_options)
    except DeltaError:
        if DeltaTable.is_deltatable(uri, storage_options):
            return False
        raise
    return True


def stored_schema(table: DeltaTable) -> dict[str, pl.DataType]:
    """Column to polars dtype."""
    with failures(table.table_uri):
        return dict(pl.scan_delta(table).collect_schema())


def append(table: DeltaTable, rows: pl.DataFrame) -> None:
    """Add rows in one commit, new columns with them; CommitFailedError if the table moved on since it was opened."""
    write_deltalake(table, rows, mode="append", schema_mode="merge", commit_properties=_ONLY_NEXT_VERSION)


def replace(table: DeltaTable, rows: pl.DataFrame) -> None:
    """Put rows, of whatever dtypes, in place of all that is there, in one commit; raises as `append`."""
    write_deltalake(table, rows, mode="overwrite", schema_mode="overwrite", commit_properties=_ONLY_NEXT_VERSION)


def upsert(table: DeltaTable, rows: pl.DataFrame, *, key: str) -> None:
    """Replace the rows of equal key, add the others, in one commit; raises as `append`."""
    merge = table.merge(
        rows,
        predicate=f"stored.{key} = given.{key}",
        source_alias="given",
        target_alias="stored",
        merge_schema=True,
        commit_properties=_ONLY_NEXT_VERSION,
    )
    merge.when_matched_update_all().when_not_matched_insert_all().execute()


def erase_past(table: DeltaTable) -> None:
    """Leave nothing on disk but the newest version: neither older files nor the log of how it came about.

    The log names the least and greatest values of every file, so forgetting needs this too. Killed at any point, the
    table stands; run again, it finishes. CommitFailedError as `append`: open the table and repeat. What a killed
    writer left without a commit goes once it is an hour old: before that, it may be a writer's at work.
    """
    for whole, hours in ((False, 0), (True, _AT_WORK_H)):
        table.vacuum(retention_hours=hours, dry_run=False, enforce_retention_duration=False, full=whole)
    table.update_incremental()
    table.alter.set_table_properties({_KEPT_FOR: "interval 0 seconds"})
    try:
        table.update_incremental()
        table.create_checkpoint()
        table.cleanup_metadata()
    finally:
        table.alter.set_table_properties(_TABLE_SETTINGS)


def until_committed(attempt: Callable[[], Result]) -> Result:
    """What `attempt` returns, tried again (from reading on) whenever another writer's commit came first.

    Pauses grow and are random, so that writers that met once do not meet again.

    Raises:
        TimeoutError: others kept committing first for two minutes.
    """
    deadline = time.monotonic() + _GIVE_UP_AFTER_S
    pause_s = _FIRST_PAUSE_S
    while True:
        try:
            return attempt()
        except CommitFailedError as error:
            if time.monotonic() > deadline:
                message = (
                    f"store: expected to commit within {_GIVE_UP_AFTER_S:.0f} s, got others' commits each time. "
                    "Use fewer writers, or larger appends; this one changed nothing and can be repeated."
                )
                raise TimeoutError(message) from error
        time.sleep(random.uniform(0.5, 1.0) * pause_s)  # not part of any result: no generator is handed in
        pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)
