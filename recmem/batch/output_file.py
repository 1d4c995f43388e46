"""Where scores are written to: a folder to work in, and the step by which the finished file appears, whole."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from glob import escape
from pathlib import Path
from tempfile import TemporaryDirectory

from feature_store import DataError
from feature_store.atomic_files import remove_abandoned
from feature_store.object_store import check_reachable, is_remote, local_path, upload_file

_UNSENT = "recmem-scores-"
"""How the temporary folder begins that holds a file until it is sent to an object store."""

Finish = Callable[[Path], None]


@contextmanager
def output_at(out: str | Path) -> Iterator[tuple[Path, Finish]]:
    """A folder to work in, removed afterwards, and a function that puts a finished file of it in the place of `out`.

    Until then a reader of `out` sees what was there before. An object store gets the file in one piece from the folder
    for temporary files. Raises DataError if `out` cannot be written: at once, as far as that can be known.
    """
    if is_remote(out):
        check_reachable(str(out), argument="out")
        with _temporary_folder(Path(tempfile.gettempdir()), _UNSENT) as name:
            yield Path(name), lambda file: upload_file(file, str(out), argument="out")
        return
    path = local_path(out)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        working = _temporary_folder(path.parent, f".{path.name}-")
    except OSError as error:
        remedy = "Give a path in a folder that can be written."
        raise DataError(
            f"out: expected a file that can be written, got {str(path)!r} ({error.strerror}). {remedy}"
        ) from error
    with working as name:
        yield Path(name), lambda file: os.replace(file, path)


def _temporary_folder(parent: Path, prefix: str) -> TemporaryDirectory[str]:
    unfinished = parent.glob(f"{escape(prefix)}*")
    remove_abandoned(path for path in unfinished if not path.is_symlink())
    # If a drive was lost, its loss is the error to report. What cannot be removed now is removed by a later run.
    return TemporaryDirectory(prefix=prefix, dir=parent, ignore_cleanup_errors=True)
