"""Removes the older versions of a table from disk, for forgetting: whatever the newest version does not refer to."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

from deltalake import DeltaTable
from deltalake.exceptions import CommitFailedError

from feature_store._delta import LOG_RETENTION, ONLY_NEXT_VERSION, TABLE_SETTINGS, LocalTable, local_folder
from feature_store.data_errors import DataError
from feature_store.noted_digests import LOG_FOLDER, log_entry, log_version, log_versions

_ACTIVE_WRITER_H = 1
"""On an object store, uncommitted files younger than this (hours) may belong to a running writer."""

_DATA_FILE = re.compile(r"\.?[^/]*\.parquet(\.crc|\.tmp|#\d+)*")
"""Data as Delta's writers name it, finished or not; Spark adds a hidden checksum file."""
_LOG_FILE = re.compile(r"\.?(\d{20})\..*")
_UNFINISHED_LOG_FILE = re.compile(r".*(\.tmp|#\d+)(\.crc)?")
_MAX_NAMED = 5


def refuse_links(folder: Path) -> None:
    """Raises DataError if there is a link below the folder: what it points to may not belong to the store."""
    links = [path for path in walk(folder) if path.is_symlink()]
    if links:
        shown = _named(links, folder)
        remedy = "Forgetting removes nothing through a link. Put the files themselves there, or remove the link."
        raise DataError(f"store: expected files and folders, got links in {str(folder)!r}: {shown}. {remedy}")


def erase_history(table: DeltaTable) -> None:
    """Removes all files and log entries of earlier versions from disk.

    The log holds the minimum and maximum of every file's columns, so forgetting has to erase it too. What is removed is
    decided by what the newest version refers to, never by a clock. Only files in the table's folder are looked at, and
    no links. The table stays valid if the call is killed at any
    point; calling it again finishes the work.

    Raises CommitFailedError if another writer has committed since the table was opened: reopen it and repeat. Raises
    DataError, with names, if files cannot be removed.
    """
    folder = local_folder(table.table_uri)
    if folder is None or not isinstance(table, LocalTable):
        _erase_by_age(table)
        return
    before = {path.relative_to(folder).as_posix() for path in walk(folder)}
    # A commit that describes the table anew. A writer that read the table before it cannot commit any more, so the
    # files that such a writer has left until now are of no use to anyone, however young they are.
    read = table.version()
    table.alter.set_table_properties(TABLE_SETTINGS, commit_properties=ONLY_NEXT_VERSION)
    version = table.version()
    refuse_stray_commit(folder, read, version)
    table.create_checkpoint()
    needed = set(table.file_names()) | set(LocalTable(table.table_uri).file_names())
    if missing := sorted(needed - {path.relative_to(folder).as_posix() for path in walk(folder)}):
        expected = f"all files of version {version} in {str(folder)!r}"
        remedy = "Nothing was removed. Restore them from a backup, then forget again."
        raise DataError(f"store: expected {expected}, got none at {missing[0]!r}. {remedy}")
    obsolete = [name for name in sorted(before - needed) if _is_obsolete(name, version)]
    _remove(folder, (name for name in obsolete if not name.startswith(LOG_FOLDER)))
    _remove(folder, (name for name in obsolete if name.startswith(LOG_FOLDER)))


def refuse_stray_commit(folder: Path, read: int, committed: int) -> None:
    """Raises CommitFailedError if the commit does not continue the log, because the entry before it was erased.

    A writer that has read the table before another process forgets, and commits afterwards, finds the place of the next
    version free again: that commit would never be read. Its log entry is removed; the caller repeats the attempt,
    which adds nothing twice.
    """
    versions = log_versions(folder)
    # Whoever erases an entry has written a checkpoint of a later version first.
    checkpoint = max((version for name, version in versions.items() if "checkpoint" in name), default=-1)
    if log_entry(read) in versions or checkpoint <= committed:
        return
    for name, version in versions.items():
        if read < version <= committed:
            (folder / name).unlink(missing_ok=True)
    raise CommitFailedError(f"version {read} of {folder.name} was erased before version {committed} was committed")


