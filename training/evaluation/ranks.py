"""Ranks of positives among the candidates of their query. Pure numpy.

The rows of all queries lie in one flat array, and `offsets` int[n_queries + 1] cuts it: query `q` owns
`[offsets[q], offsets[q + 1])`. Ranks are 1-based; a positive that was not retrieved has the rank `inf`.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from feature_store.arrays import BoolArray, Float64Array, IntArray

PerPositive: TypeAlias = Float64Array
Offsets: TypeAlias = NDArray[np.integer[Any]]

_PAIRS_AT_ONCE = 2_000_000
"""Pairs of a positive and a candidate that are compared in one go: bounds the memory."""


def rank_of_positives(
    scores: ArrayLike, labels: ArrayLike, offsets: Offsets, *, generator: np.random.Generator | None = None
) -> tuple[PerPositive, IntArray]:
    """The ranks of the rows with a positive label, in row order, and the offsets that cut them by query.

    `scores` and `labels` have one entry per candidate, cut by `offsets`. Ties as in `rank_of_rows`.
    """
    is_positive = np.asarray(labels) > 0
    rows = np.flatnonzero(is_positive)
    ranks = rank_of_rows(scores, offsets, rows, generator=generator)
    # Number of positives before each row, and in all: int64[n_candidates + 1].
    positives_before = np.concatenate([[0], np.cumsum(is_positive)]).astype(np.int64)
    return ranks, positives_before[np.asarray(offsets)]


def rank_of_rows(
    scores: ArrayLike,
    offsets: Offsets,
    rows: NDArray[np.integer[Any]],
    *,
    generator: np.random.Generator | None = None,
) -> PerPositive:
    """The rank of each candidate row among the candidates of its query; `inf` for the row -1 (not retrieved).

    Ties never favour a row. With a `generator` they are broken at random, which is fair to every metric. Without one
    each tied candidate gets the mean of the ranks that they share (1.5 for two at the top). That is exact for AUC only:
    a cut-off at k takes a tie that straddles k as wholly in or wholly out.
    Raises ValueError for NaN scores and for offsets that do not cover the scores.
    """
    all_scores = np.asarray(scores)
    cuts = np.asarray(offsets).astype(np.int64)
    _check_scores(all_scores, cuts)
    noise = None if generator is None else generator.random(len(all_scores))
    retrieved = np.flatnonzero(np.asarray(rows) >= 0)
    retrieved_rows = np.asarray(rows, dtype=np.int64)[retrieved]
    queries = np.searchsorted(cuts, retrieved_rows, side="right") - 1
    ranks = np.full(len(rows), np.inf)
    for part in _parts(np.diff(cuts)[queries]):
        ranks[retrieved[part]] = _ranks_of_part(all_scores, cuts, retrieved_rows[part], queries[part], noise)
    return ranks


def _parts(n_candidates: IntArray) -> Iterator[slice]:
    """Cuts positives into slices of about `_PAIRS_AT_ONCE` pairs, at least one positive each.

    `n_candidates` int[positive]: the pairs that each positive takes.
    """
    if not len(n_candidates):
        return
    pairs_before = np.cumsum(n_candidates) - n_candidates
    part = pairs_before // _PAIRS_AT_ONCE
    first_of_part = np.flatnonzero(np.diff(part)) + 1
    for start, stop in pairwise([0, *first_of_part.tolist(), len(part)]):
        yield slice(start, stop)


def _ranks_of_part(
    scores: NDArray[Any],
    offsets: IntArray,
    rows: IntArray,
    queries: IntArray,
    noise: Float64Array | None,
) -> PerPositive:
    """The ranks of the positives at `rows`, each compared with every candidate of its query; float64[positive]."""
    # All pairs (positive, candidate of its query) in one flat array, positive after positive.
    n_candidates = np.diff(offsets)[queries]
    pair_starts = np.cumsum(n_candidates) - n_candidates
    # From a pair's place in this array to the row of its candidate: int64[positive].
    shift = offsets[queries] - pair_starts
    candidate_rows = np.arange(n_candidates.sum()) + np.repeat(shift, n_candidates)
    candidate_scores = scores[candidate_rows]
    positive_scores = np.repeat(scores[rows], n_candidates)

    n_above = _count_by_positive(candidate_scores > positive_scores, pair_starts)
    tied = candidate_scores == positive_scores
    if noise is None:
        # A positive ties with itself too: the mean of the ranks n_above + 1, ..., n_above + n_tied.
        n_tied = _count_by_positive(tied, pair_starts)
        return n_above + (n_tied + 1) / 2
    # Among those that tie, the noise decides which is above. Only ties need it, and they are few.
    tied_pairs = np.flatnonzero(tied)
    candidate_noise = noise[candidate_rows[tied_pairs]]
    positive_noise = np.repeat(noise[rows], n_candidates)[tied_pairs]
    tied_above = np.zeros(len(tied), dtype=bool)
    tied_above[tied_pairs] = candidate_noise > positive_noise
    return n_above + _count_by_positive(tied_above, pair_starts) + 1.0


def _count_by_positive(flags: BoolArray, pair_starts: IntArray) -> PerPositive:
    # No positive has an empty segment, which reduceat would get wrong: each is a candidate of its own query.
    return np.add.reduceat(flags, pair_starts, dtype=np.int64).astype(np.float64)


def _check_scores(scores: NDArray[Any], offsets: IntArray) -> None:
    n_nan = int(np.isnan(scores).sum())
    if n_nan:
        raise ValueError(f"scores: expected numbers, got NaN ({n_nan} rows). Give unscored candidates -inf.")
    covers = offsets[0] == 0 and offsets[-1] == len(scores)
    if not covers or (np.diff(offsets) < 0).any():
        raise ValueError(
            f"offsets: expected rising values from 0 to {len(scores)}, got {offsets[0]} to {offsets[-1]}. "
            "Pass the offsets of these scores."
        )
