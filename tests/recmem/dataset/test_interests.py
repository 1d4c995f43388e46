from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import polars as pl

from feature_store.arrays import Float32Array
from recmem.dataset.interests import InterestVectors, interest_texts


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
