"""Problems found in a table's data, and their one form as text."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import polars as pl

from feature_store.excerpts import excerpt
from feature_store.python_cells import with_python_times

_N_EXAMPLE_ROWS = 3
_MAX_EXAMPLE_CHARS = 40


class DataError(ValueError):
    """Invalid data; one line per problem: `<table>.<column>: expected <what>, got <value>. <what to do>`."""

    def __init__(self, text: str) -> None:
        super().__init__("\n".join(_printable(line) for line in text.split("\n")))


@dataclass(frozen=True, eq=False)
class ColumnProblem:
    """One thing that is wrong with one column, in some rows or as a whole."""

    column: str
    """The column's name, or "" if the problem is the table itself."""
    expected: str
    got: str
    """What was found, without the value of a row, so that equal problems are counted together."""
    remedy: str
    """What the caller can do, in one or two sentences."""
    rows: pl.Series | None = None
    """Boolean mask of the affected rows; None if the whole table is refused."""
    example: str = ""
    """One of the bad cells, in Python's notation."""

    @property
    def reason(self) -> str:
        """The problem in words, the same for each affected row."""
        return f"{self.column}: expected {self.expected}, got {self.got}"


def is_library_failure(error: BaseException) -> bool:
    """Whether the error comes from polars, Delta Lake or the file system."""
    # A panic in Rust code derives from BaseException, and its class cannot be imported.
    return isinstance(error, OSError | pl.exceptions.PolarsError) or type(error).__name__ == "PanicException"


def bad_cells(cells: pl.Series, values: pl.Series, *, expected: str, got: str, remedy: str) -> list[ColumnProblem]:
    """The problem of the cells that have no parsed value, as a list of one; an empty list if every cell was parsed."""
    is_bad = cells.is_not_null() & values.is_null()
    if not is_bad.any():
        return []
    first_bad = with_python_times(cells.filter(is_bad).head(1).to_frame()).row(0)[0]
    return [ColumnProblem(cells.name, expected, got, remedy, is_bad, excerpt(repr(first_bad), _MAX_EXAMPLE_CHARS))]


def refused_column(cells: pl.Series, *, expected: str, remedy: str) -> ColumnProblem:
    """The problem of a column whose dtype cannot be read."""
    if cells.dtype == pl.Object:
        as_text = f'pl.col("{cells.name}").map_elements(str, return_dtype=pl.String)'
        return ColumnProblem(
            cells.name, expected, "mixed Python objects", f"Make it one type, for instance text with {as_text}."
        )
    return ColumnProblem(cells.name, expected, f"a column of {cells.dtype}", remedy)


def describe(problems: Sequence[ColumnProblem], *, table: str) -> str:
    """The text of a DataError: all of a table's problems, one per line."""
    return "\n".join(_line(problem, table=table) for problem in problems)


def _line(problem: ColumnProblem, *, table: str) -> str:
    where = f"{table}.{problem.column}" if problem.column else table
    example = f", such as {problem.example}" if problem.example else ""
    got = f"{problem.got}{example}{_rows(problem.rows)}"
    return _printable(f"{where}: expected {problem.expected}, got {got}. {problem.remedy}")


def _printable(line: str) -> str:
    """The line with control characters escaped (\\x1b), so that data cannot send them to a terminal."""
    return line if line.isprintable() else "".join(c if c.isprintable() else ascii(c)[1:-1] for c in line)


def _rows(mask: pl.Series | None) -> str:
    if mask is None:
        return ""
    rows = mask.arg_true()
    examples = ", ".join(str(row) for row in rows.head(_N_EXAMPLE_ROWS))
    return f" ({len(rows):,} {'row' if len(rows) == 1 else 'rows'}, e.g. row {examples}, counting from 0)"


def repeated(names: Iterable[str]) -> list[str]:
    """The names that come more than once, in order of their first place."""
    return [name for name, n in Counter(names).items() if n > 1]
