"""Items treated as new while the ranker is fitted, so that it learns to trust texts where counters are silent.

A log's own new items are few and mostly negatives; without more of them the trees learn that a counter of zero means
"never". Only training does this.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from feature_store.point_in_time.counters import CounterConfig, new_item_counters
from feature_store.point_in_time.covisitation import FEATURES as COVISITATION_FEATURES
from recmem.ranking.features import PairFeatures
from training.fitting.fit_ranker import RankingData


def with_new_items(
    data: RankingData, rate: float, counters: CounterConfig, generator: np.random.Generator
) -> RankingData:
    """The same pairs, some of them with the counters and item-item columns of an item that nobody has touched.

    The share of these pairs is `rate` times the share of new items among the positives: a log whose users never turn to
    new items gets none.
    """
    new_positives = data.pairs.values["item_age"][data.labels > 0] < 0
    share = min(rate * float(new_positives.mean()), 1.0) if len(new_positives) else 0.0
    as_new = generator.random(len(data.labels)) < share
    blank = dict.fromkeys(COVISITATION_FEATURES, 0.0) | new_item_counters(counters)
    values = dict(data.pairs.values)
    for name, value in blank.items():
        values[name] = np.where(as_new, np.float32(value), values[name])
    return replace(data, pairs=PairFeatures(data.pairs.candidates, values))
