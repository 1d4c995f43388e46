"""A text file of any length, decompressed and cut into blocks of whole records: memory holds one block."""

from __future__ import annotations

import bz2
import gzip
import lzma
import zlib
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import pyarrow as pa

from feature_store.files.file_content import BOM, UnreadableFileError, looks_like

BLOCK_BYTES = 1 << 24
"""Bytes of text that are read together."""
MAX_BLOCKS_PER_RECORD = 8
"""A record that is longer than this many blocks ends nowhere: quotes were opened and not closed, say."""
_N_LOOKED_AT = 4096
_UTF_16 = (b"\xff\xfe", b"\xfe\xff")
_TO_UTF_8 = "Convert it to UTF-8, for example with iconv."
_BROKEN = (EOFError, zlib.error, lzma.LZMAError, ValueError, pa.ArrowException)


def _open_zstd(path: Path) -> Any:
    return pa.CompressedInputStream(pa.OSFile(str(path)), "zstd")


def _create_gzip(path: Path) -> Any:
    # Without the time, so that the same rows give the same file.
    return gzip.GzipFile(path, "wb", compresslevel=6, mtime=0)


_OPEN: Mapping[str, Callable[[Path], Any]] = {".gz": gzip.open, ".zst": _open_zstd, ".bz2": bz2.open, ".xz": lzma.open}
_CREATE: Mapping[str, Callable[[Path], Any]] = {
    ".gz": _create_gzip,
    ".zst": lambda path: pa.CompressedOutputStream(str(path), "zstd"),
    ".bz2": lambda path: bz2.BZ2File(path, "wb"),
    ".xz": lambda path: lzma.LZMAFile(path, "wb", preset=1),  # noqa: SIM115 - for the caller to close
}


def create_text(path: Path, compression: str) -> IO[bytes]:
    """A new file for text, compressed as the ending `compression` says (".gz"); uncompressed if that is empty."""
    created: IO[bytes] = _CREATE[compression](path) if compression else path.open("wb")
    return created


def text_blocks(path: Path, compression: str, *, has_quotes: bool) -> Generator[bytes, None, None]:
    """The file's text in UTF-8 without a byte order mark, in blocks that end where a record does.

    `compression`: the ending that says how the file is compressed, or "". A record ends with a line, with `has_quotes`
    only where no quotes are open. The last block may lack the line's end.

    Raises UnreadableFileError if the file is not such text, or has a record of many blocks.
    """
    carried = b""
    first_line = 1
    with _opened(path, compression) as file:
        for number, piece in enumerate(_pieces(file, path)):
            begin = piece if number == 0 else b""
            _refuse_other_content(begin)
            carried += piece.removeprefix(BOM) if number == 0 else piece
            if len(carried) < BLOCK_BYTES:
                continue  # the end of the file, or a piece of a compressed one
            end = _end_of_records(carried, has_quotes=has_quotes)
            if end:
                yield _checked(carried[:end], first_line)
                first_line += carried.count(b"\n", 0, end)
                carried = carried[end:]
            elif len(carried) > MAX_BLOCKS_PER_RECORD * BLOCK_BYTES:
                why = "its quotes do not end" if has_quotes else "it has no line end"
                raise UnreadableFileError(f"the record that begins in line {first_line:,} is too long: {why}")
    if carried:
        yield _checked(carried, first_line)


@contextmanager
def _opened(path: Path, compression: str) -> Iterator[Any]:
    with _OPEN[compression](path) if compression else path.open("rb") as file:
        yield file


def _pieces(file: Any, path: Path) -> Iterator[bytes]:
    while True:
        try:
            piece = bytes(file.read(BLOCK_BYTES))
        except OSError as error:
            if error.errno:
                raise  # a failing drive, not a broken file
            raise _not_decompressed(path, error) from error
        except _BROKEN as error:
            raise _not_decompressed(path, error) from error
        if not piece:
            return
        yield piece


def _not_decompressed(path: Path, error: Exception) -> UnreadableFileError:
    with path.open("rb") as file:
        kind = looks_like(file.read(_N_LOOKED_AT))
    ends_early = isinstance(error, EOFError) or kind.startswith(("a gzip", "a zstd", "a bzip2", "an xz"))
    cause = str(error).partition("\n")[0].rstrip(".") if ends_early or not kind else f"it looks like {kind}"
    return UnreadableFileError(f"it cannot be decompressed: {cause}")


def _refuse_other_content(begin: bytes) -> None:
    if begin[:2] in _UTF_16:
        raise UnreadableFileError("it begins like UTF-16 text", _TO_UTF_8)
    if kind := looks_like(begin):
        raise UnreadableFileError(f"it looks like {kind}")


def _end_of_records(text: bytes, *, has_quotes: bool) -> int:
    """Where the last whole record ends, after its line end; 0 if none does."""
    end = text.rfind(b"\n") + 1
    if not has_quotes:
        return end
    n_quotes = text.count(b'"', 0, end)
    while end and n_quotes % 2:
        before = text.rfind(b"\n", 0, end - 1) + 1
        n_quotes -= text.count(b'"', before, end)
        end = before
    return end


def _checked(block: bytes, first_line: int) -> bytes:
    try:
        block.decode()
    except UnicodeDecodeError as error:
        line = first_line + block.count(b"\n", 0, error.start)
        raise UnreadableFileError(f"line {line:,} is not UTF-8 (0x{block[error.start]:02x})", _TO_UTF_8) from error
    return block
