"""The items: their ids in row order, their texts, and the numbers among their attributes."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np
import polars as pl
import scipy.sparse as sp

from feature_store.arrays import Float32Array, IntArray
from feature_store.point_in_time.event_log import rows_of
from recmem.dataset.interests import Encode
from recmem.dataset.item_facts import ItemFacts
from recmem.dataset.item_words import describe_words, item_words
from recmem.dataset.knowledge_config import KnowledgeConfig
from recmem.text.item_text import item_text

PLAIN_PYTHON_BELOW = 1000
"""Ids; fewer are looked up one by one in a dict, more are joined."""
LARGE = 200_000
"""Items; a larger catalogue does without the dict and without `words`: they would cost too much memory and time."""


@dataclass(frozen=True, eq=False)
class Catalogue:
    """Items in the order of their ids; row numbers count from 0."""

    items: pl.DataFrame
    """The items table, sorted by `item_id`, without duplicates."""
    text_columns: tuple[str, ...]
    """Columns that make up an item's text."""
    number_columns: tuple[str, ...]
    """Numeric columns; each becomes the feature `items.<name>`."""
    texts: list[str] = field(repr=False)
    """Text of each item; empty where it has none."""
    facts: ItemFacts = field(default_factory=ItemFacts)
    """Facts of the items; none unless `with_facts` was asked for."""

    @classmethod
    def of(
        cls, items: pl.DataFrame, text_columns: tuple[str, ...], number_columns: tuple[str, ...] | None = None
    ) -> Catalogue:
        """The catalogue of a store's `items` table. Columns that the table lacks count as empty."""
        ordered = items.sort("item_id")
        numbers = numeric_columns(ordered) if number_columns is None else number_columns
        absent = [pl.lit(None, pl.String).alias(name) for name in text_columns if name not in ordered.columns]
        absent += [pl.lit(None, pl.Float64).alias(name) for name in numbers if name not in ordered.columns]
        ordered = ordered.with_columns(absent)
        return cls(ordered, text_columns, numbers, item_text(ordered, text_columns).to_list())

    def with_facts(self, triples: pl.DataFrame, config: KnowledgeConfig | None) -> Catalogue:
        """The catalogue with the facts of its items; `triples` are rows of the facts table. Itself without a config."""
        return self if config is None else replace(self, facts=ItemFacts.of(self.items, triples, config))

    def with_fact_vectors(self, encode: Encode) -> Catalogue:
        """The catalogue with vectors of its facts, for memory slots; `encode` gives unit vectors of texts."""
        words = list(self.facts.words)
        return replace(self, facts=replace(self.facts, vectors=encode(words))) if words else self

    def __len__(self) -> int:
        return len(self.items)

    @property
    def ids(self) -> pl.Series:
        """Item ids, in row order."""
        return self.items["item_id"]

    def rows(self, ids: pl.Series) -> IntArray:
        """Row of each id, -1 where the catalogue lacks it: int64."""
        if len(ids) >= PLAIN_PYTHON_BELOW or len(self) > LARGE:
            return rows_of(ids, self.ids).to_numpy().copy()
        as_stored = ids if ids.dtype == self.ids.dtype else ids.cast(self.ids.dtype, strict=False)
        return np.array([self._row_of_id.get(item_id, -1) for item_id in as_stored.to_list()], np.int64)

    @cached_property
    def _row_of_id(self) -> dict[Any, int]:
        return dict(zip(self.ids.to_list(), range(len(self)), strict=True))

    @cached_property
    def words(self) -> sp.csr_matrix | None:
        """The words of the items' texts, see `item_words`; None for a catalogue of more than `LARGE` items."""
        return item_words(self.texts) if len(self) <= LARGE else None

    def describe_words(self) -> str:
        """A digest of what `words` is made from."""
        return describe_words(self.texts) if len(self) <= LARGE else ""

    def title(self, row: int) -> str:
        """How the item is shown to a person: its id, followed by its title in brackets if it has one."""
        item_id = str(self.ids[row])
        title = self.items["title"][row] if "title" in self.items.columns else None
        return f"{item_id} ({title})" if title else item_id

    def numbers(self) -> dict[str, Float32Array]:
        """The numeric columns as they are now, missing and infinite values as NaN: float32[item]."""
        return {name: _finite(self.items[name]) for name in self.number_columns}


def numeric_columns(items: pl.DataFrame) -> tuple[str, ...]:
    """Columns of numbers other than the id, in order of their names."""
    return tuple(sorted(name for name, dtype in items.schema.items() if dtype.is_numeric() and name != "item_id"))


def _finite(column: pl.Series) -> Float32Array:
    numbers = column.cast(pl.Float32, strict=False).to_numpy().copy()
    numbers[~np.isfinite(numbers)] = np.nan
    return numbers
