"""The ranking columns of (query, candidate) pairs, the same code in training and in serving."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch

from feature_store.arrays import BoolArray, Float32Array, IntArray
from feature_store.point_in_time.counters import item_counters, user_counters
from feature_store.point_in_time.covisitation import FEATURES as COVISITATION_FEATURES
from feature_store.point_in_time.histories import Histories
from feature_store.ragged import Ragged
from recmem.dataset.dataset import Dataset
from recmem.dataset.query_batch import QueryBatch
from recmem.matching.matcher import MATCH_FEATURES, Matcher
from recmem.retrieval.retrieve import SOURCES, RetrievalConfig, retrieve
from recmem.retrieval.shortlist import shortlist

CHUNK_PAIRS = 100_000
"""Pairs whose columns are reckoned together."""
CHUNK_CELLS = 600_000
"""Queries are taken together until they times the items that are scored for them exceed this: bounds the memory."""


@dataclass(frozen=True, eq=False)
class PairFeatures:
    """Raw columns of query-candidate pairs: float32 each, one entry per value of `candidates`."""

    candidates: Ragged
    """Per query the rows of its candidates."""
    values: dict[str, Float32Array]
    """Column by name."""

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


Grid = dict[str, Float32Array]
"""Columns of every item of the catalogue for some queries: float32[query, item] each."""


def retrieved_features(
    dataset: Dataset,
    matcher: Matcher,
    queries: QueryBatch,
    config: RetrievalConfig,
    on_progress: Callable[[int], None] | None = None,
    on_grid: Callable[[QueryBatch, Grid], None] | None = None,
) -> PairFeatures:
    """Columns of the candidates that are retrieved for each query from the whole catalogue.

    `on_grid` is shown each chunk of consecutive queries with its scores of the whole catalogue.
    """
    parts = []
    n_items = len(dataset.catalogue)
    for chunk in _chunks(queries, n_items if on_grid else min(n_items, config.whole_up_to), on_progress):
        for rows, items, excluded in _to_score(dataset, matcher, chunk, config, everything=on_grid is not None):
            some = chunk.take(rows)
            grid = catalogue_scores(dataset, matcher, some, items)
            if on_grid is not None:
                on_grid(some, grid)
            parts.append(_retrieved(dataset, some, grid, items, excluded, config.candidates))
    return PairFeatures.concat(parts)


def candidate_features(
    dataset: Dataset,
    matcher: Matcher,
    queries: QueryBatch,
    candidates: Ragged,
    on_progress: Callable[[int], None] | None = None,
) -> PairFeatures:
    """Columns of the candidates that the caller gives for each query: rows of the matcher's tables."""
    parts = []
    for rows in by_pairs(candidates, CHUNK_PAIRS):
        chunk, asked = queries.take(rows), candidates.take(rows)
        columns = matcher.pair_features(chunk.histories, asked) | _pair_covisitation(dataset, chunk, asked)
        parts.append(_pairs(dataset, chunk, asked, columns))
        if on_progress is not None:
            on_progress(len(chunk))
    return PairFeatures.concat(parts)


def by_pairs(candidates: Ragged, n_pairs: int) -> Iterator[IntArray]:
    """Consecutive queries with at most `n_pairs` pairs together; a longer query stands alone; one part at the least."""
    begin, offsets = 0, candidates.offsets
    while True:
        end = int(np.searchsorted(offsets, offsets[begin] + n_pairs, side="right")) - 1
        end = min(max(end, begin + 1), len(candidates))
        yield np.arange(begin, end)
        begin = end
        if begin >= len(candidates):
            return


def catalogue_scores(dataset: Dataset, matcher: Matcher, queries: QueryBatch, items: IntArray) -> Grid:
    """Item-item and match columns and popularity of the given items of the catalogue: float32[query, item] each."""
    dense = matcher.features(queries.histories, items) | _covisitation(dataset, queries, items)
    users = len(queries)
    counters = item_counters(
        dataset.reads, np.tile(items, users), np.repeat(queries.times, len(items)), dataset.config.counters
    )
    for name in ("popularity", "popularity_short", "popularity_medium"):
        dense[name] = counters[name].reshape(users, len(items))
    return dense


def seen_items(dataset: Dataset, queries: QueryBatch) -> Ragged:
    """Everything that each query's user interacted with before, however long ago."""
    return dataset.reads.seen(queries.users, queries.times)


def _to_score(
    dataset: Dataset, matcher: Matcher, queries: QueryBatch, config: RetrievalConfig, *, everything: bool
) -> Iterator[tuple[IntArray, IntArray, BoolArray]]:
    """Rows of queries, the items that are scored for all of these, and bool[query, item]: which are no candidates."""
    rows, every = np.arange(len(queries)), np.arange(len(dataset.catalogue))
    seen = seen_items(dataset, queries) if config.exclude_seen else Ragged.from_lists([()] * len(queries))
    if len(every) <= config.whole_up_to:
        yield rows, every, seen.contains(every)
        return
    listed = shortlist(dataset, matcher, queries, seen, config)
    for some in [rows] if everything else _few_cells(listed, rows):
        mine = listed.take(some)
        items = every if everything else np.unique(mine.values)
        yield some, items, seen.take(some).contains(items) | ~mine.contains(items)


