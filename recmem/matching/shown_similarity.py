"""How like the other candidates of its query an item's text is: the mean cosine, untrained.

Encoders give all texts something in common, and similarities to a memory are high for texts that have much of it,
whoever reads them. A ranker subtracts it.
"""

from __future__ import annotations

import numpy as np

from feature_store.arrays import Float32Array
from feature_store.ragged import Ragged
from recmem.matching.matcher import Matcher


def shown_pair_similarities(matcher: Matcher, candidates: Ragged) -> Float32Array:
    """The mean cosine of each candidate with all candidates of its query, itself too: one per value of `candidates`."""
    scores = np.zeros(len(candidates.values), np.float32)
    table, rows = matcher.unit_on_host(candidates.values)
    for query in np.flatnonzero(candidates.lengths > 0):
        pairs = slice(*candidates.offsets[query : query + 2])
        # Vectors are rounded (`recmem.text.unit_vectors`): in float64 the sums are exact, and the same in any order.
        unit = table[rows[pairs]].double()
        scores[pairs] = (unit @ unit.sum(0) / len(unit)).float().numpy()
    return scores
