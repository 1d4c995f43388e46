"""Queries of more pairs than LightGBM takes, cut for the fit of the trees.

LightGBM refuses a query of more than 10,000 rows. Only the fit of the trees is cut: features, z-scores, the blend and
every evaluation are those of the whole query.
"""

from __future__ import annotations

import numpy as np

from feature_store.arrays import BoolArray, Int8Array, IntArray

LONGEST_QUERY = 10_000
"""Pairs of a query that LightGBM takes, at most."""
FEWEST_NEGATIVES = 100
"""Of a query with more positives than LightGBM takes, some make way for this many negatives (or all, if it has fewer):
without a negative there would be nothing to learn from the query."""


def pairs_to_fit(labels: Int8Array, lengths: IntArray, seed: int) -> BoolArray:
    """bool[pair]: which pairs the trees are fitted on; all of them unless a query is longer than `LONGEST_QUERY`.

    `lengths` are the pairs of each query. A longer query keeps its positives and a random sample of its negatives.
    """
    kept = np.ones(len(labels), bool)
    generator = np.random.default_rng(seed)
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    for query in np.flatnonzero(lengths > LONGEST_QUERY):
        begin = offsets[query]
        of_query = labels[begin : offsets[query + 1]] > 0
        kept[begin : offsets[query + 1]] = _sample(of_query, generator)
    return kept


def _sample(is_positive: BoolArray, generator: np.random.Generator) -> BoolArray:
    """bool[pair]: `LONGEST_QUERY` pairs of one query that has more."""
    positives = np.flatnonzero(is_positive)
    negatives = np.flatnonzero(~is_positive)
    n_positives = min(len(positives), LONGEST_QUERY - min(len(negatives), FEWEST_NEGATIVES))
    kept = np.zeros(len(is_positive), bool)
    kept[generator.choice(positives, n_positives, replace=False)] = True
    kept[generator.choice(negatives, LONGEST_QUERY - n_positives, replace=False)] = True
    return kept
