"""Counts of rows that the store could not match: they add up, and become sentences."""

from __future__ import annotations

from recmem.dataset.unmatched_rows import UnmatchedRows


def test_counts_of_chunks_add_up() -> None:
    first = UnmatchedRows(unknown_users=1, unknown_items_with_text=2)
    second = UnmatchedRows(unknown_users=3, unanswered=4)
    assert first + second == UnmatchedRows(unknown_users=4, unknown_items_with_text=2, unanswered=4)
    assert sum([first, second], UnmatchedRows()) == first + second


def test_it_is_true_if_any_row_is_unmatched() -> None:
    assert not UnmatchedRows()
    assert UnmatchedRows(unknown_history_items=1)


def test_only_counts_above_zero_become_sentences() -> None:
    assert list(UnmatchedRows().sentences()) == []
    counts = UnmatchedRows(unknown_users=1200, unknown_items_without_text=1)
    assert list(counts.sentences()) == [
        "1,200 rows: the user has no events in the store.",
        "1 row: the item is not in the store, and the row has no text. "
        "Add the item to the store, or its text to the row.",
    ]


def test_every_count_has_a_sentence_of_its_own() -> None:
    sentences = list(UnmatchedRows(1, 2, 3, 4, 5, 6).sentences())
    assert [int(sentence.partition(" ")[0]) for sentence in sentences] == [1, 2, 3, 4, 5, 6]
    assert len({sentence.partition(": ")[2] for sentence in sentences}) == 6
