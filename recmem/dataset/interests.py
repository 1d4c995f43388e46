"""The interests that users declare, as vectors of the text encoder."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import polars as pl

from feature_store.arrays import Float32Array, IntArray
from recmem.dataset.item_words import is_unspaced
from recmem.text.item_text import item_text

Encode = Callable[[Sequence[str]], Float32Array]
"""Unit vectors of texts: float32[text, dim]."""


@dataclass(frozen=True, eq=False)
class InterestVectors:
    """Unit vectors by text."""

    rows: Mapping[str, int] = field(default_factory=dict)
    """The row of each text in `vectors`."""
    vectors: Float32Array = field(default_factory=lambda: np.empty((0, 0), np.float32), repr=False)
    """float32[text, dim]"""

    @cached_property
    def texts(self) -> list[str]:
        """The text of each row of `vectors`."""
        return list(self.rows)

    def with_texts(self, texts: Iterable[str], encode: Encode) -> InterestVectors:
        """These vectors and those of the other texts, each of which is encoded once."""
        new = [text for text in dict.fromkeys(texts) if text and text not in self.rows]
        if not new:
            return self
        added = encode(new)
        vectors = np.concatenate([self.vectors, added]) if self.rows else added
        return InterestVectors(
            {**self.rows, **dict(zip(new, range(len(self.rows), len(vectors)), strict=True))}, vectors
        )

    def rows_of(self, texts: Iterable[str]) -> IntArray:
        """The row of each text, -1 for an empty one: int64[text]."""
        return np.array([self.rows[text] if text else -1 for text in texts], np.int64)


MOST_INTERESTS = 20
"""Interests of one cell that are told apart, the first ones."""
_LIST_ITEM_WORDS = 3
"""A line with commas is a list if none of its parts has more words."""
_WORD_CHARS = 3
"""Letters that count as a word in scripts without spaces between words."""
_SEPARATORS = re.compile(r"[,;\u3001\uff0c\uff1b\uff64\u060c\u061b]")
"""Commas and semicolons: of Latin, full-width, Chinese and Japanese lists (also half-width), and Arabic."""
_EARLIER_SEPARATORS = re.compile("[,;]")


def interest_texts(column: pl.Series) -> list[str]:
    """What is encoded of each cell of a column of interests: its words as an item's title has them, "" for none."""
    return item_text(column.alias("title").to_frame(), ("title",)).to_list()


def interest_parts(column: pl.Series) -> list[list[str]]:
    """The single interests in each cell, written as by `interest_texts`, at most `MOST_INTERESTS` of each.

    Each line is one, and so is each entry of a list of a few words each: "jazz, opera; old films".
    """
    parts = [_parts(cell) for cell in column.fill_null("").to_list()]
    flat = interest_texts(pl.Series("interests", [part for cell in parts for part in cell], dtype=pl.String))
    written = iter(flat)
    cleaned = [[next(written) for _ in cell] for cell in parts]
    return [list(dict.fromkeys(part for part in cell if part))[:MOST_INTERESTS] for cell in cleaned]


def interest_entries(column: pl.Series) -> list[str]:
    """What each line and each entry between commas would be encoded as, whether or not the line is a list.

    Also as earlier versions told entries apart, which knew the commas and semicolons of Latin scripts only.
    """
    lines = [line for cell in column.fill_null("").to_list() for line in cell.splitlines()]
    entries = [entry for line in lines for by in (_SEPARATORS, _EARLIER_SEPARATORS) for entry in by.split(line)]
    return interest_texts(pl.Series("interests", [*lines, *entries], dtype=pl.String))


def _parts(cell: str) -> list[str]:
    parts: list[str] = []
    for line in cell.splitlines():
        entries = _SEPARATORS.split(line)
        is_list = all(_n_words(entry) <= _LIST_ITEM_WORDS for entry in entries)
        parts += entries if is_list else [line]
    return parts


def _n_words(entry: str) -> int:
    """How long an entry is: its words and, where no spaces tell them apart, as many as its letters may be."""
    n_words = 0
    for piece in entry.split():
        # Vowel signs and tones, as in Thai, stand on letters and are none.
        n_unspaced = sum(is_unspaced(each) and unicodedata.category(each)[0] != "M" for each in piece)
        n_words += max(1, -(-n_unspaced // _WORD_CHARS))
    return n_words
