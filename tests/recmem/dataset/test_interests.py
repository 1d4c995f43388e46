from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import polars as pl
import pytest

from feature_store.arrays import Float32Array
from recmem.dataset.interests import InterestVectors, interest_entries, interest_parts, interest_texts


def test_each_text_is_encoded_once_and_found_again_and_an_empty_one_is_none() -> None:
    asked: list[Sequence[str]] = []

    def encode(texts: Sequence[str]) -> Float32Array:
        asked.append(texts)
        return np.array([[len(text), 1] for text in texts], np.float32)

    first = InterestVectors().with_texts(["jazz", "", "jazz", "tea"], encode)
    both = first.with_texts(["tea", "opera", ""], encode)
    assert both.with_texts(["jazz", ""], encode) is both
    assert asked == [["jazz", "tea"], ["opera"]]
    rows = both.rows_of(["opera", "", "jazz"])
    assert rows[1] == -1
    assert both.vectors[rows[[0, 2]]].tolist() == [[5, 1], [4, 1]]


def test_interests_are_encoded_as_an_items_title_would_be() -> None:
    cells = pl.Series("interests", ["  red \n wine. ", None, "", "cheese, wine"])
    assert interest_texts(cells) == ["red wine", "", "", "cheese, wine"]


@pytest.mark.parametrize(
    ("cell", "interests"),
    [
        ("jazz, vinyl; old films", ["jazz", "vinyl", "old films"]),
        ("chamber music for strings, played on old instruments", None),
        (
            "爵士乐\N{FULLWIDTH COMMA}黑胶唱片、现场录音\N{FULLWIDTH SEMICOLON}歌剧",
            ["爵士乐", "黑胶唱片", "现场录音", "歌剧"],
        ),
        ("我喜欢足球比赛,特别是英超联赛的精彩进球", None),
        ("コンピュータゲーム、音楽", ["コンピュータゲーム", "音楽"]),
        ("ดนตรีแจ๊ส, เครื่องดนตรี", ["ดนตรีแจ๊ส", "เครื่องดนตรี"]),
        ("موسيقى، أفلام قديمة", ["موسيقى", "أفلام قديمة"]),
        ("NBA 篮球\N{FULLWIDTH COMMA}足球", ["NBA 篮球", "足球"]),
    ],
)
def test_a_list_of_a_few_words_each_is_told_from_a_sentence_in_any_script(
    cell: str, interests: list[str] | None
) -> None:
    assert interest_parts(pl.Series([cell])) == [interests or [cell]]


def test_the_entries_of_every_line_are_told() -> None:
    cells = pl.Series(["chamber music for strings, jazz", None, "tea\nold films"])
    lines = {"chamber music for strings, jazz", "tea", "old films"}
    assert set(interest_entries(cells)) == lines | {"chamber music for strings", "jazz"}
    mixed = pl.Series(["jazz, \u7235\u58eb\u4e50\u3001\u6b4c\u5267"])
    assert {"\u7235\u58eb\u4e50", "\u7235\u58eb\u4e50\u3001\u6b4c\u5267"} <= set(interest_entries(mixed))
