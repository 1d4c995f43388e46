"""Items treated as new while the ranker is fitted, so that it learns to rely on texts where the counters are zero.

A log's own new items are few and mostly negatives; without more of them the trees learn that a counter of zero means
"never". Only training does this.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from feature_store.point_in_time.counters import CounterConfig
from recmem.ranking.feature_table import new_item_values
from recmem.ranking.pair_features import PairFeatures
from training.fitting.fit_ranker import RankingData


def with_new_items(
    data: RankingData, rate: float, counters: CounterConfig, generator: np.random.Generator
) -> RankingData:
    """The same pairs, some of them with the features of an item without any event.

    The share of these pairs is `rate` times the share of new items among the positives: none in a log whose users never
    interact with new items.
    """
    # An age below 0 marks items without any event.
    is_new = data.pairs.values["item_age"][data.labels > 0] < 0
    share = min(rate * float(is_new.mean()), 1.0) if len(is_new) else 0.0
    as_new = generator.random(len(data.labels)) < share
    values = dict(data.pairs.values)
    for name, value in new_item_values(counters).items():
        if name in values:
            values[name] = np.where(as_new, np.float32(value), values[name])
    return replace(data, pairs=PairFeatures(data.pairs.candidates, values))
