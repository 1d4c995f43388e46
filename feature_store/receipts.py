"""What the store's calls report back: how many rows were written, rejected or removed."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import polars as pl

from feature_store.excerpts import excerpt
from feature_store.python_cells import with_python_times
from feature_store.table_checks import Checked

_MAX_EXAMPLE_CHARS = 40


@dataclass(frozen=True)
class Receipt:
    """Row counts of one append: `n_in == n_new + n_duplicate + n_rejected + n_known`."""

    table: str
    n_in: int
    n_new: int
    """Rows that changed the table: new rows, changed descriptions of items, and impressions that got features."""
    n_duplicate: int
    """Rows that were stored already, or that repeat another row of the same frame."""
    n_rejected: int
    """Rows that failed validation and are open: they are in `rejected`, with their reasons."""
    version: int | None
    """The table's version after the append; None if the table does not exist because no row was ever valid."""
    reasons: dict[str, int]
    """Number of rows per reason of rejection."""
    warnings: tuple[str, ...] = ()
    """What was accepted but looks wrong, such as times far from the rest; a sentence or two each, with an example."""
    examples: dict[str, str] = field(default_factory=dict)
    """Reason of rejection -> the cells of one row that was rejected for it: `timestamp 'soon' in line 4`."""
    n_known: int = 0
    """Rows that failed validation and need no more attention: a valid row of the same key is stored, or the row was
    resubmitted or written off. See `feature_store.settled_rows`."""

    def __str__(self) -> str:
        rows = "1 row" if self.n_in == 1 else f"{self.n_in:,} rows"
        counts = f"{self.n_new:,} new, {self.n_duplicate:,} duplicate, {self.n_rejected:,} rejected of {rows}"
        if self.n_known:
            counts += f"; known: {self.n_known:,} invalid, since stored in a valid form or written off"
        reasons = [f"  {self.reason_line(reason)}" for reason in self.reasons]
        warnings = [f"  Warning: {warning}" for warning in self.warnings]
        return "\n".join([f"{self.table}: {counts}", *reasons, *warnings])

    def reason_line(self, reason: str) -> str:
        """How many rows were rejected for a reason, with an example."""
        example = f" ({self.examples[reason]})" if reason in self.examples else ""
        return f"{self.reasons[reason]:,} x {reason}{example}"

    def rejected_sentence(self) -> str:
        """How many rows were rejected, and why most of them were; "" where none was."""
        if not self.n_rejected:
            return ""
        rows = f"{self.n_rejected:,} of {self.n_in:,} rows of {self.table}"
        return f"{rows} were rejected and not used: {most_frequent(self.reasons)}."

    @classmethod
    def from_dict(cls, fields: dict[str, Any]) -> Receipt:
        """The receipt whose `dataclasses.asdict` went through JSON."""
        return cls(**fields | {"warnings": tuple(fields["warnings"])})


def most_frequent(reasons: dict[str, int]) -> str:
    """The reason that most rows were rejected for, and how many others there are."""
    first, *others = sorted(reasons, key=lambda reason: -reasons[reason])
    return first + (f", and {len(others)} other {'reason' if len(others) == 1 else 'reasons'}" if others else "")


def examples_of(checked: Checked, lines: pl.Series | None = None, *, among: pl.Series | None = None) -> dict[str, str]:
    """For each reason of `checked.reasons()`, the bad cells of the first row with it, and where that row is.

    `lines` are the rows' lines in their file; without them rows count from 0. A reason that is about missing cells
    alone needs no cell. `among`: which of the reasons' rows to look at, bool[invalid row]; None for all.
    """
    reasons = checked.reasons() if among is None else checked.reasons().filter(among)
    first = reasons.group_by("reason", maintain_order=True).agg(pl.col("row_number").first())
    examples = {}
    for reason, row in first.iter_rows():
        columns = [problem.column for problem in checked.problems if problem.rows is not None and problem.rows[row]]
        given = [name for name in dict.fromkeys(columns) if name in checked.frame.columns]
        cells = [
            _cell(checked.frame, name, row) for name in given if not checked.frame[name].slice(row, 1).null_count()
        ]
        place = f"in row {row:,}" if lines is None else f"in line {lines[row]:,}"
        if cells or lines is not None:
            examples[reason] = f"{', '.join(cells)} {place}".strip()
    return examples


def _cell(frame: pl.DataFrame, name: str, row: int) -> str:
    # Not `frame.select(name)`, which takes names such as `*` for patterns.
    (value,) = with_python_times(frame[name].slice(row, 1).to_frame()).row(0)
    return f"{name} {excerpt(repr(value), _MAX_EXAMPLE_CHARS)}"


@dataclass(frozen=True)
class Forgotten:
    """Row counts of one `forget_user` or `forget_item`."""

    column: str
    """user_id or item_id."""
    n_removed: dict[str, int]
    """Rows removed per table, for the existing tables that have the column, and for `rejected`."""
    mentions: dict[str, int] = field(default_factory=dict)
    """Rows of others that mention the id and stay, by `table.column`, such as a description that names an item."""


@dataclass(frozen=True)
class ResubmitReceipt:
    """Row counts of one resubmission: `n_in == n_accepted + n_still_bad + n_known`."""

    n_in: int
    n_accepted: int
    """Rows that are now in their table, and no longer open in `rejected`."""
    n_still_bad: int
    """Rows that were rejected again; `rejected` holds them as resubmitted, with their new reasons."""
    receipts: tuple[Receipt, ...]
    """One per table. Their examples and warnings name lines of the file of corrected rows."""
    n_known: int = 0
    """Rows that were resubmitted before, and those that are invalid still but need no more attention."""
    n_unread: int = 0
    """Those of `n_still_bad` that are still the text of a line that could not be read."""
