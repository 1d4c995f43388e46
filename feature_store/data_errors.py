"""What is wrong with a table, and the one form in which it is said."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import polars as pl

_N_EXAMPLE_ROWS = 3
_LONGEST_EXAMPLE = 40


class DataError(ValueError):
    """Refused data; one line a fault: `<table>.<column>: expected <what>, got <value>. <what to do>`."""

    def __init__(self, text: str) -> None:
        super().__init__("\n".join(_printable(line) for line in text.split("\n")))


@dataclass(frozen=True, eq=False)
class Fault:
    """One thing that is wrong with one column, in some rows or as a whole."""

    column: str
    """The column at fault, or "" where it is the table itself."""
    expected: str
    got: str
    """What was found, without a row's value, so that equal faults count together."""
    remedy: str
    """What the caller can do, one or two sentences."""
    rows: pl.Series | None = None
    """Boolean mask of the rows at fault; None refuses the whole table."""
    example: str = ""
    """One of the bad cells, as Python writes it."""

    @property
    def reason(self) -> str:
        """The fault in words, the same for each of its rows."""
        return f"{self.column}: expected {self.expected}, got {self.got}"


_PYTHONS_DAYS = (-719_160, 2_932_894)
"""Days from 1970 that Python has dates for in every time zone: years 1 to 9999."""
_POLARS_DAYS = (-70_000_000, 70_000_000)
"""Days that polars can write, some 190,000 years; it panics a little beyond."""
_UNITS_A_DAY = {"ns": 86_400_000_000_000, "us": 86_400_000_000, "ms": 86_400_000}


def is_library_failure(error: BaseException) -> bool:
    """Whether polars or the file system refused; what polars and Delta Lake give up on in a panic is no `Exception`."""
    return isinstance(error, OSError | pl.exceptions.PolarsError) or type(error).__name__ == "PanicException"


def as_python(rows: pl.DataFrame) -> pl.DataFrame:
    """The rows; a column with a time that Python has no year for as text: ISO 8601, a number where that is too far."""
    times = [name for name, dtype in rows.schema.items() if isinstance(dtype, pl.Date | pl.Datetime)]
    far = [name for name in times if not rows.select(_is_within(rows[name], _PYTHONS_DAYS).all()).item()]
    return rows.with_columns(_as_text(rows[name]) for name in far)


def _is_within(times: pl.Series, days: tuple[int, int]) -> pl.Expr:
    unit = _UNITS_A_DAY[times.dtype.time_unit] if isinstance(times.dtype, pl.Datetime) else 1
    # Compared as whole numbers of 128 bits: the farthest days are beyond the others.
    return pl.col(times.name).to_physical().cast(pl.Int128).is_between(days[0] * unit, days[1] * unit)


def _as_text(times: pl.Series) -> pl.Expr:
    written = pl.when(_is_within(times, _POLARS_DAYS)).then(pl.col(times.name)).dt.to_string("iso")
    return pl.coalesce(written, pl.col(times.name).to_physical().cast(pl.String)).alias(times.name)


def bad_cells(cells: pl.Series, values: pl.Series, *, expected: str, got: str, remedy: str) -> list[Fault]:
    """A fault of the cells that are null only in `values`, what was read of them; none where all could be read."""
    bad = cells.is_not_null() & values.is_null()
    if not bad.any():
        return []
    example = repr(as_python(cells.filter(bad).head(1).to_frame()).row(0)[0])
    if len(example) > _LONGEST_EXAMPLE:
        example = example[:_LONGEST_EXAMPLE] + "..."
    return [Fault(cells.name, expected, got, remedy, bad, example)]


def refused_column(cells: pl.Series, *, expected: str, remedy: str) -> Fault:
    """The fault of a column whose dtype cannot be read."""
    if cells.dtype == pl.Object:
        as_text = f'pl.col("{cells.name}").map_elements(str, return_dtype=pl.String)'
        return Fault(cells.name, expected, "mixed Python objects", f"Make it one type, as text with {as_text}.")
    return Fault(cells.name, expected, f"a column of {cells.dtype}", remedy)


def describe(faults: Sequence[Fault], *, table: str) -> str:
    """The text of a DataError: one line a fault, all of a table's faults at once."""
    return "\n".join(_line(fault, table=table) for fault in faults)


def _line(fault: Fault, *, table: str) -> str:
    where = f"{table}.{fault.column}" if fault.column else table
    such_as = f", such as {fault.example}" if fault.example else ""
    return _printable(
        f"{where}: expected {fault.expected}, got {fault.got}{such_as}{_rows(fault.rows)}. {fault.remedy}"
    )


def _printable(line: str) -> str:
    """The line with what no terminal should be sent written as Python writes it: \\x1b."""
    return line if line.isprintable() else "".join(c if c.isprintable() else ascii(c)[1:-1] for c in line)


def _rows(mask: pl.Series | None) -> str:
    if mask is None:
        return ""
    rows = mask.arg_true()
    examples = ", ".join(str(row) for row in rows.head(_N_EXAMPLE_ROWS))
    return f" ({len(rows):,} {'row' if len(rows) == 1 else 'rows'}, e.g. row {examples})"
