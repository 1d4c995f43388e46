"""The glossary of features, and that docs/features.md is what it writes."""

from __future__ import annotations

from pathlib import Path

from recmem.ranking.feature_glossary import glossary_markdown, meanings
from recmem.ranking.feature_table import FEATURES

DOCUMENT = Path(__file__).parents[3] / "docs" / "features.md"


def test_the_document_is_what_the_table_gives() -> None:
    # If this fails: python -m recmem.ranking.feature_glossary > docs/features.md
    assert DOCUMENT.read_text() == glossary_markdown()


def test_every_feature_has_an_entry_and_columns_of_any_name_one_together() -> None:
    rows = [line.split(" | ") for line in glossary_markdown().splitlines() if line.startswith("| `")]
    columns = ["items.<name>", "candidates.<name>", "categories.<name>", "users.<name>", "user_categories.<name>"]
    assert [row[0].strip("|` ") for row in rows] == [
        *(feature.name for feature in FEATURES),
        "interests_similarity",
        "similarity_shown",
        *("facts_shared", "facts_max", "facts_negative"),
        "times_had",
        "visits_since_had",
        "time_since_had",
        *columns,
    ]
    assert rows[0][1] == "match"


def test_meanings_of_a_rankers_features_include_its_item_attributes() -> None:
    names = ["item_age", "items.price", "candidates.ctr", "categories.device", "users.age", "user_categories.plan"]
    found = meanings(names)
    assert list(found) == names
    assert found["users.age"] == (
        "The user's `age`, as the users table has it at the time of the query. Missing if it has none."
    )
    assert found["user_categories.plan"].endswith("Missing if it has none, and for a text that training did not have.")
    assert "value in the column `ctr`" in found["candidates.ctr"]
    assert "category in the column `device`" in found["categories.device"]
    assert "first event" in found["item_age"]
    assert "`price`" in found["items.price"]
