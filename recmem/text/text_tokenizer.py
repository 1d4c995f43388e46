"""Texts to arrays of token ids, with a tokenizer of transformers."""

from __future__ import annotations

import copy
import os
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from threading import Lock
from typing import Any

import numpy as np

from recmem.pipelining import bound_cores
from recmem.text.token_rows import TokenRows, offsets_of, ragged_places
from recmem.text.word_tokens import WordTokens, splits_at_spaces

LONGEST_TEXT = 100_000
"""Characters of a text that reach the tokenizer, which takes 2 us and 200 bytes for each, far beyond `max_tokens`."""

MANY_THREADS = 8
"""With this many threads or more, the library tokenizes whole texts while Python looks up the words of others. With
fewer, looking up alone is faster, and leaves the other cores to the rest of the process."""
_SLICE_TEXTS = 512
_SLICE_CHARS = 1 << 22
"""Texts that are tokenized at once, fewer if together they have this many characters."""
_PROBES = [
    "",
    "a",
    "Two  words, and\tÉtudes (1.5%) — 墨盒 🦊 don't\n",
    " [MASK]<mask> </s> x\u00a0y ",
    "recommender systems " * 50,
]
"""Texts by which a faster way of asking a tokenizer is accepted: it has to give the tokens that transformers gives."""


class TextTokenizer:
    """The tokens of texts, special tokens included. Safe to use from several threads.

    Where the tokenizer reads the words between spaces one by one, each distinct word is tokenized once (`WordTokens`).
    Other tokenizers, and texts with words that are new, are read whole.
    """

    def __init__(self, tokenizer: Any, *, max_tokens: int, n_threads: int = 1) -> None:
        """`tokenizer` is one of transformers; texts are cut to `max_tokens`. `n_threads`: see `library_threads`."""
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
        # Special tokens at the beginning and at the end of every text, where words are looked up.
        self._first: list[int] = []
        self._last: list[int] = []
        words = self._word_tokens()
        # Words are learned when they come again, and are looked up after that.
        if words is not None and any(self._by_words(_PROBES, words).to_lists() != expected for _ in range(3)):
            words = None
        self._words = words
        # For whole texts while words are looked up. A copy, because learning a word changes a tokenizer's settings.
        has_second = words is not None and n_threads >= MANY_THREADS
        self._second_backend = copy.deepcopy(self._backend) if has_second else None

    def tokens_of(self, texts: Sequence[str], *, prefix: str = "") -> TokenRows:
        """A row of at least one and at most `max_tokens` ids for each text with `prefix` before it.

        Only the first `LONGEST_TEXT` characters of a text are read. What is not valid Unicode is read as "?".
        """
        slices = _slices(texts, prefix)
        words = self._words
        if words is None:
            parts = self._each(self._whole, slices)
        elif self._second_backend is None or len(texts) <= _SLICE_TEXTS:
            parts = self._each(lambda some: self._by_words(some, words), slices)
        else:
            parts = self._side_by_side(list(slices), words)
        return TokenRows.concatenated(parts).without_empty(self._pad_id)

    def _each(self, tokenize: Callable[[list[str]], TokenRows], slices: Iterator[list[str]]) -> list[TokenRows]:
        parts = []
        for some in slices:
            with self._lock:
                parts.append(tokenize(some))
        return parts

    def _side_by_side(self, slices: list[list[str]], words: WordTokens) -> list[TokenRows]:
        """The tokens of each slice: this thread looks words up, and another one has the library tokenize whole texts.

        This thread takes slices from the beginning, the other one from the end, until they meet.
        """
        waiting = deque(enumerate(slices))
        found: dict[int, TokenRows] = {}

        def from_the_end() -> None:
            while waiting:
                try:
                    place, some = waiting.pop()
                except IndexError:  # the other one was quicker
                    return
                found[place] = self._whole(some, self._second_backend)

        with self._lock, ThreadPoolExecutor(1) as thread:
            library = thread.submit(from_the_end)
            try:
                while waiting:
                    try:
                        place, some = waiting.popleft()
                    except IndexError:
                        break
                    found[place] = self._by_words(some, words)
            finally:
                waiting.clear()
            library.result()
        return [found[place] for place in range(len(slices))]

    def _by_words(self, texts: list[str], words: WordTokens) -> TokenRows:
        """The tokens of texts put together from those of their words; texts for which that may be wrong, whole."""
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

    def _whole(self, texts: list[str], backend: Any = None) -> TokenRows:
        """The tokens of texts as the tokenizer gives them; `backend`: another of the library's than this one's."""
        backend = backend or self._backend
        if backend is not None:
            _set_up(backend, self._truncation)
            return TokenRows.of([encoding.ids for encoding in backend.encode_batch_fast(texts)])
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
        _set_up(self._backend, None)
        return [encoding.ids for encoding in self._backend.encode_batch_fast(texts, add_special_tokens=False)]


def library_threads() -> int:
    """Threads with which the library `tokenizers` reads a batch of texts, as its environment variables have it."""
    if os.environ.get("TOKENIZERS_PARALLELISM", "").lower() in ("off", "false", "f", "no", "n", "0"):
        return 1
    wanted = os.environ.get("RAYON_NUM_THREADS", "")
    return int(wanted) if wanted.isdecimal() and int(wanted) else bound_cores()


def _set_up(backend: Any, truncation: dict[str, Any] | None) -> None:
    """Turns padding off, and sets this truncation or none. Looks first, because setting them takes longer."""
    if backend.padding is not None:
        backend.no_padding()
    if backend.truncation == truncation:
        return
    if truncation is None:
        backend.no_truncation()
    else:
        backend.enable_truncation(**truncation)


def _backend_of(tokenizer: Any) -> Any:
    """The tokenizer of the library `tokenizers` that one of transformers asks; None if it is written in Python."""
    backend = getattr(tokenizer, "backend_tokenizer", None)
    return backend if hasattr(backend, "encode_batch_fast") else None


def _slices(texts: Sequence[str], prefix: str) -> Iterator[list[str]]:
    """The readable parts of the texts in slices of at most `_SLICE_TEXTS` texts and about `_SLICE_CHARS` characters."""
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
