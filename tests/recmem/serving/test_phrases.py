"""Phrases: every language has the same places to fill, and reads as it should."""

from __future__ import annotations

import string
from dataclasses import fields
from typing import get_args

import pytest

from recmem.serving.explain import in_words
from recmem.serving.phrases import PHRASES, Language, Phrases


def places(phrase: str) -> set[str]:
    return {name for _, name, _, _ in string.Formatter().parse(phrase) if name}


@pytest.mark.parametrize("language", get_args(Language))
def test_each_language_fills_the_same_places_as_english(language: Language) -> None:
    for field in fields(Phrases):
        english = getattr(PHRASES["en"], field.name)
        assert places(getattr(PHRASES[language], field.name)) == places(english), field.name


def test_reasons_in_chinese() -> None:
    assert in_words(["咖啡机", "磨豆机"], [0.5, 0.25], language="zh") == "因为它与「咖啡机」和「磨豆机」相关"
    assert (
        in_words(["咖啡机"], [0.5], numbers=True, interests=0.25, language="zh")
        == "因为它与「咖啡机」 (+0.50)相关（数字为对原始匹配分的贡献），并且符合所填写的兴趣（相似度 0.25）"
    )
    assert in_words([], [], interests=0.25, language="zh") == "因为它符合所填写的兴趣"


def test_reasons_in_german_and_japanese() -> None:
    assert in_words(["A", "B"], [0.5, 0.25], language="de") == "weil es zu „A“ und „B“ passt"
    assert in_words(["A"], [0.5], interests=0.3, language="de") == (
        "weil es zu „A“ passt und zu den angegebenen Interessen"
    )
    assert in_words(["A", "B"], [0.5, 0.25], language="ja") == "「A」と「B」に関連するため"


@pytest.mark.parametrize("language", get_args(Language))
def test_braces_in_a_title_are_part_of_it(language: Language) -> None:
    assert "{title} {0}" in in_words(["{title} {0}", "{"], [0.5, 0.25], interests=0.3, language=language)
