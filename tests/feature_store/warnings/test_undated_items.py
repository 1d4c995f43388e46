"""Warnings about items that change without times; tests/feature_store/test_item_changes.py has them in receipts."""

from __future__ import annotations

import polars as pl

from feature_store.warnings.undated_items import changed_numbers, repeated_items, several_texts

STORED = pl.DataFrame({"item_id": ["a", "b", "c"], "title": ["x", "y", "z"], "price": [1.0, 2.0, None], "n": [1, 2, 3]})


def test_numbers_that_differ_from_the_stored_ones_are_counted_by_column() -> None:
    given = pl.DataFrame({"item_id": ["a", "b", "c", "d"], "price": [1.0, 3.0, 5.0, 6.0], "n": [9, 9, 3, 1]})
    (warning,) = changed_numbers(given, STORED)
    assert warning.startswith("Stored numbers have changed: price (1 item), n (2 items). Without times, past queries")


def test_texts_new_items_and_new_columns_are_no_changed_numbers() -> None:
    given = pl.DataFrame({"item_id": ["a", "d"], "title": ["other", "d"], "price": [1.0, 2.0], "stock": [4, 5]})
    assert list(changed_numbers(given, STORED)) == []
    assert list(changed_numbers(given, STORED[:0])) == []


def test_several_numbers_of_an_item_without_times_are_a_warning() -> None:
    rows = pl.DataFrame({"item_id": ["a", "a", "b", "b"], "title": ["x", "x", "z", "z"], "price": [1, 2, 3, 3]})
    (warning,) = repeated_items(rows)
    assert warning == (
        "Several rows of an item have different numbers: price (1 item). The last row counts. If each row is a "
        "change, name the column of its time `timestamp`."
    )
    assert list(repeated_items(rows[1:])) == []


def test_several_texts_of_an_item_without_times_are_a_warning() -> None:
    rows = pl.DataFrame(
        {"item_id": ["a", "a", "b", "b"], "lang": ["en", "de", "en", None], "title": ["x", "y", "z", "z"]}
    )
    (warning,) = repeated_items(rows)
    assert warning == (
        "Several rows of an item have different texts: lang (1 item), title (1 item). The last row counts. If the "
        "others belong to the item too, join them into one row, or give them as facts."
    )
    assert list(repeated_items(rows[1:])) == []


def test_texts_that_change_are_counted_by_column_but_not_ids_of_rows() -> None:
    rows = pl.DataFrame(
        {
            "item_id": ["a", "a", "b"],
            "title": ["x", "y", "z"],
            "brand": ["q", None, "q"],
            "event_id": ["1", "2", "3"],
        }
    )
    assert several_texts(rows) == (
        "Texts change: title (1 item). For all times the newest text is read: only numbers are read as of a time.",
    )
    assert several_texts(rows[1:]) == ()
