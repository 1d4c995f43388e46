"""What training accepts and tells: columns and impressions that do less than one would expect."""

from __future__ import annotations

from datetime import UTC, datetime

import polars as pl
import pytest

from recmem.dataset.candidate_features import CandidateFeature
from recmem.dataset.catalogue import Catalogue
from training.data_warnings import (
    feature_warnings,
    identifier_warnings,
    impression_warnings,
    item_warnings,
    language_warnings,
    not_clicked_warnings,
)


def warnings_of(column: str, values: list[object]) -> list[str]:
    """The warnings about items with a title and this column."""
    return list(item_warnings(catalogue_with(column, values)))


def catalogue_with(column: str, values: list[object]) -> Catalogue:
    items = pl.DataFrame({"item_id": range(len(values)), "title": ["x"] * len(values), column: values}, strict=False)
    is_text = items.schema[column] == pl.String
    return Catalogue.of(items, ("title", column) if is_text else ("title",))


@pytest.mark.parametrize("name", ["timestamp", "history", "score", "rank", "match_score"])
def test_a_text_column_that_candidates_cannot_bring_along_gets_a_warning(name: str) -> None:
    (warning,) = warnings_of(name, ["spring", "autumn"])
    assert warning.startswith(f"items.{name}: a part of each item's text, but candidates cannot bring it along")


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ([1e300, 2.0, None], r"1 numbers are too large for the ranker and count as missing (e.g. 1e+300"),
        ([-1e39, 1e39], "2 numbers are too large"),
        ([None, None, 3.0], "all values are missing or equal"),
        ([5, 5, 5], "all values are missing or equal"),
        ([1e-9, 2e-9, 5e-9], "its values differ by less than 1e-06 and count as equal"),
        ([2**40 + n for n in range(20)], "19 of 20 distinct values cannot be told apart in float32"),
    ],
)
def test_a_number_column_that_loses_values_in_the_ranker_gets_a_warning(values: list[object], words: str) -> None:
    (warning,) = warnings_of("size", values)
    assert warning.startswith("items.size: ")
    assert words in warning


@pytest.mark.parametrize("values", [[1, 2, None], [0.0, 1e30], [-(2**63), 2**63 - 1], [0.1, 0.2, 0.1], ["a", "b"]])
def test_a_usual_column_is_not_mentioned(values: list[object]) -> None:
    assert warnings_of("size", values) == []


def test_numbers_that_identify_something_are_warned_of_once_with_the_setting_that_leaves_them_out() -> None:
    items = pl.DataFrame(
        {"item_id": list("abcd"), "title": ["x"] * 4, "brand_id": [48213, 48212, 7, None], "shop_id": [1.0, 2, 3, 3]}
    )
    catalogue = Catalogue.of(items, ("title",))
    (warning,) = identifier_warnings(catalogue, ())
    assert warning.startswith("items.brand_id, items.shop_id: identifiers, by name, but the ranker reads numbers as ")
    assert """--set 'ranker.leave_out=["items.brand_id", "items.shop_id"]'.""" in warning
    # A list that is given already is completed, and what it names is not warned of.
    (warning,) = identifier_warnings(catalogue, ("match_prior", "items.shop_id"))
    assert warning.startswith("items.brand_id: identifiers")
    assert """'ranker.leave_out=["match_prior", "items.shop_id", "items.brand_id"]'.""" in warning
    assert list(identifier_warnings(catalogue, ("items.brand_id", "items.shop_id"))) == []


@pytest.mark.parametrize(
    ("column", "values"), [("paid", [5, 6, 7]), ("grid", [5, 6, 7]), ("style_id", [0.5, 1, 2]), ("is_id", [0, 1, 1])]
)
def test_amounts_and_flags_are_no_identifiers(column: str, values: list[object]) -> None:
    assert list(identifier_warnings(catalogue_with(column, values), ())) == []


def impressions(*rows: tuple[str, str, int, str, int]) -> pl.DataFrame:
    """(impression, user, day, item, label) as the store's table."""
    names = ["impression_id", "user_id", "timestamp", "item_id", "label"]
    timed = [
        (impression, user, datetime(2024, 1, day, tzinfo=UTC), item, label)
        for impression, user, day, item, label in rows
    ]
    return pl.DataFrame(timed, schema=names, orient="row")


def test_impressions_with_clicked_and_other_items_are_not_mentioned() -> None:
    # Two files that both count from 1.
    table = impressions(("1", "u", 1, "a", 0), ("1", "u", 1, "b", 1), ("1", "v", 2, "a", 1), ("1", "v", 2, "b", 0))
    assert list(impression_warnings(table)) == []
    assert list(impression_warnings(table.clear())) == []


def test_slots_for_items_not_clicked_that_cannot_be_filled_are_a_warning() -> None:
    clicked = impressions(("1", "u", 1, "a", 1))
    for table in (clicked, clicked.clear()):
        (warning,) = not_clicked_warnings(10, table)
        assert warning.startswith("memory.not_clicked: expected impressions with items that were not clicked (label 0)")
        assert list(not_clicked_warnings(0, table)) == []
    assert list(not_clicked_warnings(10, impressions(("1", "u", 1, "a", 1), ("1", "u", 1, "b", 0)))) == []


def test_impressions_whose_clicks_have_another_time_get_a_warning() -> None:
    torn = impressions(("1", "u", 1, "a", 0), ("1", "u", 1, "b", 0), ("1", "u", 2, "c", 1), ("2", "u", 3, "a", 0))
    whole = impressions(("3", "u", 5, "a", 0), ("3", "u", 5, "b", 1))
    (warning,) = impression_warnings(pl.concat([torn, whole]))
    assert warning.startswith("impressions.timestamp: in 1 of 3 impressions the clicked items have another time")


@pytest.mark.parametrize("label", [0, 1])
def test_impressions_of_one_label_get_a_warning(label: int) -> None:
    table = impressions(("1", "u", 1, "a", label), ("1", "u", 1, "b", label))
    (warning,) = impression_warnings(table)
    assert warning.startswith("impressions.label: no impression has both a clicked item and one that was not clicked")


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ([1.0, 1.0, None], "all values are missing or equal"),
        (["web", "web", None], "all values are missing or equal"),
        (["2026-03-01", "2026-03-02", "2026-03-02"], "dates as texts, of which each is a category of its own"),
        ([str(n) for n in range(1001)], "1,001 different texts, of which the 1,000 most frequent are told apart"),
    ],
)
def test_a_feature_of_the_impressions_that_tells_little_gets_a_warning(values: list[object], words: str) -> None:
    column = pl.Series("own", values)
    (warning,) = feature_warnings(column.to_frame(), [CandidateFeature.of(column)])
    assert warning.startswith("impressions.own: ")
    assert words in warning
    assert list(feature_warnings(pl.DataFrame({"own": ["a", "b"]}), [CandidateFeature("own", ("a", "b"))])) == []


def test_texts_in_another_script_have_a_warning() -> None:
    texts = ["Ein Buch über Bäume", "A book", "", "42"]
    assert list(language_warnings(texts)) == []
    (warning,) = language_warnings([*texts, "咖啡机 HP 300", "title 咖啡机. category: 电器"])
    assert warning.startswith("items: 50% of the texts are not, or only partly, in Latin letters")
    assert list(language_warnings(["A book"] * 20 + ["咖啡机"])) == []
    assert list(language_warnings([])) == []
    assert len(list(language_warnings(["咖啡机", "A book"] * 10_001))) == 1
