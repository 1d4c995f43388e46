"""The list of common names in docs/event_names.md: it is that of the code, and leaves nothing out."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from feature_store import event_names, later_event_names
from feature_store.event_names import common_sign
from feature_store.event_names_document import BEGIN, END, KNOWN_NAMES, names_markdown

PAGE = Path(__file__).parents[2] / "docs" / "event_names.md"
SIGNS = {"positive": 1, "negative": -1, "neutral": 0}


def alternatives(pattern: str) -> Iterator[str]:
    """The parts of a pattern between those `|` that stand in no brackets."""
    depth = 0
    part = ""
    for letter in pattern:
        depth += (letter == "(") - (letter == ")")
        if letter == "|" and not depth:
            yield part
            part = ""
        else:
            part += letter
    yield part


def test_the_page_has_the_list_of_the_code() -> None:
    page = PAGE.read_text(encoding="utf-8")
    assert page[page.index(BEGIN) : page.index(END) + len(END)] == names_markdown().rstrip("\n")


@pytest.mark.parametrize("taken_as", SIGNS)
def test_each_listed_name_is_taken_as_the_list_says(taken_as: str) -> None:
    names = KNOWN_NAMES[taken_as]
    assert len(set(names)) == len(names)
    assert {name: common_sign(name) for name in names} == dict.fromkeys(names, SIGNS[taken_as])


@pytest.mark.parametrize("module", [event_names, later_event_names], ids=lambda module: str(module.__name__))
@pytest.mark.parametrize("taken_as", SIGNS)
def test_every_kind_of_name_that_the_code_knows_is_listed(module: object, taken_as: str) -> None:
    known: re.Pattern[str] = getattr(module, f"_{taken_as.upper()}")
    missing = [
        part
        for part in alternatives(known.pattern)
        if not any(re.fullmatch(part, name) for name in KNOWN_NAMES[taken_as])
    ]
    assert missing == []
