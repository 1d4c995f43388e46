"""Scores of the pairs of a candidate frame, some queries at a time, so that memory does not grow with the frame."""

from __future__ import annotations

import numpy as np
import torch

from feature_store.arrays import BoolArray, Float32Array, Float64Array, IntArray
from recmem.dataset.candidate_frame import Candidates
from recmem.matching.calibration import Calibration
from recmem.matching.matcher import MATCH_FEATURES, Matcher
from recmem.on_device.rank_pairs import rank_on_device
from recmem.pipelining import side_by_side
from recmem.ranking.feature_computation import FeatureContext
from recmem.ranking.given_features import CHUNK_PAIRS, query_chunks
from recmem.ranking.normalise import ranks
from recmem.ranking.pair_features import PairFeatures, compute_features
from recmem.ranking.ranker import Ranker
from recmem.serving.phrases import Language
from recmem.serving.row_reasons import Texts, row_reasons

Column = Float32Array | Float64Array | IntArray | BoolArray | Texts
Columns = dict[str, Column]

MATCH_SCORE = "match_score"
MATCH_OUTPUTS = (MATCH_SCORE, *MATCH_FEATURES)
RANK_OUTPUTS = (*MATCH_OUTPUTS, "score", "rank")
DEVICE_FROM_PAIRS = 5_000
"""Pairs from which a GPU ranks sooner than the CPU: its some 500 launches take the same time for few pairs. An
estimate."""
DEVICE_CHUNK_PAIRS = 500_000
"""Pairs that are ranked at once where that is done on a GPU, which small chunks leave idle; an estimate."""
CHUNKS_AT_ONCE = 2
"""Chunks of `CHUNK_PAIRS` that are ranked at the same time, each in a thread of its own. More were no faster."""


def match_pairs(
    matcher: Matcher,
    candidates: Candidates,
    calibration: Calibration,
    *,
    n_reasons: int = 0,
    language: Language = "en",
) -> Columns:
    """`MATCH_OUTPUTS` of each pair of `candidates.items`, and its reasons, see `row_reasons`."""
    queries = candidates.queries
    columns = _with_match_score(matcher.pair_features(queries.histories, candidates.items), calibration)
    if not n_reasons:
        return columns
    return columns | row_reasons(
        matcher,
        candidates.dataset.catalogue,
        queries,
        candidates.items,
        columns["match_raw"],
        n_reasons,
        language=language,
    )


def rank_pairs(
    matcher: Matcher,
    ranker: Ranker,
    candidates: Candidates,
    calibration: Calibration,
    *,
    trees_share: float = 1.0,
    n_reasons: int = 0,
    language: Language = "en",
) -> Columns:
    """`RANK_OUTPUTS` of each pair of `candidates.items`, and its reasons; see `Ranker.scores` for `trees_share`.

    With `n_reasons`, `trees_share` has to be 1: a score that the trees did not compute has no parts that add up to it.
    """

    def rank_chunk_on_cpu(rows: IntArray) -> Columns:
        pairs = pairs_of(matcher, candidates, rows)
        columns = ranked(pairs, ranker, calibration, trees_share=trees_share)
        if not n_reasons:
            return columns
        return columns | row_reasons(
            matcher,
            candidates.dataset.catalogue,
            candidates.queries.take(rows),
            candidates.items.take(rows),
            columns["match_raw"],
            n_reasons,
            # LightGBM explains no fewer than one row.
            score_parts=ranker.contributions(pairs) if len(columns["score"]) else (0.0, {}),
            scores=columns["score"],
            language=language,
        )

    def rank_chunk_on_device(rows: IntArray) -> Columns:
        return {
            **rank_on_device(
                _context_of(matcher, candidates, rows),
                ranker,
                calibration,
                given_history_lengths=candidates.given_history_lengths[rows],
                trees_share=trees_share,
            )
        }

    # Reasons come from LightGBM, which explains on the CPU.
    on_device = ranks_on_device(matcher, len(candidates.items.values)) and not n_reasons
    rank = rank_chunk_on_device if on_device else rank_chunk_on_cpu
    chunks = list(query_chunks(candidates.items, DEVICE_CHUNK_PAIRS if on_device else CHUNK_PAIRS))
    if len(chunks) == 1:
        return rank(chunks[0])
    # Fitted here, so that no thread has to wait while another one fits what both need.
    timeline = candidates.dataset.timeline
    for period in timeline.periods_of(candidates.queries.times):
        timeline.at(period)
    # While numpy works on one chunk with a single core, kernels and trees use the others for the next chunk.
    parts = list(side_by_side(rank, chunks, min(torch.get_num_threads(), CHUNKS_AT_ONCE)))
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def pairs_of(matcher: Matcher, candidates: Candidates, rows: IntArray) -> PairFeatures:
    """Features of the given queries' pairs, computed at once. A given history counts as the user's events."""
    pairs = compute_features(_context_of(matcher, candidates, rows))
    length = candidates.given_history_lengths[rows][pairs.candidates.row_index]
    is_given = length > 0
    pairs.values["user_events"][is_given] = np.log1p(length[is_given])
    pairs.values["user_gap"][is_given] = 0
    return pairs


def ranks_on_device(matcher: Matcher, n_pairs: int) -> bool:
    """Whether so many pairs are ranked on the matcher's device, rather than on the CPU: it is a GPU, and they pay."""
    return matcher.device.type == "cuda" and n_pairs >= DEVICE_FROM_PAIRS


def _context_of(matcher: Matcher, candidates: Candidates, rows: IntArray) -> FeatureContext:
    """The given queries' pairs."""
    if len(rows) == len(candidates.queries):  # all of them, in their order
        queries = candidates.queries
        return FeatureContext(candidates.dataset, matcher, queries, candidates.items, candidates.given_features)
    index = candidates.items.index_of(rows)
    given = {name: column[index] for name, column in candidates.given_features.items()}
    items = candidates.items.take(rows)
    return FeatureContext(candidates.dataset, matcher, candidates.queries.take(rows), items, given)


def ranked(pairs: PairFeatures, ranker: Ranker, calibration: Calibration, *, trees_share: float = 1.0) -> Columns:
    """`RANK_OUTPUTS` of each pair."""
    columns = _with_match_score({name: pairs.values[name] for name in MATCH_FEATURES}, calibration)
    scores = ranker.scores(pairs, trees_share=trees_share)
    return columns | {"score": scores, "rank": ranks(scores, pairs.candidates.row_index)}


def _with_match_score(features: dict[str, Float32Array], calibration: Calibration) -> Columns:
    """`MATCH_OUTPUTS`, in their order, out of the match features."""
    score = calibration.probability(features["match_raw"])
    return {MATCH_SCORE: score, **{name: features[name] for name in MATCH_FEATURES}}
