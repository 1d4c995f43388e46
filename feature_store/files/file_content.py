"""The bytes of a file: decompressed, recognised by how they begin, and decoded to text."""

from __future__ import annotations

import bz2
import gzip
import lzma
import re
import zlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from feature_store.files.file_rows import BadLine, cut

BOM = b"\xef\xbb\xbf"
_UTF_16 = {b"\xff\xfe": "utf-16-le", b"\xfe\xff": "utf-16-be"}
_FOREIGN_RUN = re.compile(rb"[\x80-\xff]{4}")
"""Western European text has hardly ever four accented letters in a row; other scripts have."""
_WESTERN = frozenset(bytes([0x80, 0x82, 0x84, 0x85, *range(0x8A, 0x98), *range(0x99, 0xC0)]).decode("cp1252", "ignore"))
"""Windows-1252 between ASCII and the accented letters, without what text has hardly ever, such as the signs at 0x83."""
_MOSTLY = 0.9
_HTML = re.compile(rb"\s*<(?:!doctype|html|head|body|\?xml)", re.IGNORECASE)
_N_LOOKED_AT = 4096
_EXAMPLE_CHARS = 60

# How files of known formats begin. UTF-16 stands elsewhere, because it can be read.
_MAGIC: Mapping[bytes, str] = {
    b"PAR1": "a Parquet file",
    b"PARE": "an encrypted Parquet file",
    b"ARROW1": "an Arrow file",
    b"FEA1": "a Feather file of the first version",
    b"\x1f\x8b": "a gzip file",
    b"\x28\xb5\x2f\xfd": "a zstd file",
    b"BZh": "a bzip2 file",
    b"\xfd7zXZ\x00": "an xz file",
    b"PK\x03\x04": "a zip archive, or an Excel workbook",
    b"\xd0\xcf\x11\xe0": "an old Excel workbook",
    b"SQLite format 3\x00": "an SQLite database",
    b"\x89HDF": "an HDF5 file",
    b"Obj\x01": "an Avro file",
    b"ORC": "an ORC file",
    b"%PDF": "a PDF file",
    b"version https://git-lfs": "a Git LFS pointer, not the file itself: run `git lfs pull`",
    b"\x80\x04\x95": "a Python pickle",
}


class UnreadableFileError(Exception):
    """A file that is not of the format of its name; the text is what it looks like, or the fault."""

    def __init__(self, fault: str, remedy: str = "Write the file again, or correct its extension.") -> None:
        super().__init__(fault)
        self.remedy = remedy


@dataclass(frozen=True)
class Text:
    """A file's text."""

    lines: bytes
    """In UTF-8 without a byte order mark, with line ends of `\\n` (a `\\r` may stand before them)."""
    bad_lines: dict[int, BadLine]
    """Lines that are not text, by their number from 1. In `lines` their bytes are replaced."""
    warnings: tuple[str, ...]


def read_bytes(path: str) -> bytes:
    """The file's content, decompressed if its name ends in .gz, .zst, .bz2 or .xz."""
    data = Path(path).read_bytes()
    decompress = COMPRESSED.get(Path(path).suffix.lower())
    if decompress is None:
        return data
    try:
        return decompress(data)
    except (OSError, EOFError, zlib.error, lzma.LZMAError, ValueError, pa.ArrowException) as error:
        kind = looks_like(data)
        cause = f"it looks like {kind}" if kind and "gzip" not in kind else str(error).partition("\n")[0].rstrip(".")
        raise UnreadableFileError(f"it cannot be decompressed: {cause}") from error


def _zstd(data: bytes) -> bytes:
    # Read to the end of the stream, since a frame need not say how long its content is.
    with pa.CompressedInputStream(pa.BufferReader(data), "zstd") as stream:
        return bytes(stream.read())


COMPRESSED: Mapping[str, Callable[[bytes], bytes]] = {
    ".gz": gzip.decompress,
    ".zst": _zstd,
    ".bz2": bz2.decompress,
    ".xz": lzma.decompress,
}
"""How a file is decompressed, by the last part of its name."""


def looks_like(data: bytes) -> str:
    """What the content is by how it begins, such as "a Parquet file"; empty if it may be text."""
    for magic, kind in _MAGIC.items():
        if data.startswith(magic):
            return kind
    if _HTML.match(data[:_N_LOOKED_AT].removeprefix(BOM)):
        return "a web page or XML, such as an error page"
    if data[:2] not in _UTF_16 and _share_of_nuls(data[:_N_LOOKED_AT]) > 0.25:
        return "binary data, or UTF-16 text without a byte order mark"
    return ""


def _share_of_nuls(data: bytes) -> float:
    return data.count(0) / max(len(data), 1)


