"""Candidates of a model that reads vectors of items in place of texts: which of them have one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl

from feature_store import DataError
from feature_store.arrays import BoolArray, IntArray
from feature_store.data_errors import ColumnProblem, describe
from recmem.dataset.candidate_checks import TABLE
from recmem.dataset.catalogue import Catalogue
from recmem.text.item_vectors import ItemVectors


@dataclass(frozen=True, eq=False)
class CandidateVectors:
    """The vectors of a model's items, and which items of its catalogue have one."""

    vectors: ItemVectors
    has_vector: BoolArray
    """bool[item] of the catalogue"""

    @classmethod
    def of(cls, vectors: ItemVectors, catalogue: Catalogue) -> CandidateVectors:
        """The vectors over a catalogue."""
        return cls(vectors, vectors.knows(catalogue.ids))

    def refuse_texts(self, frame: pl.DataFrame, ids: pl.Series, texts: pl.Series, names: Sequence[str]) -> None:
        """Raises DataError if rows of items that the store lacks bring a text, but have no vector.

        `texts` and `ids` are those of the rows of `frame`, whose text columns are `names`.
        """
        is_refused = pl.Series((texts != "").to_numpy() & ~self.vectors.knows(ids))
        if not is_refused.any():
            return
        given = [name for name in names if name in frame.columns and frame[name].filter(is_refused).count()]
        problem = ColumnProblem(
            ", ".join(given),
            f"no texts of items that the store lacks, since this model reads vectors of {self.vectors.name!r} and no "
            "texts",
            f"a text of {frame['item_id'].filter(is_refused)[0]!r}, which has no vector,",
            "Add the items' vectors (`recmem ingest --vectors`, `recmem score --vectors`, model.add_vectors), or drop "
            "the column.",
            is_refused,
        )
        raise DataError(describe([problem], table=TABLE))

    def without_vector(self, item_rows: IntArray, new_ids: pl.Series) -> tuple[int, int]:
        """Rows of items that the store lacks and that have a vector, and rows of items without one.

        `item_rows` counts on behind the catalogue: its items are followed by those of `new_ids`.
        """
        has_vector = np.concatenate([self.has_vector, self.vectors.knows(new_ids)])[item_rows]
        is_new = item_rows >= len(self.has_vector)
        return int((is_new & has_vector).sum()), int((~has_vector).sum())
