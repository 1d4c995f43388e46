"""Token ids of words that stand between spaces: each distinct word is tokenized once, and looked up from then on."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from itertools import chain, repeat
from typing import Any, Literal

import numpy as np

from feature_store.arrays import BoolArray, IntArray
from recmem.text.token_rows import TokenRows, offsets_of, ragged_places

MAX_WORDS = 1 << 17
"""Words that are kept, some 40 MB. When there would be more, all are dropped."""
LONGEST_WORD = 40
"""Characters. Longer ones, such as a sentence in Chinese, hardly come twice."""
NEW_WORD_COST = {False: 2.5, True: 4.0}
"""Is a word checked? -> the time to learn it, in multiples of what a word of a text that is tokenized whole takes."""

_UNKNOWN = -1
_DEPENDENT = -2
"""In place of a word's row: its tokens depend on what stands beside it."""
_NEIGHBOUR = "a"
_BY_CHARACTER = frozenset({"BertNormalizer", "Lowercase", "NFC", "NFD", "StripAccents"})
"""Normalizers whose result for a word does not depend on the words beside it."""
_NEARLY = frozenset({"NFKC", "NFKD", "Nmt", "Precompiled", "Strip"})
"""Normalizers whose result does for few words: they may add or remove spaces, or join a space with a mark after it."""
_SPLIT_AT_SPACES = frozenset({"BertPreTokenizer", "Whitespace", "WhitespaceSplit"})

Ids = list[list[int]]


class WordTokens:
    """Token ids of texts, put together from those of their words; without special tokens.

    Not to be used by several threads at once.
    """

    def __init__(self, tokenize: Callable[[list[str]], Ids], *, is_checked: bool) -> None:
        """`tokenize` gives whole texts' ids without special tokens, not truncated; its tokenizer splits at spaces.

        `is_checked`: a word counts only if it has the same tokens at the start and at the end of a text, on both sides
        of another word.
        """
        self._tokenize = tokenize
        self._is_checked = is_checked
        (self._neighbour,) = tokenize([_NEIGHBOUR])
        self._forget()

    def _forget(self) -> None:
        self._rows: dict[str, int] = {}
        self._seen: set[str] = set()
        self._tokens = TokenRows.of([])

    def tokens_of(self, texts: Sequence[str], *, at_most: int) -> tuple[TokenRows, BoolArray]:
        """Ids of the texts' first `at_most` tokens, and whether they are the tokenizer's own: bool[text].

        Where they may not be, as with a new word, the row is empty: the text is to be tokenized whole.
        """
        # A word more than there are tokens: the rest of a long text is one string, and not read.
        pieces = [text.split(" ", at_most) for text in texts]
        n_words = np.fromiter(map(len, pieces), np.int64, len(pieces))
        words = list(chain.from_iterable(pieces))
        ends = np.cumsum(n_words)
        is_rest = np.zeros(len(words), np.bool_)
        is_rest[ends[n_words > at_most] - 1] = True
        rows = self._rows_of(words, is_rest)

        lengths = np.zeros_like(rows)
        is_known = (rows >= 0) & ~is_rest
        lengths[is_known] = self._tokens.lengths[rows[is_known]]
        before = offsets_of(lengths)
        n_tokens = before[ends] - before[ends - n_words]
        n_bad = offsets_of((rows < 0).astype(np.int64))
        is_right = n_bad[ends] == n_bad[ends - n_words]
        is_right &= (n_words <= at_most) | (n_tokens >= at_most)
        # Cut each text at its `at_most` tokens, in the word where they end.
        left = at_most - (before[:-1] - np.repeat(before[ends - n_words], n_words))
        lengths = np.clip(lengths, 0, np.where(np.repeat(is_right, n_words), np.maximum(left, 0), 0))
        ids = self._tokens.ids[ragged_places(self._tokens.offsets[np.maximum(rows, 0)], lengths)]
        return TokenRows(ids, offsets_of(np.where(is_right, np.minimum(n_tokens, at_most), 0))), is_right

    def _rows_of(self, words: list[str], is_rest: BoolArray) -> IntArray:
        """The row of each word in `_tokens`, negative where there is none; 0 for what is not read."""
        rows = self._looked_up(words)
        rows[is_rest] = 0
        unknown = dict.fromkeys(words[place] for place in np.flatnonzero(rows == _UNKNOWN).tolist())
        short = [word for word in unknown if len(word) <= LONGEST_WORD]
        # Where most words come once, there is little to gain: only those that come again are learned.
        if len(short) * NEW_WORD_COST[self._is_checked] > len(words):
            if len(self._seen) + len(short) > MAX_WORDS:
                self._seen.clear()
            again = [word for word in short if word in self._seen]
            self._seen.update(short)
            short = again
        if short:
            self._learn(short)
            rows = self._looked_up(words)
            rows[is_rest] = 0
        return rows

    def _looked_up(self, words: list[str]) -> IntArray:
        return np.fromiter(map(self._rows.get, words, repeat(_UNKNOWN)), np.int64, len(words))

    def _learn(self, words: list[str]) -> None:
        if len(self._rows) + len(words) > MAX_WORDS:
            self._forget()
        row = len(self._tokens)
        new: Ids = []
        for word, ids in zip(words, self._ids_of(words), strict=True):
            if ids is None:
                self._rows[word] = _DEPENDENT
            else:
                self._rows[word] = row + len(new)
                new.append(ids)
        self._tokens = TokenRows.concatenated([self._tokens, TokenRows.of(new)])

    def _ids_of(self, words: list[str]) -> Sequence[list[int] | None]:
        """None for a word whose tokens depend on what stands beside it."""
        if not self._is_checked:
            return self._tokenize(words)
        ids_of: list[list[int] | None] = []
        for ids in self._tokenize([f"{word} {_NEIGHBOUR} {word}" for word in words]):
            n_tokens = (len(ids) - len(self._neighbour)) // 2
            own = ids[:n_tokens]
            ids_of.append(own if [*own, *self._neighbour, *own] == ids else None)
        return ids_of


