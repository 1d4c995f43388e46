"""Texts to arrays of token ids, with a tokenizer of transformers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from threading import Lock
from typing import Any

import numpy as np

from recmem.text.token_rows import TokenRows, offsets_of, ragged_places
from recmem.text.word_tokens import WordTokens, splits_at_spaces

LONGEST_TEXT = 100_000
"""Characters of a text that reach the tokenizer, which takes 2 us and 200 bytes for each, far beyond `max_tokens`."""

_SLICE_TEXTS = 1024
_SLICE_CHARS = 1 << 22
"""Texts that are tokenized at once, and after how many characters a slice of them ends."""
_PROBES = [
    "",
    "a",
    "Two  words, and\tÉtudes (1.5%) — 墨盒 🦊 don't\n",
    " [MASK]<mask> </s> x\u00a0y ",
    "recommender systems " * 50,
]
"""Texts that every way of asking a tokenizer must give the same tokens."""


class TextTokenizer:
    """The tokens of texts, special tokens included. Safe to use from several threads.

    Where the tokenizer reads the words between spaces one by one, each distinct word is tokenized once (`WordTokens`).
    Other tokenizers, and texts with words that are new, are read whole.
    """

    def __init__(self, tokenizer: Any, *, max_tokens: int) -> None:
        """`tokenizer` is one of transformers; texts are cut to `max_tokens`."""
        self._tokenizer = tokenizer
        self._max_tokens = max_tokens
        self._pad_id = int(tokenizer.pad_token_id or 0)
        self._truncation = {
            "max_length": max_tokens,
            "stride": 0,
            "strategy": "longest_first",
            "direction": getattr(tokenizer, "truncation_side", "right"),
        }
        self._lock = Lock()  # the library's tokenizer holds settings, and they are changed between its calls
        # The library below transformers is asked where it can be: transformers adds a third to its time.
        self._backend: Any = None
        expected = self._whole(_PROBES).to_lists()
        self._backend = _backend_of(tokenizer)
        if self._backend is not None and self._whole(_PROBES).to_lists() != expected:
            self._backend = None  # a class that prepares texts, or changes tokens
        self._first: list[int] = []
        self._last: list[int] = []
        words = self._word_tokens()
        # Words are learned when they come again, and are looked up after that.
        if words is not None and any(self._by_words(_PROBES, words).to_lists() != expected for _ in range(3)):
            words = None
        self._words = words

    def tokens_of(self, texts: Sequence[str], *, prefix: str = "") -> TokenRows:
        """A row of at least one and at most `max_tokens` ids for each text with `prefix` before it.

        Only the first `LONGEST_TEXT` characters of a text are read. What is not valid Unicode is read as "?".
        """
        parts = []
        for some in _slices(texts, prefix):
            with self._lock:
                parts.append(self._whole(some) if self._words is None else self._by_words(some, self._words))
        return TokenRows.concatenated(parts).without_empty(self._pad_id)

    def _by_words(self, texts: list[str], words: WordTokens) -> TokenRows:
        n_special = len(self._first) + len(self._last)
        rows, is_right = words.tokens_of(texts, at_most=self._max_tokens - n_special)
        rows = _between(self._first, rows, self._last)
        others = np.flatnonzero(~is_right)
        if not len(others):
            return rows
        order = np.arange(len(texts))
        order[others] = len(texts) + np.arange(len(others))
        whole = self._whole([texts[place] for place in others.tolist()])
        return TokenRows.concatenated([rows, whole]).taken(order)

    def _whole(self, texts: list[str]) -> TokenRows:
        if self._backend is not None:
            self._set_up(self._truncation)
            return TokenRows.of([encoding.ids for encoding in self._backend.encode_batch_fast(texts)])
        tokens = self._tokenizer(
            texts,
            truncation=True,
            max_length=self._max_tokens,
            padding=False,
            return_attention_mask=False,
            return_token_type_ids=False,
            verbose=False,
        )
        return TokenRows.of(tokens["input_ids"])

    def _word_tokens(self) -> WordTokens | None:
        """None unless texts are split at spaces, and a text's tokens stand between the same special ones."""
        grade = "unknown" if self._backend is None else splits_at_spaces(self._backend)
        if grade == "unknown" or self._truncation["direction"] != "right":
            return None
        (bare,) = self._bare(["a"])
        (whole,) = self._whole(["a"]).to_lists()
        begins = [place for place in range(len(whole)) if whole[place : place + len(bare)] == bare]
        if not bare or len(begins) != 1 or len(whole) - len(bare) >= self._max_tokens:
            return None
        self._first = whole[: begins[0]]
        self._last = whole[begins[0] + len(bare) :]
        return WordTokens(self._bare, is_checked=grade == "mostly")

    def _bare(self, texts: list[str]) -> list[list[int]]:
        """Ids without special tokens, not truncated."""
        self._set_up(None)
        return [encoding.ids for encoding in self._backend.encode_batch_fast(texts, add_special_tokens=False)]

    def _set_up(self, truncation: dict[str, Any] | None) -> None:
        """Padding off, and this truncation or none: each change takes longer than to look."""
        if self._backend.padding is not None:
            self._backend.no_padding()
        if self._backend.truncation == truncation:
            return
        if truncation is None:
            self._backend.no_truncation()
        else:
            self._backend.enable_truncation(**truncation)


def _backend_of(tokenizer: Any) -> Any:
    """The tokenizer of the library `tokenizers` that one of transformers asks; None if it is written in Python."""
    backend = getattr(tokenizer, "backend_tokenizer", None)
    return backend if hasattr(backend, "encode_batch_fast") else None


def _slices(texts: Sequence[str], prefix: str) -> Iterator[list[str]]:
    """The readable part of the texts, some at a time: a text can have many characters."""
    some: list[str] = []
    n_chars = 0
    for text in texts:
        readable = prefix + text[:LONGEST_TEXT]
        if not readable.isascii():
            readable = readable.encode("utf-8", "replace").decode("utf-8")
        some.append(readable)
        n_chars += len(readable)
        if len(some) == _SLICE_TEXTS or n_chars >= _SLICE_CHARS:
            yield some
            some = []
            n_chars = 0
    if some:
        yield some


def _between(first: list[int], rows: TokenRows, last: list[int]) -> TokenRows:
    """The rows with the same tokens before and behind each."""
    lengths = rows.lengths
    offsets = offsets_of(lengths + len(first) + len(last))
    ids = np.empty(offsets[-1], np.int32)
    for place, token in enumerate(first):
        ids[offsets[:-1] + place] = token
    for place, token in enumerate(reversed(last)):
        ids[offsets[1:] - 1 - place] = token
    ids[ragged_places(offsets[:-1] + len(first), lengths)] = rows.ids
    return TokenRows(ids, offsets)
