"""The best items of the store for each query, each with its reason in words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import polars as pl

from feature_store import DataError
from feature_store.arrays import IntArray
from feature_store.ragged import Ragged
from recmem.dataset.dataset import Dataset
from recmem.dataset.query_batch import QueryBatch
from recmem.matching.matcher import Matcher
from recmem.ranking.retrieved_features import retrieved_features
from recmem.serving.bundle import Bundle
from recmem.serving.explain import SharedFact, fitting_interests, in_words, match_parts, reads_texts
from recmem.serving.fact_reasons import fact_reasons
from recmem.serving.frames import Ids, to_ids
from recmem.serving.loaded_parts import LoadedParts
from recmem.serving.phrases import Language
from recmem.serving.request_times import TimeLike
from recmem.serving.scored import Scored
from recmem.serving.scoring import MATCH_SCORE, ranked
from recmem.serving.slot_names import described_slots
from recmem.serving.user_queries import queries_of

CHUNK_QUERIES = 1000
"""Queries whose candidates are in memory at the same time."""


def recommend(parts: LoadedParts, user_ids: Ids, *, k: int, timestamp: TimeLike | None) -> Scored[pl.DataFrame]:
    """The best `k` items of the store for each user; see `Model.recommend`."""
    if isinstance(k, bool) or not isinstance(k, int | np.integer) or k < 1:
        raise DataError(f"k: expected at least 1, got {k!r}. Give a number of items per user.")
    users = to_ids(user_ids, "user_ids")
    dataset, queries, unmatched = queries_of(parts, users, timestamp)
    best = _best_of_each(dataset, parts.matcher, parts.bundle, queries, k)
    frame = best.select(users.gather(best["query"]).alias("user_id"), pl.exclude("query"))
    return Scored(frame, unmatched, user_is_known=queries.users >= 0, item_is_known=np.ones(len(frame), bool))


def _best_of_each(dataset: Dataset, matcher: Matcher, bundle: Bundle, queries: QueryBatch, k: int) -> pl.DataFrame:
    """The best `k` items per query, best first: query (its number), item_id, score, rank, match_score, reason."""
    schema = {
        "query": pl.Int64(),
        "item_id": dataset.catalogue.ids.dtype,
        "score": pl.Float64(),
        "rank": pl.Int64(),
        MATCH_SCORE: pl.Float32(),
        "reason": pl.String(),
    }
    parts = [pl.DataFrame(schema=schema)]
    # Without items there is nothing to retrieve.
    n_queries = len(queries) if len(dataset.catalogue) else 0
    for begin in range(0, n_queries, CHUNK_QUERIES):
        rows = np.arange(begin, min(begin + CHUNK_QUERIES, n_queries))
        best = _best(dataset, matcher, bundle, queries.take(rows), k)
        parts.append(best.with_columns(pl.col("query") + begin))
    return pl.concat(parts)


def _best(dataset: Dataset, matcher: Matcher, bundle: Bundle, queries: QueryBatch, k: int) -> pl.DataFrame:
    config = bundle.config
    # A larger k asks for all items; a configuration has an upper bound.
    wanted = min(k, len(dataset.catalogue))
    retrieval = replace(config.retrieval, candidates=max(config.retrieval.candidates, wanted))
    pairs = retrieved_features(dataset, matcher, queries, retrieval)
    columns = ranked(pairs, bundle.ranker, config.calibration)
    query = pairs.candidates.row_index
    # int64[pair]: by query, then by rank; equal ranks by the item's row.
    order = np.lexsort((pairs.candidates.values, columns["rank"], query))
    place = np.arange(len(order)) - pairs.candidates.offsets[query]
    best = order[place < k]
    items = Ragged.from_lengths(pairs.candidates.values[best], np.bincount(query[best], minlength=len(queries)))
    by_text = reads_texts(bundle.ranker.features)
    reasons: list[str] = []
    all_interests = fitting_interests(pairs)
    interests = [all_interests[pair] for pair in best]
    facts = fact_reasons(dataset, bundle.ranker, queries, pairs, best, language=config.language)
    for row in range(len(queries)):
        begin = int(items.offsets[row])
        end = int(items.offsets[row + 1])
        own = list(zip(interests[begin:end], facts[begin:end], strict=True))
        query_row = queries.take(np.array([row]))
        of_query = items.row(row)
        reasons += reasons_in_words(
            dataset, matcher, query_row, of_query, own, ranks_by_text=by_text, language=config.language
        )
    return pl.DataFrame(
        {
            "query": items.row_index,
            "item_id": dataset.catalogue.ids.gather(items.values),
            "score": columns["score"][best],
            "rank": np.arange(len(best)) - items.offsets[items.row_index] + 1,
            MATCH_SCORE: columns[MATCH_SCORE][best],
            "reason": pl.Series(reasons, dtype=pl.String),
        }
    )


def reasons_in_words(
    dataset: Dataset,
    matcher: Matcher,
    query: QueryBatch,
    items: IntArray,
    others: Sequence[tuple[float | None, SharedFact | None]] | None = None,
    *,
    ranks_by_text: bool = True,
    numbers: bool = False,
    language: Language,
) -> list[str]:
    """The reason for each of the items, which are rows of the matcher's texts, for one query; see `in_words`.

    `others`: of each item its similarity to declared interests and its shared fact.
    """
    _, _, parts = match_parts(matcher, query.histories, items)
    slots = described_slots(matcher, dataset.catalogue, query.histories, language)
    titles = [slot.title for slot in slots]
    kinds = [slot.kind for slot in slots]
    return [
        in_words(
            titles,
            contributions.tolist(),
            numbers=numbers,
            ranks_by_text=ranks_by_text,
            interests=similarity,
            fact=fact,
            kinds=kinds,
            language=language,
        )
        for contributions, (similarity, fact) in zip(parts.T, others or [(None, None)] * len(items), strict=True)
    ]
