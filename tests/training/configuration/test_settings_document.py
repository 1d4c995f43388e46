"""The document of all settings, and that docs/configuration.md is what it writes."""

from __future__ import annotations

from pathlib import Path

from training.configuration.all_settings import all_settings
from training.configuration.settings_document import settings_markdown

DOCUMENT = Path(__file__).parents[3] / "docs" / "configuration.md"


def test_the_document_is_what_the_dataclasses_give() -> None:
    # If this fails: python -m training.configuration.settings_document > docs/configuration.md
    assert DOCUMENT.read_text() == settings_markdown()


def test_every_setting_has_a_row_with_five_bars() -> None:
    rows = [line for line in settings_markdown().splitlines() if line.startswith("| `")]
    assert len(rows) == len(all_settings())
    assert {row.count("|") - row.count(r"\|") for row in rows} == {5}
    assert any(row.startswith("| `seed` | `0` | a whole number (0 to 2,147,483,647) | Random seed") for row in rows)