def splits_at_spaces(backend: Any) -> Literal["always", "mostly", "unknown"]:
    """Whether a tokenizer of the library `tokenizers` reads the words between spaces one by one, by its parts.

    "mostly": all but unusual words, which a check finds (`is_checked`). "unknown": also for tokenizers that do not,
    such as byte-level ones, which read a space as part of the next word.
    """
    added = backend.get_added_tokens_decoder().values()
    draws_at_random = bool(getattr(backend.model, "dropout", None))
    if draws_at_random or any(letter.isspace() for token in added for letter in token.content):
        return "unknown"
    grades = {_split_grade(_settings(backend.pre_tokenizer)), *_character_grades(_settings(backend.normalizer))}
    if any(token.lstrip or token.rstrip for token in added):
        grades.add("mostly")
    return "unknown" if "unknown" in grades else "mostly" if "mostly" in grades else "always"


def _settings(part: Any) -> dict[str, Any]:
    settings: dict[str, Any] = {} if part is None else json.loads(part.__getstate__())
    return settings


def _split_grade(settings: dict[str, Any]) -> str:
    kind = settings.get("type")
    if kind == "Sequence" and settings["pretokenizers"]:
        first = _split_grade(settings["pretokenizers"][0])
        return first if len(settings["pretokenizers"]) == 1 or first == "unknown" else "mostly"
    if kind == "Metaspace" and settings["prepend_scheme"] == "always" and settings["split"]:
        return "mostly"
    return "always" if kind in _SPLIT_AT_SPACES else "unknown"


def _character_grades(settings: dict[str, Any]) -> set[str]:
    kind = settings.get("type")
    if kind == "Sequence":
        return set().union(*(_character_grades(part) for part in settings["normalizers"]))
    runs_of_spaces = {"type": "Replace", "pattern": {"Regex": " {2,}"}, "content": " "}  # as XLM-R has it
    if kind in _NEARLY or settings == runs_of_spaces:
        return {"mostly"}
    return {"always" if not settings or kind in _BY_CHARACTER else "unknown"}
