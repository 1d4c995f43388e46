"""Candidates of a model that reads vectors: which have one is counted, and texts in their place are refused."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from feature_store import DataError
from feature_store.vector_checks import check_vectors
from recmem.dataset.candidate_vectors import CandidateVectors
from recmem.dataset.catalogue import Catalogue
from recmem.text.item_vectors import ItemVectors

CATALOGUE = Catalogue.of(pl.DataFrame({"item_id": ["a", "b", "c"], "title": ["A", "B", "C"]}), ("title",))
TABLE = pl.DataFrame({"item_id": ["a", "c", "new"], "vector": [[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]]})
VECTORS = CandidateVectors.of(ItemVectors.of("clip", check_vectors(TABLE)), CATALOGUE)


def test_rows_are_counted_by_what_is_known_of_their_item() -> None:
    assert VECTORS.has_vector.tolist() == [True, False, True]
    new_ids = pl.Series(["new", "newer"])
    # a, b, b, c of the catalogue, then twice the new item with a vector and once the one without.
    rows = np.array([0, 1, 1, 2, 3, 3, 4])
    assert VECTORS.without_vector(rows, new_ids) == (2, 3)
    assert VECTORS.without_vector(np.array([0, 2]), new_ids.clear()) == (0, 0)


def test_a_text_is_refused_only_where_the_item_has_no_vector() -> None:
    frame = pl.DataFrame({"item_id": ["new", "newer", "newest"], "title": ["N", None, "T"], "brand": ["x", None, None]})
    texts = pl.Series(["N", "", "T"])
    with pytest.raises(DataError, match=r"candidates.title: .* got a text of 'newest', .* \(1 row, e.g. row 2"):
        VECTORS.refuse_texts(frame, frame["item_id"], texts, ("title", "brand"))
    known = frame.head(2)
    VECTORS.refuse_texts(known, known["item_id"], texts.head(2), ("title", "brand"))
