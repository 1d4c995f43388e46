"""Reads the files of a bundle, which may come from anyone: regular files of the folder, of bounded size, read once."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from feature_store import DataError

_COPY_AGAIN = "Copy the whole bundle folder again, or train again."


def read_file(root: Path, name: str, *, at_most: int) -> bytes:
    """The content of a file of the folder.

    Raises DataError if there is none, it is a link or no regular file (opening a pipe would block), or it has
    more than `at_most` bytes.
    """
    path = root / name
    if path.is_symlink():
        where = "" if path.resolve().parent == root.resolve() else " that leads outside"
        raise refused(root, f"{name} inside the folder", f"a link{where}")
    try:
        descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    except FileNotFoundError as error:
        raise refused(root, f"the file {name}", "none") from error
    except OSError as error:
        raise refused(root, f"a file {name} that can be read", f"an error ({error.strerror})") from error
    try:
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode):
            raise refused(root, f"{name} to be a file", "a folder, pipe or device")
        if found.st_size > at_most:
            raise refused(root, f"at most {at_most:,} bytes in {name}", f"{found.st_size:,}")
        with os.fdopen(descriptor, "rb", closefd=False) as file:
            # Not more than that, even if the file grows meanwhile; not `at_most`, which Python would allocate first.
            return file.read(found.st_size)
    finally:
        os.close(descriptor)


def refused(root: Path, expected: str, got: str, remedy: str = _COPY_AGAIN) -> DataError:
    """The error for a folder that is not a bundle of this version, or not a complete one."""
    return DataError(f"bundle: expected {expected}, got {got} in {root}. {remedy}")
