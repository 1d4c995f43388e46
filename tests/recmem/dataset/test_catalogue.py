from __future__ import annotations

import math

import polars as pl
import pytest

from recmem.dataset import catalogue
from recmem.dataset.catalogue import Catalogue, numeric_columns
from recmem.dataset.item_words import item_words
from tolerances import close

TABLE = pl.DataFrame(
    {
        "item_id": ["b", "c", "a"],
        "title": ["Bees", None, "Ants"],
        "brand": ["x", None, None],
        "weight": [2.5, math.nan, math.inf],
        "pages": [10, None, 30],
    }
)


def test_rows_follow_the_ids_whatever_the_order_of_the_table() -> None:
    made = Catalogue.of(TABLE, ("title", "brand"))
    assert made.ids.to_list() == ["a", "b", "c"]
    assert made.texts == ["Ants", "Bees. brand: x", ""]
    assert made.rows(pl.Series(["c", "zebra", "a", None])).tolist() == [2, -1, 0, -1]
    assert len(made) == 3
    again = Catalogue.of(TABLE.reverse(), ("title", "brand"))
    assert again.items.equals(made.items)
    assert again.texts == made.texts


def test_numbers_are_those_of_the_rows_and_nan_where_there_is_none() -> None:
    numbers = Catalogue.of(TABLE, ("title",)).numbers()
    assert list(numbers) == ["pages", "weight"]
    close(numbers["pages"], [30, 10, math.nan], "exact")
    close(numbers["weight"], [math.nan, 2.5, math.nan], "exact")


def test_ids_are_no_number_column() -> None:
    assert numeric_columns(pl.DataFrame({"item_id": [1], "size": [2], "title": ["x"], "age": [0.5]})) == ("age", "size")


def test_columns_that_the_table_lacks_are_empty() -> None:
    made = Catalogue.of(TABLE.drop("brand", "pages"), ("title", "brand"), ("pages", "weight"))
    assert made.texts == ["Ants", "Bees", ""]
    close(made.numbers()["pages"], [math.nan] * 3, "exact")


@pytest.mark.parametrize(("row", "name"), [(0, "a (Ants)"), (2, "c")])
def test_an_item_is_called_by_its_title(row: int, name: str) -> None:
    assert Catalogue.of(TABLE, ("title",)).title(row) == name


def test_an_item_without_titles_is_called_by_its_id() -> None:
    assert Catalogue.of(pl.DataFrame({"item_id": [7], "text": ["x"]}), ("text",)).title(0) == "7"


def test_ids_of_numbers_are_found_by_their_words() -> None:
    made = Catalogue.of(pl.DataFrame({"item_id": [20, 3], "text": ["x", "y"]}), ("text",))
    assert made.rows(pl.Series(["3", "20", "?"])).tolist() == [0, 1, -1]


def test_words_are_those_of_the_texts_unless_the_catalogue_is_large(monkeypatch: pytest.MonkeyPatch) -> None:
    table = pl.DataFrame({"item_id": list("abcd"), "title": ["red wine", "red cup", "tea cup", "tea"]})
    words = Catalogue.of(table, ("title",)).words
    assert words is not None
    close(words.toarray(), item_words(["red wine", "red cup", "tea cup", "tea"]).toarray(), "exact")
    monkeypatch.setattr(catalogue, "LARGE", 3)
    assert Catalogue.of(table, ("title",)).words is None
