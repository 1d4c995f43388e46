"""An id is recognised however a rejected row spells it, and a short one is not found in every number."""

from __future__ import annotations

from typing import Any

import pytest

from feature_store.forgetting.id_spellings import IdSpellings


@pytest.mark.parametrize(
    "cell",
    [
        70000007,
        70000007.0,
        "70000007",
        "70000007.0",
        "70000007.00",
        " 70000007",
        "70000007\t",
        "\ufeff70000007\u00a0",
        "7.0000007e7",
        "7.0000007E+07",
        "+70000007",
        "0070000007",
        '"70000007"',
        "'70000007'",
        '="70000007"',
        "b'70000007'",
        "70,000,007",
        "70 000 007",
        "".join(chr(0xFF10 + int(digit)) for digit in "70000007"),
        "\\u0037\\u0030000007",
        "7%30000007",
        "user 70000007, again",
        "70000007;12;2024",
        "a\t70000007\tb",
        {"who": ["x", {"id": 70000007}]},
        {"70000007": 1},
    ],
    ids=repr,
)
def test_a_number_is_recognised_in_any_spelling(cell: Any) -> None:
    assert IdSpellings(70000007).occur_in(cell, column="comment")
    assert IdSpellings("70000007").occur_in(cell, column="comment")


@pytest.mark.parametrize(
    "cell", [70000008, "700000070", "7000000", "x70000007", 7.0, None, True, "", "nan", "1e999999999"]
)
def test_another_number_is_not_the_id(cell: Any) -> None:
    assert not IdSpellings(70000007).occur_in(cell)


@pytest.mark.parametrize(
    "cell",
    [
        "Zoé Müller",
        "ZOÉ MÜLLER",
        " zoé  müller ",
        "Zoe\u0301 Mu\u0308ller",
        "Zo\\u00e9 M\\u00fcller",
        "Zo%C3%A9%20M%C3%BCller",
    ],
)
def test_text_is_recognised_in_other_case_and_other_unicode(cell: str) -> None:
    assert IdSpellings("Zoé Müller").occur_in(cell)
    assert IdSpellings("Zoé Müller").occur_in(f"17;{cell};never")
    assert not IdSpellings("Zoé Müllers").occur_in(cell)


def test_an_id_with_separators_is_found_within_a_line() -> None:
    assert IdSpellings("Ink, red; 5").occur_in("1,Ink, red; 5,yesterday")


def test_a_short_number_counts_in_ids_and_unread_lines_only() -> None:
    seven = IdSpellings(7)
    assert seven.occur_in({"user_id": "7.0"})
    assert seven.occur_in({"session_id": 7})
    assert seven.occur_in({"line": "7;12;yesterday"})
    assert not seven.occur_in({"label": 7, "value": 7.0, "price": "7"})
    assert not seven.occur_in({"title": "chapter 7"})


def test_a_short_word_counts_as_a_whole_cell() -> None:
    assert IdSpellings("bo").occur_in({"comment": "Bo "})
    assert not IdSpellings("bo").occur_in({"comment": "Bo likes it"})


def test_a_number_that_a_float_has_rounded_is_recognised() -> None:
    assert IdSpellings(2**53 + 1).occur_in(float(2**53 + 1))
