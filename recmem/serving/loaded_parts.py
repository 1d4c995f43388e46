"""What one call of a model works with, read once when it begins: what is observed meanwhile does not change it."""

from __future__ import annotations

from dataclasses import dataclass

import polars as pl

from feature_store import DataError
from feature_store.cell_parsing import parse_id
from recmem.dataset.candidate_frame import Candidates
from recmem.dataset.candidate_vectors import CandidateVectors
from recmem.dataset.dataset import Dataset
from recmem.dataset.shared_memories import RedisMemories
from recmem.matching.matcher import Matcher
from recmem.serving.bundle import Bundle
from recmem.serving.embedding import Embedding, EncodedByParent, new_item_units


@dataclass(frozen=True, eq=False)
class LoadedParts:
    """The bundle, the tables as observed so far, and the match module over the catalogue."""

    bundle: Bundle
    dataset: Dataset
    matcher: Matcher
    """Over the catalogue's texts, or the vectors of its items."""
    embedding: Embedding | EncodedByParent
    vectors: CandidateVectors | None
    """Of a model that reads vectors in place of texts."""
    memories: RedisMemories | None

    def matcher_with(self, read: Candidates) -> Matcher:
        """The matcher over the catalogue's texts, followed by the texts that came with the candidates."""
        return self.matcher.with_texts(new_item_units(self.embedding, read)) if read.texts else self.matcher

    def item_row(self, item_id: object) -> int:
        """The item's row in the catalogue. Raises DataError if the store lacks it."""
        catalogue = self.dataset.catalogue
        stored_id = parse_id(item_id, catalogue.ids.dtype)
        row = int(catalogue.rows(pl.Series("item_id", [stored_id], dtype=catalogue.ids.dtype))[0])
        if row < 0:
            raise DataError(f"item_id: expected an item of the store, got {item_id!r}. Append it to the store first.")
        return row
