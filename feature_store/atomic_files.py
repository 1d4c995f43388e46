"""Files that appear under their name when they are whole, and what killed runs left behind of such."""

from __future__ import annotations

import os
import shutil
import time
import uuid
from collections.abc import Iterable
from glob import escape
from pathlib import Path

ABANDONED_S = 24 * 3600.0
"""Nothing has been written to it for so long: nobody is at work on it any more, seconds."""


def clear(atomic_files: Iterable[Path]) -> None:
    """Removes the files and folders among these that were abandoned; a newer one may belong to a run at work."""
    for path in atomic_files:
        if time.time() - _last_written(path) > ABANDONED_S:
            shutil.rmtree(path, ignore_errors=True) if path.is_dir() else path.unlink(missing_ok=True)


def write_whole(path: Path, text: str) -> None:
    """Writes a file, which takes an older one's place when it is whole; into a link's target, or a pipe, as it is."""
    if path.is_symlink() or (path.exists() and not path.is_file()):
        path.write_text(text, encoding="utf-8")
        return
    clear(path.parent.glob(f".{escape(path.name)}-*"))
    unfinished = path.with_name(f".{path.name}-{uuid.uuid4().hex}")
    try:
        unfinished.write_text(text, encoding="utf-8")
        os.replace(unfinished, path)
    finally:
        unfinished.unlink(missing_ok=True)


def _last_written(path: Path) -> float:
    """The newest change of the path or of anything in it; now, where somebody has just removed it."""
    try:
        return max(each.stat().st_mtime for each in [path, *path.rglob("*")])
    except FileNotFoundError:
        return time.time()
