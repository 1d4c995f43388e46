"""How well texts fit the interests that a user has declared: the cosine of the two, untrained."""

from __future__ import annotations

import numpy as np

from feature_store.arrays import Float32Array, IntArray
from feature_store.ragged import Ragged
from recmem.matching.matcher import Matcher


def interest_pair_scores(
    matcher: Matcher, vectors: Float32Array, interests: IntArray, candidates: Ragged
) -> Float32Array:
    """The cosine of each query's interests with its own candidates: float32, one per value of `candidates`.

    `interests`: the row of `vectors` of each query, -1 for none; then the cosines are NaN.
    """
    scores = np.full(len(candidates.values), np.nan, np.float32)
    if not (interests >= 0).any():
        return scores
    table, rows = matcher.unit_on_host(candidates.values)
    for query in np.flatnonzero(interests >= 0):
        pairs = slice(*candidates.offsets[query : query + 2])
        unit = table[rows[pairs]].float().numpy()
        # Exact in float32, as vectors are rounded (`recmem.text.unit_vectors`): the same number in any batch.
        scores[pairs] = unit @ vectors[interests[query]]
    return scores


def interest_scores(matcher: Matcher, vectors: Float32Array, interests: IntArray, candidates: IntArray) -> Float32Array:
    """The cosine of each query's interests with every candidate: float32[query, cand], NaN without interests."""
    scores = np.full((len(interests), len(candidates)), np.nan, np.float32)
    has_interests = interests >= 0
    if has_interests.any():
        table, rows = matcher.unit_on_host(candidates)
        scores[has_interests] = vectors[interests[has_interests]] @ table[rows].float().numpy().T
    return scores
