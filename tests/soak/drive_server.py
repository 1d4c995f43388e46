"""A file system that passes every call on to a folder. It needs mfusepy, and is imported by its own process alone."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable
from typing import Any

from mfusepy import Operations


def _counted(call: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(call)
    def asked(folder: Folder, *arguments: Any) -> Any:
        folder.count()
        return call(folder, *arguments)

    return asked


class Folder(Operations):  # type: ignore[misc]
    """The calls, by the names that libfuse knows them by; `count` is called before each, and may raise."""

    use_ns = True

    def __init__(self, backing: str, count: Callable[[], None]) -> None:
        self.backing, self.count = backing, count

    def _at(self, path: str) -> str:
        return self.backing + path

    @_counted
    def getattr(self, path: str, fh: int | None = None) -> dict[str, Any]:
        found = os.lstat(self._at(path))
        names = ("mode", "ino", "nlink", "uid", "gid", "size", "blocks")
        output = {f"st_{name}": getattr(found, f"st_{name}") for name in names}
        return output | {f"st_{name}": getattr(found, f"st_{name}_ns") for name in ("atime", "mtime", "ctime")}

    @_counted
    def readdir(self, path: str, fh: int) -> list[str]:
        return [".", "..", *os.listdir(self._at(path))]

    @_counted
    def statfs(self, path: str) -> dict[str, int]:
        found = os.statvfs(self._at(path))
        names = (
            "f_bavail",
            "f_bfree",
            "f_blocks",
            "f_bsize",
            "f_favail",
            "f_ffree",
            "f_files",
            "f_frsize",
            "f_namemax",
        )
        return {name: getattr(found, name) for name in names}

    @_counted
    def create(self, path: str, mode: int, fi: Any = None) -> int:
        return os.open(self._at(path), os.O_RDWR | os.O_CREAT, mode)

    @_counted
    def open(self, path: str, flags: int) -> int:
        return os.open(self._at(path), flags & ~os.O_APPEND)

    @_counted
    def read(self, path: str, size: int, offset: int, fh: int) -> bytes:
        return os.pread(fh, size, offset)

    @_counted
    def write(self, path: str, data: bytes, offset: int, fh: int) -> int:
        return os.pwrite(fh, data, offset)

    @_counted
    def truncate(self, path: str, length: int, fh: int | None = None) -> int:
        os.truncate(self._at(path), length)
        return 0

    @_counted
    def flush(self, path: str, fh: int) -> int:
        return 0

    @_counted
    def fsync(self, path: str, datasync: int, fh: int) -> int:
        return 0

    @_counted
    def release(self, path: str, fh: int) -> int:
        os.close(fh)
        return 0

    @_counted
    def unlink(self, path: str) -> int:
        os.unlink(self._at(path))
        return 0

    @_counted
    def mkdir(self, path: str, mode: int) -> int:
        os.mkdir(self._at(path), mode)
        return 0

    @_counted
    def rmdir(self, path: str) -> int:
        os.rmdir(self._at(path))
        return 0

    @_counted
    def rename(self, old: str, new: str) -> int:
        os.rename(self._at(old), self._at(new))
        return 0

    @_counted
    def link(self, target: str, source: str) -> int:
        os.link(self._at(source), self._at(target))
        return 0

    @_counted
    def chmod(self, path: str, mode: int) -> int:
        os.chmod(self._at(path), mode)
        return 0

    @_counted
    def chown(self, path: str, uid: int, gid: int) -> int:
        os.chown(self._at(path), uid, gid)
        return 0

    @_counted
    def utimens(self, path: str, times: tuple[int, int] | None = None) -> int:
        os.utime(self._at(path), ns=times)
        return 0
