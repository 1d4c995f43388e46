"""What is computed of a store's events and is slow to compute again: files beside its tables, gone with a forgotten id.

The files lie in `<store>/derived/<generation>`. Forgetting removes the generation's folder, and nobody ever creates a
folder of that name again: a process that read the events before cannot write what it has computed of them any more.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import uuid
from hashlib import sha256
from pathlib import Path

from feature_store.atomic_files import remove_abandoned

DERIVED_FOLDER = "derived"
"""In a store's folder."""
MOST_FILES = 4
MOST_BYTES = 1 << 29
"""Of all files together; the ones that were not used for longest are removed first."""

_DIGEST_BYTES = 32
_REMOVED = ".removed-"
_UNFINISHED = ".unfinished-"


class DerivedFiles:
    """The files of one generation, by name. Several processes may use it at once.

    All of it can be computed anew. So a file that is damaged, or cannot be read, counts as missing, and one that cannot
    be written, as in a store that is read-only, is left out.
    """

    def __init__(self, store_folder: Path) -> None:
        """Of the generation of now: read the events after this, or what they give may outlive a forgotten user."""
        self._folder = _current_generation(store_folder / DERIVED_FOLDER)

    def read(self, name: str) -> bytes | None:
        """The content of a file as it was written; None if there is none, or not as it was written."""
        path = self._folder / name
        try:
            with path.open("rb") as file:
                digest = file.read(_DIGEST_BYTES)
                content = file.read()
        except OSError:
            return None
        if sha256(content).digest() != digest:
            return None
        with contextlib.suppress(OSError):  # of a store that is read-only
            os.utime(path)  # used now: others are removed before it
        return content

    def write(self, name: str, content: bytes) -> bool:
        """Writes a file atomically, and whether it could be written; removes others where they are too many."""
        if len(content) > MOST_BYTES:
            return False
        unfinished = self._folder / f"{_UNFINISHED}{uuid.uuid4().hex}"
        try:
            with unfinished.open("wb") as file:
                file.write(sha256(content).digest())
                file.write(content)
            os.replace(unfinished, self._folder / name)
            remove_abandoned(self._folder.glob(f"{_UNFINISHED}*"))
            self._remove_oldest()
        except OSError:  # read-only, full, or forgotten meanwhile
            with contextlib.suppress(OSError):
                unfinished.unlink(missing_ok=True)
            return False
        return True

    def _remove_oldest(self) -> None:
        files = sorted(self._named_files(), key=lambda file: -file[0])
        n_bytes = 0
        for number, (_, size, path) in enumerate(files):
            n_bytes += size
            if number >= MOST_FILES or n_bytes > MOST_BYTES:
                path.unlink(missing_ok=True)

    def _named_files(self) -> list[tuple[int, int, Path]]:
        """Last use (ns), size (bytes) and path of each whole file."""
        found = []
        for path in self._folder.iterdir():
            if not path.name.startswith("."):
                try:
                    status = path.stat()
                except FileNotFoundError:
                    continue  # removed by another process
                found.append((status.st_mtime_ns, status.st_size, path))
        return found


def remove_derived(store_folder: Path) -> None:
    """Removes all derived files of a store; what running processes have computed of its events stays unwritten.

    Call it after the tables were changed. Raises OSError if a file cannot be removed.
    """
    folder = store_folder / DERIVED_FOLDER
    if not folder.is_dir():
        return
    for generation in sorted(folder.iterdir()):
        removed = generation
        if not generation.name.startswith(_REMOVED):
            # At one stroke: no path of a running process leads here any more.
            removed = folder / f"{_REMOVED}{uuid.uuid4().hex}"
            with contextlib.suppress(FileNotFoundError):  # another process forgets too
                os.replace(generation, removed)
        while removed.exists():
            with contextlib.suppress(FileNotFoundError):
                shutil.rmtree(removed) if removed.is_dir() else removed.unlink()


def _current_generation(folder: Path) -> Path:
    """The folder of the generation of now, a new one if there is none and it can be created."""
    try:
        folder.mkdir(exist_ok=True)
        there = sorted(path for path in folder.iterdir() if not path.name.startswith("."))
        if there:
            return there[0]
        generation = folder / uuid.uuid4().hex
        generation.mkdir()
        return generation
    except OSError:
        return folder / uuid.uuid4().hex  # is not there: nothing is read or written
