"""Files written atomically, and the removal of unfinished ones that killed processes left behind."""

from __future__ import annotations

import os
import shutil
import tempfile
import time
import uuid
from collections.abc import Iterable
from glob import escape
from pathlib import Path

ABANDONED_S = 24 * 3600.0
"""An unfinished file that has not been written to for this long (seconds) belongs to no running process."""

HEX_DIGITS = "[0-9a-f]" * 32
"""The form of `uuid4().hex`, for `glob`. The user's own files may begin like unfinished ones, but do not end so."""


def remove_abandoned(unfinished: Iterable[Path]) -> None:
    """Removes the unfinished files and folders that are abandoned; a newer one may belong to a running process."""
    for path in unfinished:
        if time.time() - _last_write(path) > ABANDONED_S:
            shutil.rmtree(path, ignore_errors=True) if path.is_dir() else path.unlink(missing_ok=True)


def temporary_folder(prefix: str, parent: Path | None = None) -> tempfile.TemporaryDirectory[str]:
    """A folder for a `with` block, in `parent` or the system's folder for temporary files.

    Abandoned folders of the same prefix are removed first, but no links. If the folder cannot be removed at the end of
    the block, because its drive was lost, it is left to a later call: the loss of the drive is the error to report.
    """
    folder = Path(tempfile.gettempdir()) if parent is None else parent
    # Named by `tempfile`: other folders of the user may begin with the prefix too.
    earlier = folder.glob(f"{escape(prefix)}{'[a-z0-9_]' * 8}")
    remove_abandoned(path for path in earlier if path.is_dir() and not path.is_symlink())
    return tempfile.TemporaryDirectory(prefix=prefix, dir=folder, ignore_cleanup_errors=True)


def unfinished_beside(path: Path) -> Path:
    """A path of its own beside `path`, to be written and then renamed; abandoned ones are removed first."""
    remove_abandoned(path.parent.glob(f".{escape(path.name)}-{HEX_DIGITS}"))
    return path.with_name(f".{path.name}-{uuid.uuid4().hex}")


def write_text_atomically(path: Path, text: str) -> None:
    """Writes text as UTF-8, see `write_bytes_atomically`."""
    write_bytes_atomically(path, text.encode())


def write_bytes_atomically(path: Path, content: bytes) -> None:
    """Writes a file beside its final path and renames it, so that a reader sees the old or the new content in full.

    A link, pipe or device is written through, because a rename would replace it.
    """
    if path.is_symlink() or (path.exists() and not path.is_file()):
        path.write_bytes(content)
        return
    unfinished = unfinished_beside(path)
    try:
        unfinished.write_bytes(content)
        os.replace(unfinished, path)
    finally:
        unfinished.unlink(missing_ok=True)


def _last_write(path: Path) -> float:
    """The newest modification time of the path or of anything below it; now, if it has just been removed."""
    try:
        return max(each.stat().st_mtime for each in [path, *path.rglob("*")])
    except FileNotFoundError:
        return time.time()
