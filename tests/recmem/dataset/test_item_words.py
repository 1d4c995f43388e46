"""Words of texts: weights by hand, scripts without spaces, and texts that have none."""

from __future__ import annotations

import math
import unicodedata

import numpy as np

from recmem.dataset import item_words as item_words_module
from recmem.dataset.item_words import LONGEST_TEXT, _words, describe_words, item_words
from tolerances import close


def cosines(texts: list[str]) -> np.ndarray:
    words = item_words(texts)
    return np.asarray((words @ words.T).toarray())


def test_weights_by_hand() -> None:
    words = item_words(["Red red WINE", "red shoes", "blue shoes", "wine"]).toarray()
    # Words in order: red, shoes, wine; blue is of one text. idf = log((1 + texts) / (1 + texts with it)) + 1.
    idf = math.log(5 / 3) + 1
    first = np.array([(1 + math.log(2)) * idf, 0, idf])
    close(words[0], first / np.linalg.norm(first), "float32")
    close(words[2], [0, 1, 0], "float32")


def test_texts_in_chinese_share_pairs_of_characters() -> None:
    similar = cosines(["咖啡机清洁剂", "咖啡机配件", "足球比赛", "足球新闻"])
    assert similar[0, 1] > 0
    assert similar[2, 3] > 0
    assert similar[0, 2] == 0


def test_words_of_scripts_with_vowel_signs_and_accents_stay_whole() -> None:
    assert list(_words("हिन्दी किताब")) == ["हिन्दी", "किताब"]
    assert list(_words("تقدّم سريع")) == ["تقدّم", "سريع"]
    decomposed = unicodedata.normalize("NFD", "Café Škoda")
    assert list(_words(decomposed)) == list(_words("Café Škoda")) == ["café", "škoda"]
    assert list(_words("กาแฟ tea")) == ["กา", "าแ", "แฟ", "tea"]


def test_texts_without_a_common_word_have_empty_rows() -> None:
    assert item_words(["one", "two", ""]).nnz == 0
    assert item_words([]).shape == (0, 1)
    assert item_words(["one"]).shape[0] == 1


def test_a_word_that_most_texts_have_does_not_count() -> None:
    assert item_words(["red wine", "red shoes", "red cup", "red hat"]).nnz == 0
    assert item_words(["red wine"] * 3).nnz == 0


def test_rows_have_length_one_or_zero_in_any_script() -> None:
    texts = ["Émile à Paris", "paris émile", "кофе и чай", "чай и кофе", "", "!!!", "コーヒー豆", "コーヒー"]
    lengths = np.sqrt(np.asarray(item_words(texts).power(2).sum(1)).ravel())
    close(lengths, [1, 1, 1, 1, 0, 0, 1, 1], "float32")


def test_long_texts_are_read_up_to_a_bound() -> None:
    bound = item_words_module.LONGEST_TEXT
    others = ["c tail", "x", "y", "z"]
    assert cosines(["a" * (bound - 5) + " tail", *others])[0, 1] > 0
    assert cosines(["a" * (bound - 4) + " tail", *others])[0, 1] == 0


def test_the_digest_changes_with_the_texts_that_are_read() -> None:
    digest = describe_words(["red wine", "shoes"])
    assert describe_words(["red wine", "shoes"]) == digest
    others = [["red wine", "shoe"], ["shoes", "red wine"], ["red wine shoes"], ["red wine", "shoes", ""]]
    assert len({digest, *map(describe_words, others)}) == 5
    long = "a" * LONGEST_TEXT
    assert describe_words([long + "b"]) == describe_words([long])
