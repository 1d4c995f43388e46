"""Delimited text line by line: the rows that can be read, and the lines that cannot with the reason."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from feature_store.files.file_rows import BadLine

_MAX_LINES = 1_000
"""Lines that one quoted field may span in a file that has broken lines."""

_NUL = "line: expected text, got a NUL byte"
_UNCLOSED = "line: expected closed quotes, got a quoted field that does not end"

Cell = str | None


@dataclass
class Records:
    """What was found, in the order of the file."""

    cells: list[list[Cell]] = field(default_factory=list)
    """The fields of each row; None for an empty one without quotes."""
    lines: list[int] = field(default_factory=list)
    """The line in which each row begins, counting from 1."""
    bad: list[BadLine] = field(default_factory=list)
    stray_quotes: list[int] = field(default_factory=list)
    """Lines that were read although quotes within a quoted field are not doubled."""
    padded: list[int] = field(default_factory=list)
    """Lines with empty fields beyond the last column, which were left out."""


@dataclass(frozen=True)
class Fields:
    """The fields of a piece of text."""

    cells: list[Cell]
    is_closed: bool
    """False if the last field's quotes do not end within the text."""
    has_stray: bool
    """Whether a quote within quotes was taken as text."""


def read_records(
    lines: Sequence[str], *, separator: str, n_fields: int, first_line: int, known_bad: Mapping[int, BadLine]
) -> Records:
    """The records of these lines, of which the first has the number `first_line`.

    A field in quotes may span lines. A quote in a field without quotes is text, such as `27" monitor`. So is one within
    quotes that no separator follows, if the line then has the right number of fields. Empty lines are passed over.
    """
    found = Records()
    at = 0
    while at < len(lines):
        at += _read_one(lines, at, separator, n_fields, first_line + at, known_bad, found)
    return found


def _read_one(
    lines: Sequence[str],
    at: int,
    separator: str,
    n_fields: int,
    number: int,
    known_bad: Mapping[int, BadLine],
    found: Records,
) -> int:
    """Reads the record that begins in line `at`; how many lines it took."""
    line = lines[at].removesuffix("\r")
    if number in known_bad:
        found.bad.append(known_bad[number])
        return 1
    if not line:
        return 1
    if "\0" in line:
        found.bad.append(BadLine(number, _NUL, line))
        return 1
    fields = split_fields(line, separator)
    n_lines = 1
    if not fields.is_closed:
        several = _across_lines(lines, at, separator, n_fields)
        if several is None:
            found.bad.append(BadLine(number, _UNCLOSED, line))
            return 1
        fields, n_lines = several
    cells = fields.cells
    surplus = cells[n_fields:]
    if len(cells) < n_fields or any(cell is not None for cell in surplus):
        reason = f"line: expected {n_fields:,} fields, got {len(cells):,}"
        text = "\n".join(part.removesuffix("\r") for part in lines[at : at + n_lines])
        found.bad.append(BadLine(number, reason, text))
        return n_lines
    if surplus:
        found.padded.append(number)
    if fields.has_stray:
        found.stray_quotes.append(number)
    found.cells.append(cells[:n_fields])
    found.lines.append(number)
    return n_lines


def _across_lines(lines: Sequence[str], at: int, separator: str, n_fields: int) -> tuple[Fields, int] | None:
    """The fields of a record that goes on in later lines, and how many it takes; None if its quotes are broken."""
    for end in range(at + 1, min(at + _MAX_LINES, len(lines))):
        if '"' not in lines[end]:
            continue
        part = lines[at : end + 1]
        fields = split_fields("\n".join(part).removesuffix("\r"), separator)
        if fields.has_stray or "\0" in "".join(part):
            return None
        if fields.is_closed:
            # With another number of fields the quote may be a stray one that swallowed whole rows.
            swallowed = any(_is_row(line, separator, n_fields) for line in part[1:-1])
            return None if len(fields.cells) != n_fields and swallowed else (fields, len(part))
    return None


def _is_row(line: str, separator: str, n_fields: int) -> bool:
    fields = split_fields(line.removesuffix("\r"), separator)
    return fields.is_closed and not fields.has_stray and len(fields.cells) == n_fields


def split_fields(text: str, separator: str) -> Fields:
    """The fields of one record; an empty field without quotes is None."""
    if '"' not in text:
        return Fields([cell or None for cell in text.split(separator)], is_closed=True, has_stray=False)
    cells: list[Cell] = []
    has_stray = False
    at = 0
    while True:
        if text.startswith('"', at):
            end, is_stray = _closing_quote(text, at + 1, separator)
            if end < 0:
                return Fields(cells, is_closed=False, has_stray=has_stray or is_stray)
            has_stray |= is_stray
            cells.append(text[at + 1 : end].replace('""', '"'))
            at = end + 1
        else:
            end = text.find(separator, at)
            end = len(text) if end < 0 else end
            cells.append(text[at:end] or None)
            at = end
        if at >= len(text):
            return Fields(cells, is_closed=True, has_stray=has_stray)
        at += 1


def _closing_quote(text: str, at: int, separator: str) -> tuple[int, bool]:
    """Where the quotes that began before `at` end, or -1, and whether there were others within that are not doubled."""
    is_stray = False
    while (at := text.find('"', at)) >= 0:
        if text.startswith('"', at + 1):
            at += 2
        elif at + 1 == len(text) or text[at + 1] == separator:
            return at, is_stray
        else:
            is_stray = True
            at += 1
    return -1, is_stray
