"""CSV and its relatives: every cell is read as text, then columns of numbers become numbers.

Text in which every record is regular is parsed by polars. Other text is read line by line, so that a broken line costs
no other row.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import polars as pl

from feature_store.data_errors import DataError, repeated
from feature_store.files.delimited_layout import Layout, regular_layout
from feature_store.files.delimited_records import Records, read_records, split_fields
from feature_store.files.file_content import Text
from feature_store.files.file_rows import BadLine, FileRows, cut, described, line_numbers, unreadable_lines
from feature_store.files.typed_columns import typed_columns
from feature_store.schema import Table

COMMA = ","
TAB = "\t"
_SEMICOLON = ";"
_SEPARATORS = {COMMA: "commas", TAB: "tabs", _SEMICOLON: "semicolons", "|": "vertical bars"}
_SEPARATOR_LINE = "sep="
"""Excel understands a first line such as `sep=;`."""
_MAX_SHOWN_CHARS = 60
_N_BAD_SHOWN = 3


@dataclass(frozen=True)
class Header:
    """The columns of delimited text, and where its rows begin."""

    names: list[str]
    """Without spaces around them; empty for a column without a name."""
    separator: str
    body: bytes
    """What follows the header, without line ends at the end."""
    first_line: int
    """The number of the body's first line, counting from 1."""
    warnings: tuple[str, ...]


def read_delimited(text: Text, table: Table, *, separator: str | None) -> FileRows:
    """The rows of text with a header; `separator` is the usual one for such files, None if there is none.

    If the header makes sense with another separator only, that one is taken, with a warning. A column without a name,
    as pandas writes for its index, is not read.

    Raises:
        DataError: there is no usable header, or no line below it can be read.
    """
    header = read_header(text, table, separator=separator)
    rows = rows_as_text(header, text.bad_lines)
    lines = rows.lines
    if rows.frame.is_empty() and rows.records.bad:
        raise _all_bad(rows.records, table)
    typed, about_columns = typed_columns(
        rows.frame,
        table,
        where=lambda row: f" (line {lines[row]:,})",
        has_decimal_commas=header.separator == _SEMICOLON,
    )
    warnings = (*text.warnings, *header.warnings, *_about_rows(rows.records), *about_columns)
    return FileRows(typed, lines, unreadable_lines(rows.records.bad), warnings)


@dataclass(frozen=True, eq=False)
class TextRows:
    """Rows whose cells are text as it stands in the file; null for an empty cell without quotes."""

    frame: pl.DataFrame
    lines: pl.Series
    """Each row's line number, counting from 1."""
    records: Records
    """Of text that is not regular: lines that could not be read, and what was put up with."""


def rows_as_text(header: Header, bad_lines: Mapping[int, BadLine]) -> TextRows:
    """The rows of the header's `body`. `bad_lines`: those known to be no text, by their number. Raises nothing."""
    n_fields = len(header.names)
    names = [name or f"column {place} without a name" for place, name in enumerate(header.names, start=1)]
    unnamed = [name for name, given in zip(names, header.names, strict=True) if not given]
    layout = None
    if not bad_lines:
        layout = regular_layout(header.body, separator=header.separator, n_fields=n_fields)
    frame = None if layout is None else _regular_rows(header, names, layout)
    if frame is not None and layout is not None:
        lines = pl.Series(layout.lines[~layout.is_blank] + header.first_line)
        return TextRows(frame.drop(unnamed), lines, Records())
    records = read_records(
        header.body.decode().split("\n"),
        separator=header.separator,
        n_fields=n_fields,
        first_line=header.first_line,
        known_bad=bad_lines,
    )
    frame = _irregular_rows(records, names)
    return TextRows(frame.drop(unnamed), pl.Series(records.lines, dtype=pl.Int64), records)


def _regular_rows(header: Header, names: list[str], layout: Layout) -> pl.DataFrame | None:
    """The rows as polars reads them; None if it does not find the records of the layout."""
    try:
        frame = pl.read_csv(
            header.body,
            has_header=False,
            separator=header.separator,
            quote_char='"' if layout.has_quotes else None,
            schema=dict.fromkeys(names, pl.String),
        )
    except pl.exceptions.PolarsError:
        return None
    if frame.height != len(layout.lines):
        return None
    return frame.filter(~pl.Series(layout.is_blank)) if layout.is_blank.any() else frame


