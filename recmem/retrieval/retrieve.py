"""Which items are ranked for a query: the catalogue is scored, and the best items of every source are interleaved."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from feature_store.arrays import BoolArray, Float32Array, IntArray
from feature_store.point_in_time.counters import item_counters
from feature_store.point_in_time.covisitation import FEATURES as COVISITATION_FEATURES
from feature_store.ragged import Ragged
from recmem.dataset.covisitation_models import covisitation_by_refresh
from recmem.dataset.dataset import Dataset
from recmem.dataset.items_had import repeat_scores
from recmem.dataset.query_batch import QueryBatch
from recmem.dataset.shared_facts import FEATURES as FACT_FEATURES
from recmem.dataset.shared_facts import catalogue_facts
from recmem.matching.interests_similarity import interest_scores
from recmem.matching.matcher import MATCH_FEATURES, Matcher
from recmem.retrieval.interleave import FACTS, INTERESTS, REPEATS, SOURCES, RetrievalConfig, interleave
from recmem.retrieval.shortlist import shortlist

CHUNK_CELLS = 600_000
"""Cells (queries x scored items) of the dense scores that are held at once: bounds the memory."""

CatalogueScores = dict[str, Float32Array]
"""Features of many items for some queries at once, by name: float32[query, item] each."""


@dataclass(frozen=True, eq=False)
class Retrieved:
    """The candidates of some queries, and the features that they were retrieved by."""

    queries: QueryBatch
    candidates: Ragged
    """Per query the rows of its candidates in the catalogue, the best first."""
    features: dict[str, Float32Array]
    """Match and co-visitation features of the candidates, and those of interests and facts: float32[pair] by name."""


@dataclass(frozen=True, eq=False)
class _Scored:
    """Queries that are scored together, over the same items."""

    rows: IntArray
    """The queries, as rows of their chunk."""
    items: IntArray
    """Rows of the items that are scored, ascending."""
    excluded: BoolArray
    """bool[query, item]: the item may not be retrieved for the query."""


def retrieve(
    dataset: Dataset,
    matcher: Matcher,
    queries: QueryBatch,
    config: RetrievalConfig,
    on_progress: Callable[[int], None] | None = None,
    on_scores: Callable[[QueryBatch, CatalogueScores], None] | None = None,
) -> Iterator[Retrieved]:
    """The candidates of the queries from the whole catalogue, chunk by chunk of consecutive queries.

    `on_progress` gets the number of queries of each chunk. With `on_scores` the whole catalogue is scored however large
    it is, and the function gets the scores of each chunk.
    """
    n_items = len(dataset.catalogue)
    score_all = on_scores is not None or n_items <= config.whole_up_to
    # In a large catalogue, chunks are cut twice: how many items a chunk needs is known only after its shortlists are
    # made, and making these takes a chunk. One whose shortlists turn out to be long is cut again, see `_halved`.
    chunk_items = n_items if score_all else config.whole_up_to
    for chunk in _chunks(queries, chunk_items, on_progress):
        for scored in _to_score(dataset, matcher, chunk, config, score_all=score_all):
            scored_queries = chunk.take(scored.rows)
            scores = catalogue_scores(dataset, matcher, scored_queries, scored.items)
            if on_scores is not None:
                on_scores(scored_queries, scores)
            yield _best(scored_queries, scores, scored, config.candidates)


def catalogue_scores(dataset: Dataset, matcher: Matcher, queries: QueryBatch, items: IntArray) -> CatalogueScores:
    """Match and co-visitation features of the given items for every query, and what else items are retrieved by."""
    scores = matcher.features(queries.histories, items) | _covisitation_scores(dataset, queries, items)
    n_queries = len(queries)
    # One row of counts per (query, item), all items of a query in turn.
    counters = item_counters(
        dataset.reads, np.tile(items, n_queries), np.repeat(queries.times, len(items)), dataset.config.counters
    )
    scores["popularity_medium"] = counters["popularity_medium"].reshape(n_queries, len(items))
    if dataset.config.interests:
        interests = dataset.interest_rows(queries.described_users, queries.times)
        scores[INTERESTS] = interest_scores(matcher, dataset.profiles.interests.vectors, interests, items)
    if dataset.config.repeats:
        scores[REPEATS] = repeat_scores(queries.histories, items)
    if dataset.config.knowledge is not None:
        scores |= catalogue_facts(dataset.catalogue.facts, queries.histories, items)
    return scores


def seen_items(dataset: Dataset, queries: QueryBatch) -> Ragged:
    """Everything that each query's user interacted with before its time, however long ago."""
    return dataset.reads.seen(queries.users, queries.times)


