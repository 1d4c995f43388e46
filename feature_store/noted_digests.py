"""Digests of a table's files, noted when they are written and compared when they are read.

Parquet and Delta Lake check nothing by themselves: a bit that a disk or a copy flips changes numbers, or drops rows,
without an error. (Parquet has checksums of its pages, which neither Delta Lake's writer nor polars' reader uses.)
"""

from __future__ import annotations

import json
import os
import re
import zlib
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from threading import Lock
from urllib.parse import unquote

from feature_store.data_errors import DataError
from feature_store.file_digest import file_digest

DIGESTS_FILE = "_digests.txt"
"""In the table's folder. Delta Lake ignores names that begin with an underscore."""
LOG_FOLDER = "_delta_log"

_LINE = re.compile(r"([0-9a-f]{64})  (.+)  ([0-9a-f]{8})")
_LOG_NAME = re.compile(r"(\d{20})\.(json|checkpoint\..*parquet)")
_SHOWN_CHARS = 12

_Stamp = tuple[int, int, int]


@dataclass(frozen=True)
class Noted:
    """The notes of a table, as far as they were read."""

    digests: dict[str, str] = field(default_factory=dict)
    """By file name; later notes are added to it."""
    n_damaged: int = 0
    """Lines that do not match their own checksum."""
    newest: int = -1
    """Version of the newest log entry that was noted; -1 if there is none."""
    n_bytes: int = 0
    inode: int = 0


class TableDigests:
    """The noted digests of one table in a local folder. A file without a note is read unchecked.

    A note is one appended line: digest, name below the table's folder, checksum of both. So writers need no lock, and a
    killed one leaves at most a file without a note. A file that was found unchanged is hashed again only once its size
    or modification time differs. Safe to use from several threads.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._unchanged: dict[str, _Stamp] = {}
        self._noted = Noted()
        self._lock = Lock()

    def note(self, names: Iterable[str]) -> None:
        """Notes the digests of files as they are now. A file that is already gone is left out."""
        lines = []
        for name in names:
            path = self.folder / name
            try:
                stamp = _stamp(path)
                digest = file_digest(path)
            except FileNotFoundError:
                continue
            self._unchanged[name] = stamp
            short = _short(name)
            lines.append(f"{digest}  {short}  {_checksum(digest, short)}\n")
        if lines:
            # One write at the end of the file: lines of several writers do not mix.
            with open(self.folder / DIGESTS_FILE, "ab", buffering=0) as file:
                file.write("".join(lines).encode())

    def noted(self) -> Noted:
        """The notes as they are now. Only what was added since the last call is read."""
        with self._lock:
            try:
                with open(self.folder / DIGESTS_FILE, "rb") as file:
                    status = os.fstat(file.fileno())
                    if status.st_ino != self._noted.inode or status.st_size < self._noted.n_bytes:
                        self._noted = Noted(inode=status.st_ino)
                    file.seek(self._noted.n_bytes)
                    added = file.read()
            except FileNotFoundError:
                return Noted()
            # What follows the last line break is still being written.
            lines = added[: added.rfind(b"\n") + 1]
            if lines:
                self._noted = _with_lines(self._noted, lines)
            return self._noted

    def check(self, names: Iterable[str], noted: Noted) -> None:
        """Raises DataError for the first of these files that is not as it was noted."""
        for name in names:
            if self.is_changed(name, noted):
                raise self._changed(name, noted)

    def check_log(self, noted: Noted) -> None:
        """Checks the files of the log that the newest version is read from."""
        versions = log_versions(self.folder)
        newest_checkpoint = max((version for name, version in versions.items() if "checkpoint" in name), default=0)
        self.check((name for name, version in versions.items() if version >= newest_checkpoint), noted)

    def check_newest(self, version: int, noted: Noted) -> None:
        """Raises DataError if a later commit than `version` was noted: its log entry is lost, and its rows with it.

        The notes must have been read before the table was opened.
        """
        if noted.newest > version:
            expected = f"version {noted.newest}, which was written"
            got = f"version {version}: later entries of its log are gone"
            raise DataError(f"store.{self.folder.name}: expected {expected}, got {got}. {_restore('the table')}")

    def is_changed(self, name: str, noted: Noted) -> bool:
        """Whether a file is not as it was noted; False for one without a note, or that is gone."""
        wanted = noted.digests.get(name)
        if wanted is None:
            return False
        try:
            stamp = _stamp(self.folder / name)
            if self._unchanged.get(name) == stamp:
                return False
            if file_digest(self.folder / name) != wanted:
                return True
        except FileNotFoundError:
            return False  # forgetting removes files; a file that is needed fails when it is read
        self._unchanged[name] = stamp
        return False

    def _changed(self, name: str, noted: Noted) -> DataError:
        expected = f"{name!r} as it was written (SHA-256 {noted.digests[name][:_SHOWN_CHARS]}...)"
        return DataError(f"store.{self.folder.name}: expected {expected}, got other content. {_restore('this file')}")


def log_entry(version: int) -> str:
    """The name of a commit's log entry below the table's folder."""
    return f"{LOG_FOLDER}/{version:020}.json"


def written_files(folder: Path, version: int) -> list[str]:
    """The files that a commit has written, by name below the table's folder: data, log entry and checkpoint."""
    entry = log_entry(version)
    # At line feeds only: `splitlines` also splits at what JSON leaves as it is, such as U+2028 in a title.
    lines = (folder / entry).read_text(encoding="utf-8").split("\n")
    actions = [json.loads(line) for line in lines if line.strip()]
    paths = [action["add"]["path"] for action in actions if "add" in action]
    data = [path if (folder / path).exists() else unquote(path) for path in paths]
    checkpoint = entry.replace(".json", ".checkpoint.parquet")
    return [*data, *([checkpoint] if (folder / checkpoint).exists() else []), entry]


