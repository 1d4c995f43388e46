"""The features of (query, candidate) pairs, computed from the table: the same code in training and in serving."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np

from feature_store.arrays import Float32Array, IntArray
from feature_store.ragged import Ragged
from recmem.ranking.dataset_features import features_of
from recmem.ranking.feature import column_of
from recmem.ranking.feature_computation import FeatureContext


@dataclass(frozen=True, eq=False)
class PairFeatures:
    """Features of query-candidate pairs: float32 each, one entry per value of `candidates`."""

    candidates: Ragged
    """Per query the rows of its candidates."""
    values: dict[str, Float32Array]
    """float32[pair] by the name of the feature."""

    @classmethod
    def concat(cls, parts: list[PairFeatures]) -> PairFeatures:
        """The queries of all parts, one part after the other."""
        names = parts[0].values
        values = {name: np.concatenate([part.values[name] for part in parts]) for name in names}
        return cls(Ragged.concat([part.candidates for part in parts]), values)

    def take(self, rows: IntArray) -> PairFeatures:
        """The given queries, in the given order."""
        index = self.candidates.index_of(rows)
        return PairFeatures(self.candidates.take(rows), {name: column[index] for name, column in self.values.items()})


def compute_features(
    context: FeatureContext, computed: Mapping[str, Float32Array] = MappingProxyType({})
) -> PairFeatures:
    """All features of the pairs: those `computed` already, then the others in the order of the table."""
    values = dict(computed)
    features = features_of(context.dataset.catalogue, context.dataset.config)
    for feature in features:
        if feature.name not in computed:
            values[feature.name] = column_of(feature, context)
    return PairFeatures(context.candidates, values)
