"""A file of a data set as it was downloaded: decompressed, decoded and read line by line, in bounded memory."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, cast

from feature_store.data_errors import DataError
from feature_store.excerpts import excerpt
from feature_store.files.file_content import BOM, looks_like

UTF_8 = ("utf-8",)
UTF_8_OR_LATIN_1 = ("utf-8", "latin-1")
"""A file is in one of the two: hardly any text of Latin-1 with accents can be read as UTF-8."""
_GZIP = b"\x1f\x8b"
_UTF_16 = (b"\xff\xfe", b"\xfe\xff")
_N_LOOKED_AT = 4096
_LINES_A_STEP = 10_000
"""Progress is told after so many lines."""
_EXAMPLE_CHARS = 60

Advance = Callable[[int], None]


def no_progress(n_lines: int) -> None:
    """Shows nothing."""


@dataclass(frozen=True)
class PublishedFile:
    """A file, and what it is expected to be; compressed by gzip or not, whatever its name."""

    path: Path
    role: str
    """The option that names it, such as `news`: errors begin with it."""
    form: str
    """What is expected, such as "MIND's news.tsv (8 columns with tabs between)"."""
    encodings: Sequence[str] = UTF_8
    """Those in which the form is published. The first line beyond ASCII tells which of them it is."""

    def lines(self, on_lines: Advance = no_progress) -> Iterator[tuple[int, str]]:
        """Number, from 1, and text of each line, without line end and byte order mark; empty lines are left out.

        Raises DataError if the file is missing, empty, truncated, of another kind, or in another encoding.
        """
        number = 0
        encoding = ""
        with self._opened() as file:
            for line in self._raw_lines(file):
                number += 1
                if number == 1:
                    line = self._without_mark(line)
                if not line.isascii():
                    encoding = self._checked_encoding(line, encoding, number)
                text = line.decode(encoding or "ascii").rstrip("\r\n")
                if text:
                    yield number, text
                if number % _LINES_A_STEP == 0:
                    on_lines(_LINES_A_STEP)
        on_lines(number % _LINES_A_STEP)

    def first_line(self) -> str:
        """The first line that is not empty. Raises DataError as `lines`, and if there is none."""
        for _, text in self.lines():
            return text
        raise self.refusal("a file without rows", "Check how it was downloaded or unpacked.")

    def refusal(self, got: str, remedy: str) -> DataError:
        """The error that this file is not what was expected."""
        return DataError(f"{self.role}: expected {self.form}, got {got} ({str(self.path)!r}). {remedy}")

    def wrong_line(self, got: str, text: str, remedy: str) -> DataError:
        """The error of a first line that is not of the form; it is quoted."""
        return self.refusal(f"{got}: {excerpt(text, _EXAMPLE_CHARS)!r}", remedy)

    def _opened(self) -> BinaryIO:
        if self.path.is_dir():
            raise self.refusal("a folder", "Name the file in it.")
        if not self.path.exists():
            raise self.refusal("nothing", "Check the path, which is relative to the working directory.")
        with self.path.open("rb") as file:
            beginning = file.read(_N_LOOKED_AT)
        if not beginning:
            raise self.refusal("an empty file", "Check how it was downloaded or unpacked.")
        if beginning.startswith(_GZIP):
            return cast(BinaryIO, gzip.open(self.path, "rb"))
        if beginning.startswith(_UTF_16):
            raise self.refusal("UTF-16 text", "Convert it to UTF-8, for example with iconv.")
        if kind := looks_like(beginning):
            remedy = "Unpack it, and name the file in it." if "archive" in kind else "Download it again."
            raise self.refusal(f"what looks like {kind}", remedy)
        return self.path.open("rb")

    def _raw_lines(self, file: BinaryIO) -> Iterator[bytes]:
        n_lines = 0
        try:
            for line in file:
                n_lines += 1
                yield line
        except (EOFError, zlib.error, gzip.BadGzipFile) as error:
            got = f"a gzip file that is truncated or damaged after line {n_lines:,}"
            raise self.refusal(got, "Download it again.") from error

    def _without_mark(self, line: bytes) -> bytes:
        line = line.removeprefix(BOM)
        if line.startswith(_UTF_16):
            raise self.refusal("UTF-16 text", "Convert it to UTF-8, for example with iconv.")
        if kind := looks_like(line):  # within a gzip file
            raise self.refusal(f"what looks like {kind}", "Download it again.")
        return line

    def _checked_encoding(self, line: bytes, encoding: str, number: int) -> str:
        """The encoding of the file, after a line beyond ASCII; that of the lines before is empty if they were ASCII."""
        try:
            line.decode()
        except UnicodeDecodeError as error:
            if "latin-1" in self.encodings and encoding != "utf-8":
                return "latin-1"
            got = f"other bytes than UTF-8 in line {number:,} (0x{line[error.start]:02x})"
            raise self.refusal(got, "Download it again, or convert it to UTF-8, for example with iconv.") from error
        if encoding == "latin-1":
            got = f"Latin-1 text, and UTF-8 from line {number:,} on"
            raise self.refusal(got, "Convert the whole file to UTF-8.")
        return "utf-8"
