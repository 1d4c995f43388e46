"""The content of a file: its rows, the lines that could not be read, and warnings."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import polars as pl

UNREADABLE_SCHEMA = {"line": pl.Int64(), "reason": pl.String(), "text": pl.String()}
UNREADABLE = "unreadable line"
"""The one key of a rejected row whose line could not be read; its value is the line's text."""
MAX_TEXT = 10_000
"""Characters that are kept of an unreadable line."""
_EXAMPLE_CHARS = 60


@dataclass(frozen=True)
class BadLine:
    """A line, or a few lines that belong together, in which no row can be read."""

    number: int
    """The first line's number in the file, counting from 1."""
    reason: str
    """In the form of a problem, without the line's own text: equal reasons are counted together."""
    text: str


@dataclass(frozen=True, eq=False)
class FileRows:
    """The content of a file as a table."""

    frame: pl.DataFrame
    """The rows that could be read."""
    lines: pl.Series | None = None
    """Each row's line number, counting from 1; None if the file has no lines, as Parquet."""
    unreadable: pl.DataFrame = field(default_factory=lambda: pl.DataFrame(schema=UNREADABLE_SCHEMA))
    """Lines without a row, in the columns of `UNREADABLE_SCHEMA`: they count as rejected rows."""
    warnings: tuple[str, ...] = ()
    """What was read but looks wrong; a sentence or two each, with an example."""

    @property
    def n_rows(self) -> int:
        """Rows and unreadable lines together."""
        return self.frame.height + self.unreadable.height


def unreadable_lines(bad: Sequence[BadLine]) -> pl.DataFrame:
    """The lines as a frame, in their order; the text of a very long one is cut, with its length."""
    ordered = sorted(bad, key=lambda line: line.number)
    return pl.DataFrame(
        {
            "line": [line.number for line in ordered],
            "reason": [line.reason for line in ordered],
            "text": [cut(line.text, MAX_TEXT) for line in ordered],
        },
        schema=UNREADABLE_SCHEMA,
    )


def cut(text: str, length: int) -> str:
    """The text, or its beginning and how long it was."""
    return text if len(text) <= length else f"{text[:length]}... ({len(text):,} characters)"


def line_numbers(numbers: Sequence[int]) -> str:
    """A few of these line numbers, for a warning: "line 7", "lines 7, 9, 12, ..."."""
    shown = ", ".join(f"{number:,}" for number in numbers[:3])
    return f"line {shown}" if len(numbers) == 1 else f"lines {shown}{', ...' if len(numbers) > 3 else ''}"


def described(line: BadLine) -> str:
    """The line's number, its beginning, and why it could not be read."""
    reason = line.reason.removeprefix("line: ")
    return f"line {line.number:,} ({cut(line.text, _EXAMPLE_CHARS)!r}): {reason}"
