"""Features relative to their query, compiled by numba: all features of a query while its rows are in the cache.

Sums run over the rows of a query in their order, as numpy's do, so that the numbers are the same to the bit. The sums
of several features run side by side, so that none waits for its own last addition.

numba's functions are left out of type checks: arrays have no dtype and shape there.
"""

from __future__ import annotations

from typing import no_type_check

import numpy as np
from jaxtyping import Float32

from feature_store.arrays import IntArray
from feature_store.numba_cache import compiled


def z_scores_numba(
    features: Float32[np.ndarray, "feature pair"], offsets: IntArray, smallest_spread: float
) -> Float32[np.ndarray, "feature pair"]:
    """See `recmem.ranking.normalise.z_scores`; `features` are contiguous."""
    scores = np.empty_like(features)
    _score(features, offsets, smallest_spread, scores)
    return scores


@compiled(nogil=True, error_model="numpy")
@no_type_check
def _score(features, offsets, smallest_spread, scores):
    """scores[feature, pair] = (value - mean) / spread over the query's known values, in float64; NaN stays NaN."""
    n_features = len(features)
    # [feature]: of one query.
    mean = np.empty(n_features)
    spread = np.empty(n_features)
    n_known = np.empty(n_features)
    for query in range(len(offsets) - 1):
        begin = offsets[query]
        end = offsets[query + 1]

        # mean = sum of the known values / their number; 0 where none is known.
        mean[:] = 0
        n_known[:] = 0
        for pair in range(begin, end):
            for feature in range(n_features):
                value = features[feature, pair]
                if np.isfinite(value):
                    mean[feature] += np.float64(value)
                    n_known[feature] += 1
        for feature in range(n_features):
            n_known[feature] = max(n_known[feature], 1)
            mean[feature] /= n_known[feature]

        # spread = sqrt(mean of (value - mean)^2); infinite where values are all alike, so that scores are 0.
        spread[:] = 0
        for pair in range(begin, end):
            for feature in range(n_features):
                value = features[feature, pair]
                if np.isfinite(value):
                    centred = np.float64(value) - mean[feature]
                    spread[feature] += centred * centred
        for feature in range(n_features):
            deviation = np.sqrt(spread[feature] / n_known[feature])
            spread[feature] = np.inf if deviation < smallest_spread else deviation

        for pair in range(begin, end):
            for feature in range(n_features):
                value = features[feature, pair]
                if np.isfinite(value):
                    scores[feature, pair] = (np.float64(value) - mean[feature]) / spread[feature]
                else:
                    scores[feature, pair] = np.nan
