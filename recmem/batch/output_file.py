"""Where scores are written to: a folder to work in, and the step by which the finished file appears, whole."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from feature_store import DataError
from feature_store.atomic_files import temporary_folder
from feature_store.object_store import check_reachable, is_remote, local_path, upload_file

_UNSENT = "recmem-scores-"
"""Prefix of the temporary folder in which a file is written before it is sent to an object store."""

Finish = Callable[[Path], None]


@contextmanager
def output_at(out: str | Path) -> Iterator[tuple[Path, Finish]]:
    """A folder to work in, removed afterwards, and a function that puts a finished file of it in the place of `out`.

    Until then a reader of `out` sees what was there before. An object store gets the file in one piece from the folder
    for temporary files. Raises DataError if `out` cannot be written: at once, as far as that can be known.
    """
    if is_remote(out):
        check_reachable(str(out), argument="out")
        with temporary_folder(_UNSENT) as name:
            yield Path(name), lambda file: upload_file(file, str(out), argument="out")
        return
    path = local_path(out)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        working = temporary_folder(f".{path.name}-", path.parent)
    except OSError as error:
        remedy = "Give a path in a folder that can be written."
        raise DataError(
            f"out: expected a file that can be written, got {str(path)!r} ({error.strerror}). {remedy}"
        ) from error
    with working as name:
        yield Path(name), lambda file: os.replace(file, path)
