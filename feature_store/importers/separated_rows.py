"""Rows of files with separators: CSV with a header, and the plain forms of MovieLens (`::`, tabs, pipes)."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence

from feature_store.importers.import_receipt import FileCount
from feature_store.importers.published_file import Advance, PublishedFile, no_progress


def csv_rows(
    file: PublishedFile, columns: Sequence[str], count: FileCount, on_lines: Advance = no_progress
) -> Iterator[tuple[int, list[str]]]:
    """Line and cells of each row of a CSV file, in the order of `columns`, which its header must have.

    Rows with more or fewer cells than the header are left out. Raises DataError if the header lacks a column.
    """
    numbers = _LineNumbers(file.lines(on_lines))
    rows = csv.reader(numbers)
    header = [name.strip() for name in next(rows, [])]
    missing = [name for name in columns if name not in header]
    if missing:
        got = f"a first line without {', '.join(missing)}"
        raise file.wrong_line(got, ",".join(header), "Name the file that has these columns.")
    places = [header.index(name) for name in columns]
    for cells in _refusing_unclosed(file, rows):
        count.n_read += 1
        if len(cells) != len(header):
            count.leave_out(f"row: expected {len(header)} fields, got another number", line=numbers.line)
            continue
        yield numbers.line, [cells[place] for place in places]


def split_rows(
    file: PublishedFile, separator: str, n_fields: int, count: FileCount, on_lines: Advance = no_progress
) -> Iterator[tuple[int, list[str]]]:
    """Line and fields of each row of a file without header and quoting; rows of another number are left out."""
    for line, text in file.lines(on_lines):
        count.n_read += 1
        fields = text.split(separator)
        if len(fields) != n_fields:
            count.leave_out(f"row: expected {n_fields} fields, got another number", line=line)
            continue
        yield line, fields


def _refusing_unclosed(file: PublishedFile, rows: Iterator[list[str]]) -> Iterator[list[str]]:
    try:
        yield from rows
    except csv.Error as error:
        raise file.refusal(f"CSV that cannot be read ({error})", "Look for a quote that is not closed.") from error


class _LineNumbers:
    """The texts of numbered lines, and the number of the one that was read last."""

    def __init__(self, lines: Iterator[tuple[int, str]]) -> None:
        self._lines = lines
        self.line = 0

    def __iter__(self) -> _LineNumbers:
        return self

    def __next__(self) -> str:
        self.line, text = next(self._lines)
        # A quoted cell may hold a line break, which csv keeps if the line has it.
        return f"{text}\n"
