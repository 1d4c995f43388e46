"""What became of an import: rows read, left out by reason, and written, and the command that follows."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from shlex import quote

from feature_store.excerpts import excerpt

_EXAMPLE_CHARS = 40


@dataclass
class FileCount:
    """What became of the rows of one file; counted while it is read."""

    name: str
    n_read: int = 0
    left_out: dict[str, int] = field(default_factory=dict)
    """Rows by the reason for which they were left out."""
    examples: dict[str, str] = field(default_factory=dict)
    """For each reason, a cell and its line."""

    @property
    def n_left_out(self) -> int:
        """Rows that were left out, for any reason."""
        return sum(self.left_out.values())

    def leave_out(self, reason: str, *, cell: object = None, line: int | None = None, n: int = 1) -> None:
        """Counts rows that are left out; the first of a reason is kept as its example."""
        self.left_out[reason] = self.left_out.get(reason, 0) + n
        if reason not in self.examples:
            shown = "" if cell is None else f"{excerpt(repr(cell), _EXAMPLE_CHARS)} "
            self.examples[reason] = "" if line is None else f" (e.g. {shown}in line {line:,})"

    def __str__(self) -> str:
        n_used = self.n_read - self.n_left_out
        lines = [f"{self.name}: {self.n_read:,} rows read, {n_used:,} used"]
        lines += [f"  {n:,} x {reason}{self.examples[reason]}" for reason, n in self.left_out.items()]
        return "\n".join(lines)


@dataclass(frozen=True)
class ImportReceipt:
    """What an import read and wrote."""

    files: tuple[FileCount, ...]
    tables: dict[Path, int]
    """Rows of each table that was written."""
    notes: tuple[str, ...]
    """What to know about the tables, a sentence or two each."""
    commands: tuple[str, ...]
    """What to run next."""

    def __str__(self) -> str:
        written = [f"{path}: {n:,} rows written" for path, n in self.tables.items()]
        next_step = ["Next:", *(f"  {command}" for command in self.commands)]
        return "\n".join([*map(str, self.files), *written, *self.notes, *next_step])


def train_command(tables: dict[Path, int]) -> str:
    """The `recmem train` that takes these tables; they are named for what they are."""
    options = " ".join(f"--{path.stem} {quote(str(path))}" for path in tables)
    return f"recmem train {options} --out run"
