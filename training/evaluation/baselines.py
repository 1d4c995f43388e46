"""What a team has without recmem: popularity, recent popularity, co-visitation, and untrained text similarity."""

from __future__ import annotations

import numpy as np

from feature_store import EventLog
from feature_store.arrays import Float32Array, Int8Array
from feature_store.ragged import Ragged
from recmem.matching.text_similarity import SIMILARITIES

LEARNED_FEATURES = ("match_raw", "match_prior")
"""Features of the trained match, which `ranker_with_text_similarity` does without."""
RECENT_SHARE = 0.1
"""`recent_popularity` counts the last tenth of the events before the test."""
BASELINES = {
    "popularity": "popularity_before_test",
    "recent_popularity": "recent_popularity_before_test",
    "covisitation": "together",
    "match_score": "match_raw",
}
"""Row of the ledger -> feature that ranks it; `text_similarity` is added once its pooling is chosen."""
HAD_BEFORE = "had_before"
"""One more row where items that users have had are ranked too."""

CLICK_THROUGH = "click_through"
"""The row, and the feature that ranks it, which only impressions have: the items' smoothed click-through rates."""


def popularity_features(log: EventLog, test_from: int, items: Ragged) -> dict[str, Float32Array]:
    """Events per item before the test, of all of them and of their last tenth: float32, one per value of `items`."""
    before = log.item_rows[log.times <= test_from]
    recent = before[int(len(before) * (1 - RECENT_SHARE)) :]
    n_items = int(max(log.item_rows.max(initial=0), items.values.max(initial=0))) + 1
    event_items = {"popularity_before_test": before, "recent_popularity_before_test": recent}
    return {
        name: np.bincount(rows, minlength=n_items)[items.values].astype(np.float32)
        for name, rows in event_items.items()
    }


def best_pooling(values: dict[str, Float32Array], labels: Int8Array, items: Ragged) -> str:
    """The similarity feature that ranks the positives of these queries best, by their mean reciprocal rank."""
    return max(SIMILARITIES, key=lambda name: _mean_reciprocal_rank(values[name], labels, items))


def _mean_reciprocal_rank(scores: Float32Array, labels: Int8Array, items: Ragged) -> float:
    # By query, and within a query by falling score; ties stay in the order of the candidates.
    order = np.lexsort((-scores, items.row_index))
    rank = np.arange(len(order)) - items.offsets[items.row_index] + 1
    return float((labels[order] / rank).sum() / max(labels.sum(), 1))
