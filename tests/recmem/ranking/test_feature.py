"""One feature: its column's shape and type, and what is refused."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from feature_store.ragged import Ragged
from five_item_dataset import dataset_of, matcher
from recmem.dataset.query_batch import QueryBatch
from recmem.ranking.feature import Feature, Group, column_of
from recmem.ranking.feature_computation import FeatureContext
from slow_reference import Event


@pytest.mark.parametrize(
    ("per_query", "column", "got"),
    [
        (False, np.zeros(3, np.float32), r"expected float32\[4\], one value per pair, got float32\[3\]"),
        (False, np.zeros(4), r"expected float32\[4\], one value per pair, got float64\[4\]"),
        (True, np.zeros(4, np.float32), r"expected float32\[2\], one value per query, got float32\[4\]"),
        (False, [0.0] * 4, r"expected float32\[4\], one value per pair, got list"),
        (False, {"other": np.zeros(4, np.float32)}, r"expected a column of this name .*, got other"),
    ],
)
def test_a_column_of_another_shape_or_type_is_refused_and_names_the_feature(
    per_query: bool, column: object, got: str
) -> None:
    dataset = dataset_of([Event(0, 1, 1), Event(1, 2, 2)])
    queries = QueryBatch.of(dataset, np.array([0, 1]), np.array([5, 5]))
    context = FeatureContext(dataset, matcher(), queries, Ragged.from_lists([[0, 1], [2, 3]]))
    compute: Any = lambda context: column  # noqa: E731
    feature = Feature("mine", Group.USER, "x", compute, per_query=per_query, raw=True)
    with pytest.raises(ValueError, match=f"mine: {got}"):
        column_of(feature, context)


def test_a_feature_of_the_query_has_to_be_raw() -> None:
    with pytest.raises(ValueError, match="mine: expected raw=True with per_query=True"):
        Feature("mine", Group.USER, "x", lambda context: np.zeros(1, np.float32), per_query=True)
