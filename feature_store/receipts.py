"""What the store's calls report back: how many rows were written, rejected or removed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Receipt:
    """Row counts of one append: `n_in == n_new + n_duplicate + n_rejected`."""

    table: str
    n_in: int
    n_new: int
    """Rows that changed the table: new rows and, for items, changed descriptions."""
    n_duplicate: int
    """Rows that were stored already, or that repeat another row of the same frame."""
    n_rejected: int
    """Rows that failed validation; they are in `rejected`, with their reasons."""
    version: int | None
    """The table's version after the append; None if the table does not exist because no row was ever valid."""
    reasons: dict[str, int]
    """Number of rows per reason of rejection."""
    warnings: tuple[str, ...] = ()
    """What was accepted but looks wrong, such as times far from the rest; a sentence or two each, with an example."""
    lines: Mapping[str, int] = field(default_factory=dict)
    """For rows of a file with lines: the first line of each reason."""

    def __str__(self) -> str:
        counts = (
            f"{self.n_new:,} new, {self.n_duplicate:,} duplicate, {self.n_rejected:,} rejected of {self.n_in:,} rows"
        )
        reasons = [f"  {n:,} x {reason}{self._where(reason)}" for reason, n in self.reasons.items()]
        warnings = [f"  Warning: {warning}" for warning in self.warnings]
        return "\n".join([f"{self.table}: {counts}", *reasons, *warnings])

    def _where(self, reason: str) -> str:
        line = self.lines.get(reason)
        return "" if line is None else f" (first in line {line:,})"


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
    """Row counts of one resubmission: `n_in == n_accepted + n_still_bad`."""

    n_in: int
    n_accepted: int
    """Rows that are now in their table, and no longer in `rejected`."""
    n_still_bad: int
    """Rows that were rejected again; `rejected` holds them as resubmitted, with their new reasons."""
    receipts: tuple[Receipt, ...]
    """One per group of rows that were appended together: same table, same cell types."""