def walk(folder: Path) -> Iterator[Path]:
    """Files and links below a folder, without following links. Raises OSError for a folder that cannot be listed."""
    for parent, folders, files in os.walk(folder, followlinks=False, onerror=_raise_unless_gone):
        yield from (Path(parent, name) for name in files)
        yield from (path for name in folders if (path := Path(parent, name)).is_symlink())


def _raise_unless_gone(error: OSError) -> None:
    if not isinstance(error, FileNotFoundError):
        raise error


def is_data_or_log(name: str) -> bool:
    """Whether a finished file below a table's folder is data, a log entry or a checkpoint."""
    return log_version(name) >= 0 or (not name.startswith(LOG_FOLDER) and name.endswith(".parquet"))


def _is_obsolete(name: str, version: int) -> bool:
    """Whether a file that is not among a version's data is of no use since: data, or an earlier entry of the log."""
    last = name.rpartition("/")[2]
    if not name.startswith(f"{LOG_FOLDER}/"):
        return _DATA_FILE.fullmatch(last) is not None
    entry = _LOG_FILE.fullmatch(last)
    if entry is not None:
        return int(entry[1]) < version
    return _UNFINISHED_LOG_FILE.fullmatch(last) is not None or _DATA_FILE.fullmatch(last) is not None


def _remove(folder: Path, names: Iterable[str]) -> None:
    failed = []
    cause = ""
    for name in names:
        try:
            _unlink(folder / name)
        except FileNotFoundError:
            continue  # another process forgets at the same time
        except OSError as error:
            failed.append(folder / name)
            cause = error.strerror or str(error)
    if failed:
        expected = f"files in {str(folder)!r} that can be removed"
        remedy = (
            "The store is in order, but these files still hold what was to be forgotten. Fix the cause, and repeat."
        )
        raise DataError(f"store: expected {expected}, got an error for {_named(failed, folder)} ({cause}). {remedy}")


def _unlink(path: Path) -> None:
    path.unlink()  # a link itself, never what it points to


def _named(paths: list[Path], folder: Path) -> str:
    names = [repr(path.relative_to(folder).as_posix()) for path in paths[:_MAX_NAMED]]
    more = f" and {len(paths) - _MAX_NAMED} more" if len(paths) > _MAX_NAMED else ""
    return ", ".join(names) + more


def _erase_by_age(table: DeltaTable) -> None:
    """As `erase_history`, on an object store, whose files only Delta Lake's library lists: it goes by the clock.

    Uncommitted files of killed writers are removed once they are an hour old. Raises DataError if older versions are
    still there afterwards, because the clock of this machine is behind those of the writers.
    """
    # First the files that older versions refer to, then those that no version refers to.
    table.vacuum(retention_hours=0, dry_run=False, enforce_retention_duration=False, full=False)
    table.vacuum(retention_hours=_ACTIVE_WRITER_H, dry_run=False, enforce_retention_duration=False, full=True)
    table.update_incremental()
    # Log entries are only removed once they are older than the retention, so the retention is zero while we clean up.
    table.alter.set_table_properties({LOG_RETENTION: "interval 0 seconds"})
    try:
        table.update_incremental()
        newest = table.version()
        table.create_checkpoint()
        table.cleanup_metadata()
    finally:
        table.alter.set_table_properties(TABLE_SETTINGS)
    left = [entry["version"] for entry in table.history() if entry.get("version", newest) < newest - 1]
    if left:
        remedy = "The clock of this machine may be behind that of the writers. Set it, or repeat the call later."
        expected = f"no older versions at {table.table_uri!r}"
        raise DataError(f"store: expected {expected}, got {len(left)} older log entries. {remedy}")
