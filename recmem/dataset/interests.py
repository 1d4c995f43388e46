"""The interests that users declare, as vectors of the text encoder."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import polars as pl

from feature_store.arrays import Float32Array, IntArray
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


def interest_texts(column: pl.Series) -> list[str]:
    """What is encoded of each cell of a column of interests: its words as an item's title has them, "" for none."""
    return item_text(column.alias("title").to_frame(), ("title",)).to_list()
