"""Counts the rows of a request that the store could not match, by reason."""

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
    3 rows: the user has no events in the store.
    5 rows: scored from the loaded tables, because the shared memories did not answer. Check the Redis server.
    """

    unknown_users: int = 0
    """Rows of users whom the store lacks, without a history of their own."""
    unknown_items_with_text: int = 0
    """Rows of items that the store lacks; scored by the text in the row."""
    unknown_items_without_text: int = 0
    """Rows of items that the store lacks and that came without text; scored as an empty text."""
    unknown_history_items: int = 0
    """Items of given histories that the store lacks; left out of the history."""
    unanswered: int = 0
    """Rows scored from the loaded tables because the shared memories did not answer."""
    unreadable_ids: int = 0
    """Rows whose user or item id cannot be one of the store's; the user or item counts as unknown."""
    unknown_items_with_vector: int = 0
    """Rows of items that the store lacks; scored by their vector, in a model that reads vectors of items."""
    items_without_vector: int = 0
    """Rows of items without a vector, in such a model; scored as items that are like no other."""
    missing_features: int = 0
    """Rows in which a feature of the caller's own counts as missing: null, or a text that training did not have."""

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
                noun, reason = _REASONS[field.name]
                yield f"{n_rows:,} {noun if n_rows == 1 else f'{noun}s'}: {reason}"


_REASONS = {
    # What is counted, and the sentence about it.
    "unknown_users": ("row", "the user has no events in the store."),
    "unknown_items_with_text": ("row", "the item is not in the store and was scored by the text in the row."),
    "unknown_items_without_text": (
        "row",
        "the item is not in the store, and the row has no text. Add the item to the store, or its text to the row.",
    ),
    "unknown_history_items": ("item", "in a given history but not in the store, and left out."),
    "unanswered": (
        "row",
        "scored from the loaded tables, because the shared memories did not answer. Check the Redis server.",
    ),
    "unreadable_ids": (
        "row",
        "the user or item id cannot be one of the store's, and counts as unknown: a fraction, a number too large to be "
        "exact, empty text, or text where the store has integers. Give ids as the store has them.",
    ),
    "unknown_items_with_vector": ("row", "the item is not in the store and was scored by its vector."),
    "items_without_vector": (
        "row",
        "the item has no vector, so nothing in a memory is like it. Add its vector with `recmem ingest --vectors`.",
    ),
    "missing_features": (
        "row",
        "a column of --features has no value, or a text that training did not have, and counts as missing.",
    ),
}