def as_text(data: bytes) -> Text:
    """The content as UTF-8. A line that cannot be decoded is set aside.

    Text with a byte order mark of UTF-16 is converted. Text without one that is not UTF-8, and in which no line needs
    UTF-8, is read as Windows-1252, the usual encoding of Western European text; both with a warning.

    Raises:
        UnreadableFileError: the content is not text, or text in an unknown encoding.
    """
    if kind := looks_like(data):
        raise UnreadableFileError(f"it looks like {kind}")
    warnings: tuple[str, ...] = ()
    if data[:2] in _UTF_16:
        data = _from_utf_16(data)
        warnings = ("The file is in UTF-16 and was converted. Save it as UTF-8 if something looks wrong.",)
    data = _plain_line_ends(data.removeprefix(BOM))
    try:
        data.decode()
    except UnicodeDecodeError:
        return _from_mixed(data, warnings)
    return Text(data, {}, warnings)


def _from_utf_16(data: bytes) -> bytes:
    encoding = _UTF_16[data[:2]]
    try:
        text = data[2:].decode(encoding)
    except UnicodeDecodeError as error:
        raise UnreadableFileError(
            f"it begins like UTF-16 text, which it is not from byte {error.start + 2:,} on"
        ) from error
    if "\n" not in text and "\r" not in text:
        raise UnreadableFileError("it begins like UTF-16 text, but has no line")
    return text.encode(errors="replace")


def _plain_line_ends(data: bytes) -> bytes:
    """Line ends of old Macs replaced; in other files a lone `\\r` is part of the text."""
    return data.replace(b"\r", b"\n") if b"\n" not in data and b"\r" in data else data


def _from_mixed(data: bytes, warnings: tuple[str, ...]) -> Text:
    """Text some of whose lines are not UTF-8: those are in Windows-1252, or broken."""
    lines = data.split(b"\n")
    broken = {place: error for place, line in enumerate(lines) if (error := _decoding_error(line)) is not None}
    place, error = next(iter(broken.items()))
    where = f"line {place + 1}, byte {error.start + 1} (0x{lines[place][error.start]:02x})"
    has_utf_8 = any(not line.isascii() for place, line in enumerate(lines) if place not in broken)
    if not has_utf_8:
        as_western = {place: _from_western(lines[place]) for place in broken}
        foreign = next((place for place in broken if _FOREIGN_RUN.search(lines[place])), None)
        if foreign is not None or not _is_western(as_western.values()):
            fault = f"it is neither UTF-8 ({where}) nor in a Western European encoding"
            raise UnreadableFileError(fault, "Convert it to UTF-8, for example with iconv.")
        example = next(((place, line) for place, line in as_western.items() if line is not None), None)
        if example is not None:
            return _converted(lines, as_western, where, example, warnings)
    bad = {place: None for place in broken}
    return Text(b"\n".join(_without(lines, bad)), _bad_lines(lines, bad), warnings)


def _converted(
    lines: list[bytes],
    as_western: dict[int, bytes | None],
    where: str,
    example: tuple[int, bytes],
    warnings: tuple[str, ...],
) -> Text:
    place, line = example
    shown = cut(line.decode().strip(), _EXAMPLE_CHARS)
    warning = (
        f"The file is not UTF-8 ({where}) and was read as Windows-1252, such as line {place + 1}: {shown!r}. "
        "If that looks wrong, convert the file to UTF-8."
    )
    bad = {place: line for place, line in as_western.items() if line is None}
    text = b"\n".join(_without(lines, as_western))
    return Text(text, _bad_lines(lines, bad), (*warnings, warning))


def _without(lines: list[bytes], replaced: Mapping[int, bytes | None]) -> list[bytes]:
    """The lines with some of them replaced; for those without a replacement, what can be decoded of them."""
    return [
        line if place not in replaced else replaced[place] or line.decode(errors="replace").encode()
        for place, line in enumerate(lines)
    ]


def _bad_lines(lines: list[bytes], bad: Mapping[int, bytes | None]) -> dict[int, BadLine]:
    reason = "line: expected UTF-8 text, got other bytes"
    return {place + 1: BadLine(place + 1, reason, lines[place].decode(errors="backslashreplace")) for place in bad}


def _decoding_error(line: bytes) -> UnicodeDecodeError | None:
    try:
        line.decode()
    except UnicodeDecodeError as error:
        return error
    return None


def _is_western(lines: Iterable[bytes | None]) -> bool:
    """Whether nearly all characters beyond ASCII are such as Western European text has."""
    letters = [letter for line in lines if line is not None for letter in line.decode() if not letter.isascii()]
    n_western = sum("À" <= letter <= "ÿ" or letter in _WESTERN for letter in letters)
    return n_western >= _MOSTLY * len(letters)


def _from_western(line: bytes) -> bytes | None:
    try:
        return line.decode("cp1252").encode()
    except UnicodeDecodeError:
        return None