def log_versions(folder: Path) -> dict[str, int]:
    """The files of a table's log by name below the table's folder, each with its version: commits and checkpoints."""
    try:
        names = [f"{LOG_FOLDER}/{name}" for name in os.listdir(folder / LOG_FOLDER)]
    except (FileNotFoundError, NotADirectoryError):
        return {}
    return {name: version for name in sorted(names) if (version := log_version(name)) >= 0}


def log_version(name: str) -> int:
    """The version that a file of the log belongs to; -1 if it is not a commit or a checkpoint."""
    found = _LOG_NAME.fullmatch(name.removeprefix(f"{LOG_FOLDER}/")) if name.startswith(LOG_FOLDER) else None
    return int(found[1]) if found else -1


def _with_lines(noted: Noted, lines: bytes) -> Noted:
    newest = noted.newest
    n_damaged = noted.n_damaged
    for line in lines.decode(errors="replace").split("\n")[:-1]:
        found = _LINE.fullmatch(line)
        if found is None or found[3] != _checksum(found[1], found[2]):
            n_damaged += 1
        else:
            name = _in_full(found[2])
            noted.digests[name] = found[1]
            newest = max(newest, log_version(name))
    return Noted(noted.digests, n_damaged, newest, noted.n_bytes + len(lines), noted.inode)


def _short(name: str) -> str:
    """A name as it is noted: without the zeros of a version, in which a search for an id such as 0000 would end."""
    return re.sub(rf"^{LOG_FOLDER}/0*(?=\d)", f"{LOG_FOLDER}/", name)


def _in_full(short: str) -> str:
    return re.sub(rf"^{LOG_FOLDER}/(\d+)", lambda found: f"{LOG_FOLDER}/{int(found[1]):020}", short)


def _restore(what: str) -> str:
    return (
        f"A disk, a copy or another program has changed it: restore {what} from a backup. "
        "`recmem audit --files` names every changed file of the store."
    )


def _checksum(digest: str, name: str) -> str:
    return f"{zlib.crc32(f'{digest} {name}'.encode()):08x}"


def _stamp(path: Path) -> _Stamp:
    status = path.stat()
    return status.st_size, status.st_mtime_ns, status.st_ino
