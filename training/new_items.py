"""Items treated as new while the ranker is fitted, so that it learns to trust texts where counters are silent.

A log's own new items are few and mostly negatives; without more of them the trees learn that a counter of zero means
"never". Only training does this.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from feature_store.counters import CounterConfig, new_item_counters
from feature_store.covisitation import COLUMNS as COVISITATION_COLUMNS
from recmem.columns import PairColumns
from training.ranker import RankingData


def with_new_items(
    data: RankingData, share: float, counters: CounterConfig, generator: np.random.Generator
) -> RankingData:
    """The same pairs, a random `share` of them with the counters and item-item columns of a new item."""
    as_new = generator.random(len(data.labels)) < share
    blank = dict.fromkeys(COVISITATION_COLUMNS, 0.0) | new_item_counters(counters)
    values = dict(data.pairs.values)
    for name, value in blank.items():
        values[name] = np.where(as_new, np.float32(value), values[name])
    return replace(data, pairs=PairColumns(data.pairs.candidates, values))
