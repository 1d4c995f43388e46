"""Scores of a frame's pairs, some queries at a time: what is held at once does not grow with the frame."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch

from feature_store.arrays import Float32Array, Float64Array, IntArray
from recmem.dataset.candidate_frame import Candidates
from recmem.matching.calibration import Calibration
from recmem.matching.matcher import MATCH_FEATURES, Matcher
from recmem.ranking.features import PairFeatures, by_pairs, candidate_features
from recmem.ranking.normalise import ranks
from recmem.ranking.ranker import Ranker

Column = Float32Array | Float64Array | IntArray
Columns = dict[str, Column]

MATCH_SCORE = "match_score"
MATCH_OUTPUTS = (MATCH_SCORE, *MATCH_FEATURES)
RANK_OUTPUTS = (*MATCH_OUTPUTS, "score", "rank")
CHUNK_PAIRS = 100_000
"""Pairs whose ranking columns are reckoned together ..."""
CHUNKS_AT_ONCE = 2
"""... in so many threads, at most; measured."""


def match_pairs(matcher: Matcher, candidates: Candidates, calibration: Calibration) -> Columns:
    """`MATCH_OUTPUTS` of each pair of `candidates.items`."""
    return _with_match_score(matcher.pair_features(candidates.queries.histories, candidates.items), calibration)


def rank_pairs(
    matcher: Matcher, ranker: Ranker, candidates: Candidates, calibration: Calibration, *, trees_share: float = 1.0
) -> Columns:
    """`RANK_OUTPUTS` of each pair of `candidates.items`; see `Ranker.scores` for `trees_share`."""

    def score(rows: IntArray) -> Columns:
        return ranked(pairs_of(matcher, candidates, rows), ranker, calibration, trees_share=trees_share)

    chunks = list(by_pairs(candidates.items, CHUNK_PAIRS))
    if len(chunks) == 1:
        return score(chunks[0])
    # Fitted once and before, not by every thread that finds nothing.
    timeline = candidates.dataset.timeline
    for period in np.unique(timeline.periods(candidates.queries.times)):
        timeline.at(int(period))
    # What numpy does with one core goes along with what the kernels and the trees do with all.
    with ThreadPoolExecutor(min(torch.get_num_threads(), CHUNKS_AT_ONCE)) as pool:
        return _joined(list(pool.map(score, chunks)))


def pairs_of(matcher: Matcher, candidates: Candidates, rows: IntArray) -> PairFeatures:
    """Ranking columns of the given queries' pairs; a history that came along stands in for the user's events."""
    pairs = candidate_features(candidates.dataset, matcher, candidates.queries.take(rows), candidates.items.take(rows))
    length = candidates.given_history_lengths[rows][pairs.candidates.row_index]
    is_given = length > 0
    pairs.values["user_events"][is_given] = np.log1p(length[is_given])
    pairs.values["user_gap"][is_given] = 0
    return pairs


def ranked(pairs: PairFeatures, ranker: Ranker, calibration: Calibration, *, trees_share: float = 1.0) -> Columns:
    """`RANK_OUTPUTS` of each pair."""
    columns = _with_match_score({name: pairs.values[name] for name in MATCH_FEATURES}, calibration)
    scores = ranker.scores(pairs, trees_share=trees_share)
    return columns | {"score": scores, "rank": ranks(scores, pairs.candidates.row_index)}


def _with_match_score(columns: dict[str, Float32Array], calibration: Calibration) -> Columns:
    score = calibration.probability(columns["match_raw"])
    return {MATCH_SCORE: score, **{name: columns[name] for name in MATCH_FEATURES}}


def _joined(parts: list[Columns]) -> Columns:
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
