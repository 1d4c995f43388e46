"""How many rows of a request the store could not match, by reason."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields


@dataclass(frozen=True)
class UnmatchedRows:
    """Rows that were scored with less than the full information. All zero where the store knows everything.

    Counts of several requests add up:

    >>> total = UnmatchedRows(unknown_users=2) + UnmatchedRows(unknown_users=1, unanswered=5)
    >>> for sentence in total.sentences():
    ...     print(sentence)
    rows of users without any event: 3
    rows scored from the loaded tables, as the shared memories did not answer: 5
    """

    unknown_users: int = 0
    """Rows of users without any event and without a history of their own."""
    unknown_items_with_text: int = 0
    """Rows of items that the store lacks; scored by the text in the row."""
    unknown_items_without_text: int = 0
    """Rows of items that the store lacks and that came without text; scored as an empty text."""
    unknown_history_items: int = 0
    """Items of given histories that the store lacks; left out of the history."""
    unanswered: int = 0
    """Rows scored from the loaded tables because the shared memories did not answer."""

    def __add__(self, other: UnmatchedRows) -> UnmatchedRows:
        sums = {field.name: getattr(self, field.name) + getattr(other, field.name) for field in fields(self)}
        return UnmatchedRows(**sums)

    def __bool__(self) -> bool:
        return any(getattr(self, field.name) for field in fields(self))

    def sentences(self) -> Iterator[str]:
        """One sentence for each count that is not zero."""
        for field in fields(self):
            n_rows = getattr(self, field.name)
            if n_rows:
                yield f"{_REASONS[field.name]}: {n_rows:,}"


_REASONS = {
    "unknown_users": "rows of users without any event",
    "unknown_items_with_text": "rows of items that the store lacks, scored by the text given",
    "unknown_items_without_text": "rows of items that the store lacks, without text",
    "unknown_history_items": "items of given histories that the store lacks, left out",
    "unanswered": "rows scored from the loaded tables, as the shared memories did not answer",
}
