"""What killed runs left behind: unfinished files beside those that they were to become."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterable
from pathlib import Path

ABANDONED_S = 24 * 3600.0
"""Nothing has been written to it for so long: nobody is at work on it any more, seconds."""


def clear(leftovers: Iterable[Path]) -> None:
    """Removes the files and folders among these that were abandoned; a newer one may belong to a run at work."""
    for path in leftovers:
        if time.time() - _last_written(path) > ABANDONED_S:
            shutil.rmtree(path, ignore_errors=True) if path.is_dir() else path.unlink(missing_ok=True)


def _last_written(path: Path) -> float:
    """The newest change of the path or of anything in it; now, where somebody has just removed it."""
    try:
        return max(each.stat().st_mtime for each in [path, *path.rglob("*")])
    except FileNotFoundError:
        return time.time()