def _few_cells(listed: Ragged, rows: IntArray) -> Iterator[IntArray]:
    """The rows in parts whose number times all that is listed for them is at most `CHUNK_CELLS`; or single ones."""
    if len(rows) > 1 and len(rows) * len(np.unique(listed.take(rows).values)) > CHUNK_CELLS:
        half = len(rows) // 2
        yield from _few_cells(listed, rows[:half])
        yield from _few_cells(listed, rows[half:])
    else:
        yield rows


def _retrieved(
    dataset: Dataset, chunk: QueryBatch, grid: Grid, items: IntArray, excluded: BoolArray, n_candidates: int
) -> PairFeatures:
    places = retrieve({name: grid[name] for name in SOURCES}, excluded, n_candidates)
    wanted = (*COVISITATION_FEATURES, *MATCH_FEATURES)
    columns = {name: grid[name][places.row_index, places.values] for name in wanted}
    return _pairs(dataset, chunk, Ragged(items[places.values], places.offsets), columns)


def _covisitation(dataset: Dataset, queries: QueryBatch, items: IntArray) -> Grid:
    """Item-item columns of the given items, 0 for texts that are no items of the catalogue: float32[query, item]."""
    columns: Grid = {}
    n_known = len(dataset.catalogue)
    known = items < n_known
    for name in COVISITATION_FEATURES:
        columns[name] = np.zeros((len(queries), len(items)), np.float32)
    periods = dataset.timeline.periods(queries.times)
    for period in np.unique(periods):
        rows = np.flatnonzero(periods == period)
        histories = _known_only(queries.histories.take(rows), n_known)
        for name, grid in dataset.timeline.at(int(period)).scores(histories, items[known]).items():
            columns[name][np.ix_(rows, np.flatnonzero(known))] = grid
    return columns


def _pair_covisitation(dataset: Dataset, queries: QueryBatch, candidates: Ragged) -> dict[str, Float32Array]:
    """Item-item columns of each query's own candidates, 0 for texts that are no items of the catalogue."""
    columns = {name: np.zeros(len(candidates.values), np.float32) for name in COVISITATION_FEATURES}
    periods = dataset.timeline.periods(queries.times)
    for period in np.unique(periods):
        rows = np.flatnonzero(periods == period)
        histories = _known_only(queries.histories.take(rows), len(dataset.catalogue))
        places, model = candidates.index_of(rows), dataset.timeline.at(int(period))
        found = model.pair_scores(histories, candidates.take(rows), n_threads=torch.get_num_threads())
        for name, column in found.items():
            columns[name][places] = column
    return columns


def _known_only(histories: Histories, n_known: int) -> Histories:
    """Histories without texts that are no items of the catalogue."""
    if not len(histories.items.values) or int(histories.items.values.max()) < n_known:
        return histories
    return histories.where(histories.items.values < n_known)


def _pairs(dataset: Dataset, queries: QueryBatch, candidates: Ragged, columns: dict[str, Float32Array]) -> PairFeatures:
    """The pairs' columns: the given ones, with counters and attributes."""
    owner = candidates.row_index
    times = queries.times[owner]
    values = dict(columns)
    values |= _item_counters(dataset, candidates, queries.times)
    values |= dataset.clicks.columns(candidates.values, times)
    per_query = user_counters(dataset.reads, queries.users, queries.times, dataset.config.counters)
    per_query["memory_size"] = np.log1p(queries.histories.items.lengths).astype(np.float32)
    values |= {name: column[owner] for name, column in per_query.items()}
    inside = candidates.values < len(dataset.catalogue)
    for name, numbers in dataset.catalogue.numbers().items():
        column = np.full(len(owner), np.nan, np.float32)
        column[inside] = numbers[candidates.values[inside]]
        values[f"item_{name}"] = column
    return PairFeatures(candidates, values)


def _item_counters(dataset: Dataset, candidates: Ragged, times: IntArray) -> dict[str, Float32Array]:
    """Counters of each pair. Where many ask for the same items at the same time, these are counted once."""
    items, owner, config = candidates.values, candidates.row_index, dataset.config.counters
    moments, moment = np.unique(times, return_inverse=True)
    n_items = int(items.max(initial=-1)) + 1
    if len(moments) * n_items > len(items):
        return item_counters(dataset.reads, items, times[owner], config)
    place = moment[owner] * n_items + items
    is_asked = np.zeros(len(moments) * n_items, bool)
    is_asked[place] = True
    asked = np.flatnonzero(is_asked)
    counters = item_counters(dataset.reads, asked % n_items, moments[asked // n_items], config)
    number = np.cumsum(is_asked)[place] - 1
    return {name: column[number] for name, column in counters.items()}


def _chunks(queries: QueryBatch, n_items: int, on_progress: Callable[[int], None] | None) -> Iterator[QueryBatch]:
    """Consecutive queries, few enough that their dense columns stay small; one empty chunk for no query."""
    size = max(CHUNK_CELLS // max(n_items, 1), 1)
    for begin in range(0, max(len(queries), 1), size):
        chunk = queries.take(np.arange(begin, min(begin + size, len(queries))))
        yield chunk
        if on_progress is not None:
            on_progress(len(chunk))