def _to_score(
    dataset: Dataset, matcher: Matcher, queries: QueryBatch, config: RetrievalConfig, *, score_all: bool
) -> Iterator[_Scored]:
    """Which items are scored for which queries."""
    rows = np.arange(len(queries))
    all_items = np.arange(len(dataset.catalogue))
    seen = seen_items(dataset, queries) if config.exclude_seen else Ragged.from_lists([()] * len(queries))
    if len(all_items) <= config.whole_up_to:
        yield _Scored(rows, all_items, seen.contains(all_items))
        return
    # In a large catalogue only the shortlist may be retrieved, even if all items are scored for `on_scores`.
    shortlists = shortlist(dataset, matcher, queries, seen, config)
    for part in [rows] if score_all else _halved(shortlists, rows):
        allowed = shortlists.take(part)
        items = all_items if score_all else np.unique(allowed.values)
        yield _Scored(part, items, seen.take(part).contains(items) | ~allowed.contains(items))


def _halved(shortlists: Ragged, rows: IntArray) -> Iterator[IntArray]:
    """The queries, halved until a part times the items of its shortlists is at most `CHUNK_CELLS`, or a single one."""
    n_items = len(np.unique(shortlists.take(rows).values)) if len(rows) > 1 else 0
    if len(rows) * n_items > CHUNK_CELLS:
        half = len(rows) // 2
        yield from _halved(shortlists, rows[:half])
        yield from _halved(shortlists, rows[half:])
    else:
        yield rows


def _best(queries: QueryBatch, scores: CatalogueScores, scored: _Scored, n_candidates: int) -> Retrieved:
    sources = {name: scores[name] for name in SOURCES}
    if INTERESTS in scores:
        sources[INTERESTS] = np.where(np.isnan(scores[INTERESTS]), -np.inf, scores[INTERESTS])
    if REPEATS in scores:
        sources[REPEATS] = scores[REPEATS]
    if FACTS in scores:
        sources[FACTS] = np.where(scores[FACTS] > 0, scores[FACTS], -np.inf)
    best = interleave(sources, scored.excluded, n_candidates)
    # `popularity_medium` only retrieves: the ranker computes its counters for the candidates alone.
    kept = [name for name in (*COVISITATION_FEATURES, *MATCH_FEATURES, INTERESTS, *FACT_FEATURES) if name in scores]
    features = {name: scores[name][best.row_index, best.values] for name in kept}
    return Retrieved(queries, Ragged(scored.items[best.values], best.offsets), features)


def _covisitation_scores(dataset: Dataset, queries: QueryBatch, items: IntArray) -> CatalogueScores:
    """Co-visitation of the given items with each history; 0 for texts that are not in the catalogue."""
    in_catalogue = items < len(dataset.catalogue)
    columns = np.flatnonzero(in_catalogue)
    shape = (len(queries), len(items))
    scores: CatalogueScores = {name: np.zeros(shape, np.float32) for name in COVISITATION_FEATURES}
    for rows, histories, model in covisitation_by_refresh(dataset, queries):
        for name, part in model.scores(histories, items[in_catalogue]).items():
            scores[name][np.ix_(rows, columns)] = part
    return scores


def _chunks(queries: QueryBatch, n_items: int, on_progress: Callable[[int], None] | None) -> Iterator[QueryBatch]:
    """Consecutive queries with at most `CHUNK_CELLS` cells over `n_items`; one empty chunk if there is no query."""
    size = max(CHUNK_CELLS // max(n_items, 1), 1)
    for begin in range(0, max(len(queries), 1), size):
        chunk = queries.take(np.arange(begin, min(begin + size, len(queries))))
        yield chunk
        if on_progress is not None:
            on_progress(len(chunk))