def _irregular_rows(records: Records, names: list[str]) -> pl.DataFrame:
    cells = zip(*records.cells, strict=True) if records.cells else [()] * len(names)
    return pl.DataFrame([pl.Series(name, column, pl.String) for name, column in zip(names, cells, strict=True)])


def read_header(text: Text, table: Table, *, separator: str | None) -> Header:
    """The header of the text, with its rows as `body`; `separator` as for `read_delimited`.

    Raises DataError if there is no usable header.
    """
    usual = separator
    at = 0
    number = 1
    while True:
        end = text.lines.find(b"\n", at)
        end = len(text.lines) if end < 0 else end
        line = text.lines[at:end].decode().removesuffix("\r")
        if number in text.bad_lines:
            raise DataError(
                f"{table.name}.path: expected a header, got {described(text.bad_lines[number])}. Correct it."
            )
        if line.lower().startswith(_SEPARATOR_LINE) and len(line) == len(_SEPARATOR_LINE) + 1:
            usual = line[-1]
        elif line.strip() or end == len(text.lines):
            break
        at = end + 1
        number += 1
    found = _separator(line, table, usual)
    names = [name or "" for name in split_fields(line, found).cells]
    stripped = [name.strip() for name in names]
    _refuse_doubles(stripped, table)
    if "\0" in line:
        raise DataError(f"{table.name}.path: expected a header, got NUL bytes in line {number}. Write the file again.")
    body = text.lines[end + 1 :].rstrip(b"\r\n")
    warnings = tuple(_about_header(names, stripped, found, usual))
    return Header(stripped, found, body, number + 1, warnings)


def _separator(line: str, table: Table, usual: str | None) -> str:
    """The usual separator, or the one that finds more of the table's columns."""
    wanted = {column.name for column in table.columns}

    def n_found(separator: str) -> tuple[int, int]:
        fields = split_fields(line, separator).cells
        return len(wanted & {(name or "").strip() for name in fields}), len(fields) if usual is None else 0

    candidates = [usual, *_SEPARATORS] if usual is not None else list(_SEPARATORS)
    # `max` takes the first of equals: the usual one.
    return max(candidates, key=n_found)


def _refuse_doubles(names: Sequence[str], table: Table) -> None:
    twice = repeated(filter(None, names))
    if twice:
        shown = cut(", ".join(twice), _MAX_SHOWN_CHARS)
        remedy = "Rename or drop one of the two; the first line must hold the names of the columns."
        raise DataError(f"{table.name}.path: expected every column once, got {shown} twice in the header. {remedy}")


def _about_header(names: list[str], stripped: list[str], separator: str, usual: str | None) -> list[str]:
    warnings = []
    if usual is not None and separator != usual:
        found = _SEPARATORS.get(separator, repr(separator))
        warnings.append(f"The columns are separated by {found}, not {_SEPARATORS.get(usual, repr(usual))}.")
    spaced = [name for name, plain in zip(names, stripped, strict=True) if name != plain]
    if spaced:
        warnings.append(f"Spaces around column names were removed, such as in {cut(spaced[0], _MAX_SHOWN_CHARS)!r}.")
    unnamed = [place for place, name in enumerate(stripped, start=1) if not name]
    if unnamed:
        place = "The first column" if unnamed == [1] else f"Column {unnamed[0]:,}"
        more = f" and {len(unnamed) - 1:,} more" if len(unnamed) > 1 else ""
        warnings.append(f"{place}{more} without a name: not read.")
    return warnings


def _about_rows(records: Records) -> tuple[str, ...]:
    warnings = []
    if strays := records.stray_quotes:
        warnings.append(f"Quotes within quoted fields, in {line_numbers(strays)}, were read as text. Double them.")
    if padded := records.padded:
        warnings.append(f"Extra empty fields at the end of a line were ignored, in {line_numbers(padded)}.")
    return tuple(warnings)


def _all_bad(records: Records, table: Table) -> DataError:
    shown = "; ".join(described(line) for line in records.bad[:_N_BAD_SHOWN])
    n_lines = "1 line" if len(records.bad) == 1 else f"{len(records.bad):,} lines"
    remedy = "Check the separator and the header."
    return DataError(f"{table.name}.path: expected rows, got none from {n_lines}: {shown}. {remedy}")
