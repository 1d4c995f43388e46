"""Texts of items with HTML get a warning; a few, or signs that only look like tags, do not."""

from __future__ import annotations

import polars as pl
import pytest

from feature_store.schema import ITEMS
from feature_store.table_checks import check_table
from feature_store.warnings.markup import markup_warnings

TAGGED = '<p class="intro">A red <b>pen</b> &amp; ink</p>'


def items(texts: list[str | None], name: str = "description") -> pl.DataFrame:
    return pl.DataFrame({"item_id": [f"item-{row}" for row in range(len(texts))], name: texts})


def test_the_warning_names_column_share_and_an_example() -> None:
    (warning,) = markup_warnings(items([TAGGED, None, "A blue pen", "A lamp", "A desk"]))
    assert warning.startswith("""description: 25% of the texts contain HTML, such as '<p class="intro">'.""")


@pytest.mark.parametrize("text", [TAGGED, "Fish &amp; chips", "one<br/>two", "caf&#233;", "</LI>"])
def test_tags_and_character_references_are_html(text: str) -> None:
    assert len(markup_warnings(items([text]))) == 1


@pytest.mark.parametrize(
    "text",
    ["a < b and b > c", "I <3 tents", "List<String> of names", "AT&T; and R&D", "<unknown>", "x <- y; z -> w", ""],
)
def test_other_uses_of_the_same_signs_are_not(text: str) -> None:
    assert markup_warnings(items([text])) == []


def test_a_few_of_many_texts_say_nothing_and_long_tables_are_sampled() -> None:
    plain: list[str | None] = ["A blue pen"] * 30
    assert markup_warnings(items([*plain, TAGGED])) == []
    assert len(markup_warnings(items([TAGGED, "A blue pen"] * 15_000))) == 1


def test_ids_and_empty_tables_say_nothing() -> None:
    assert markup_warnings(pl.DataFrame({"item_id": ["<b>1</b>"], "title": ["A pen"]})) == []
    assert markup_warnings(items([None])) == []


def test_checking_items_warns() -> None:
    assert any("contain HTML" in warning for warning in check_table(items([TAGGED]), ITEMS).warnings)
