"""Words that are tokenized once; that whole texts get the right tokens is tested in test_text_tokenizer.py."""

from __future__ import annotations

from typing import Any

import pytest
from tokenizers import AddedToken, Regex, Tokenizer, models, normalizers, pre_tokenizers

from recmem.text import word_tokens
from recmem.text.word_tokens import WordTokens, splits_at_spaces

LETTERS = {letter: place for place, letter in enumerate("abcdefghijklmnopqrstuvwxyz ")}


class Letters:
    """A tokenizer that makes a token of each letter, and counts the texts that it reads."""

    def __init__(self) -> None:
        self.read: list[str] = []

    def __call__(self, texts: list[str]) -> list[list[int]]:
        self.read += texts
        return [[LETTERS[letter] for letter in text if letter != " "] for text in texts]


class Positions(Letters):
    """One that begins a text that starts with x in another way."""

    def __call__(self, texts: list[str]) -> list[list[int]]:
        own = super().__call__(texts)
        return [[99, *ids] if text.startswith("x") else ids for text, ids in zip(texts, own, strict=True)]


def tokens_of(words: WordTokens, texts: list[str], at_most: int = 100) -> list[list[int] | None]:
    rows, is_right = words.tokens_of(texts, at_most=at_most)
    return [ids if right else None for ids, right in zip(rows.to_lists(), is_right, strict=True)]


def test_words_that_repeat_are_read_once() -> None:
    letters = Letters()
    words = WordTokens(letters, is_checked=False)
    letters.read.clear()
    assert tokens_of(words, ["ab c ab", "c c c c c", ""]) == [[0, 1, 2, 0, 1], [2] * 5, []]
    assert tokens_of(words, ["c ab"]) == [[2, 0, 1]]
    assert sorted(letters.read) == ["", "ab", "c"]


def test_words_that_come_once_are_left_to_the_tokenizer_until_they_come_again() -> None:
    words = WordTokens(Letters(), is_checked=False)
    assert tokens_of(words, ["ab cd"]) == [None]
    assert tokens_of(words, ["ab ef"]) == [None]
    assert tokens_of(words, ["ab ab"]) == [[0, 1, 0, 1]]


def test_a_sentence_without_spaces_is_never_kept() -> None:
    words = WordTokens(Letters(), is_checked=False)
    long = "a" * (word_tokens.LONGEST_WORD + 1)
    for _ in range(3):
        assert tokens_of(words, [f"{long} b b b"]) == [None]
    assert tokens_of(words, ["b"]) == [[1]]


@pytest.mark.parametrize("at_most", range(1, 8))
def test_texts_are_cut_in_the_middle_of_a_word(at_most: int) -> None:
    words = WordTokens(Letters(), is_checked=False)
    texts = ["ab cde ab", "cde", "ab ab ab ab ab ab ab ab ab"]
    whole = Letters()(texts)
    tokens_of(words, texts)
    assert tokens_of(words, texts, at_most) == [ids[:at_most] for ids in whole]


def test_a_text_is_whole_where_its_first_words_have_too_few_tokens() -> None:
    words = WordTokens(Letters(), is_checked=False)
    tokens_of(words, ["a a a a"])
    assert tokens_of(words, ["    a a", "a a a a"], 3) == [None, [0, 0, 0]]


def test_a_word_whose_tokens_depend_on_its_place_is_not_used() -> None:
    words = WordTokens(Positions(), is_checked=True)
    found = tokens_of(words, ["xa b xa", "b b b b b b", "b xa"])
    assert found == [None, [1] * 6, None]


def backend(pre_tokenizer: Any, normalizer: Any = None, *, model: Any = None, added: AddedToken | None = None) -> Any:
    made = Tokenizer(model or models.WordPiece({"[UNK]": 0}, unk_token="[UNK]"))
    made.pre_tokenizer = pre_tokenizer
    if normalizer is not None:
        made.normalizer = normalizer
    if added is not None:
        made.add_special_tokens([added])
    return made


BERT = pre_tokenizers.BertPreTokenizer()
RUNS = normalizers.Replace(Regex(" {2,}"), " ")
METASPACE = pre_tokenizers.Metaspace(prepend_scheme="always", split=True)


@pytest.mark.parametrize(
    ("tokenizer", "expected"),
    [
        (backend(BERT, normalizers.BertNormalizer()), "always"),
        (backend(pre_tokenizers.WhitespaceSplit()), "always"),
        (backend(BERT, normalizers.Sequence([normalizers.NFD(), normalizers.StripAccents()])), "always"),
        (backend(pre_tokenizers.Sequence([pre_tokenizers.WhitespaceSplit(), METASPACE])), "mostly"),
        (backend(METASPACE, normalizers.Sequence([normalizers.NFKC(), RUNS])), "mostly"),
        (backend(BERT, added=AddedToken("<mask>", lstrip=True)), "mostly"),
        (backend(BERT, added=AddedToken("new york")), "unknown"),
        (backend(BERT, normalizers.Replace("a b", "c")), "unknown"),
        (backend(pre_tokenizers.Metaspace(prepend_scheme="always", split=False)), "unknown"),
        (backend(pre_tokenizers.Metaspace(prepend_scheme="first")), "unknown"),
        (backend(pre_tokenizers.ByteLevel()), "unknown"),
        (backend(None), "unknown"),
        (backend(BERT, model=models.BPE({"a": 0}, [], dropout=0.1)), "unknown"),
    ],
)
def test_a_tokenizer_is_graded_by_its_parts(tokenizer: Any, expected: str) -> None:
    assert splits_at_spaces(tokenizer) == expected
