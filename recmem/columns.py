"""The ranking columns of (query, candidate) pairs, the same code in training and in serving."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from feature_store.counters import item_counters, user_counters
from feature_store.covisitation import COLUMNS as COVISITATION_COLUMNS
from feature_store.histories import Histories
from feature_store.ragged import Ragged
from recmem.candidates import SOURCES, RetrievalConfig, retrieve
from recmem.matcher import MATCH_COLUMNS, Matcher
from recmem.query_batch import QueryBatch
from recmem.scene import Scene
from recmem.shortlist import shortlist

FloatArray = NDArray[np.float32]
IntArray = NDArray[np.int64]

BoolArray = NDArray[np.bool_]

CHUNK_ITEMS = 50_000
"""Items that are reckoned with for each query of a chunk, at most: of a larger catalogue only some are scored."""
CHUNK_CELLS = 600_000
"""Queries are taken together until they times the items that are scored for them exceed this: bounds the memory."""


@dataclass(frozen=True, eq=False)
class PairColumns:
    """Raw columns of query-candidate pairs: float32 each, one entry per value of `candidates`."""

    candidates: Ragged
    """Per query the rows of its candidates."""
    values: dict[str, FloatArray]
    """Column by name."""

    @classmethod
    def concat(cls, parts: list[PairColumns]) -> PairColumns:
        """The queries of all parts, one part after the other."""
        names = parts[0].values
        values = {name: np.concatenate([part.values[name] for part in parts]) for name in names}
        return cls(Ragged.concat([part.candidates for part in parts]), values)

    def take(self, rows: IntArray) -> PairColumns:
        """The given queries, in the given order."""
        index = self.candidates.index_of(rows)
        return PairColumns(self.candidates.take(rows), {name: column[index] for name, column in self.values.items()})


Grid = dict[str, FloatArray]
"""Columns of every item of the catalogue for some queries: float32[query, item] each."""


def retrieved_columns(
    scene: Scene,
    matcher: Matcher,
    queries: QueryBatch,
    config: RetrievalConfig,
    on_progress: Callable[[int], None] | None = None,
    on_grid: Callable[[QueryBatch, Grid], None] | None = None,
) -> PairColumns:
    """Columns of the candidates that are retrieved for each query from the whole catalogue.

    `on_grid` is shown each chunk of consecutive queries with its scores of the whole catalogue.
    """
    parts = []
    n_items = len(scene.catalogue)
    for chunk in _chunks(queries, n_items if on_grid else min(n_items, config.whole_up_to), on_progress):
        for rows, items, excluded in _to_score(scene, matcher, chunk, config, everything=on_grid is not None):
            some = chunk.take(rows)
            grid = catalogue_scores(scene, matcher, some, items)
            if on_grid is not None:
                on_grid(some, grid)
            parts.append(_retrieved(scene, some, grid, items, excluded, config.candidates))
    return PairColumns.concat(parts)


def given_columns(
    scene: Scene,
    matcher: Matcher,
    queries: QueryBatch,
    candidates: Ragged,
    on_progress: Callable[[int], None] | None = None,
) -> PairColumns:
    """Columns of the candidates that the caller gives for each query: rows of the matcher's tables."""
    parts, first = [], 0
    n_items = max(min(len(scene.catalogue), CHUNK_ITEMS), int(candidates.lengths.max(initial=1)))
    for chunk in _chunks(queries, n_items, on_progress):
        rows = candidates.take(np.arange(first, first + len(chunk)))
        first += len(chunk)
        distinct, place = np.unique(rows.values, return_inverse=True)
        columns = matcher.pair_columns(chunk.histories, rows)
        for name, grid in _covisitation(scene, chunk, distinct).items():
            columns[name] = grid[rows.row_index, place]
        parts.append(_pairs(scene, chunk, rows, columns))
    return PairColumns.concat(parts)


def catalogue_scores(scene: Scene, matcher: Matcher, queries: QueryBatch, items: IntArray) -> Grid:
    """Item-item and match columns and popularity of the given items of the catalogue: float32[query, item] each."""
    dense = matcher.columns(queries.histories, items) | _covisitation(scene, queries, items)
    users = len(queries)
    counters = item_counters(
        scene.reads, np.tile(items, users), np.repeat(queries.times, len(items)), scene.config.counters
    )
    for name in ("popularity", "popularity_short", "popularity_medium"):
        dense[name] = counters[name].reshape(users, len(items))
    return dense


def seen_items(scene: Scene, queries: QueryBatch) -> Ragged:
    """Everything that each query's user interacted with before, however long ago."""
    return scene.reads.seen(queries.users, queries.times)


def _to_score(
    scene: Scene, matcher: Matcher, queries: QueryBatch, config: RetrievalConfig, *, everything: bool
) -> Iterator[tuple[IntArray, IntArray, BoolArray]]:
    """Rows of queries, the items that are scored for all of these, and bool[query, item]: which are no candidates."""
    rows, every = np.arange(len(queries)), np.arange(len(scene.catalogue))
    seen = seen_items(scene, queries) if config.exclude_seen else Ragged.from_lists([()] * len(queries))
    if len(every) <= config.whole_up_to:
        yield rows, every, seen.contains(every)
        return
    listed = shortlist(scene, matcher, queries, seen, config)
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
    scene: Scene, chunk: QueryBatch, grid: Grid, items: IntArray, excluded: BoolArray, n_candidates: int
) -> PairColumns:
    places = retrieve({name: grid[name] for name in SOURCES}, excluded, n_candidates)
    wanted = (*COVISITATION_COLUMNS, *MATCH_COLUMNS)
    columns = {name: grid[name][places.row_index, places.values] for name in wanted}
    return _pairs(scene, chunk, Ragged(items[places.values], places.offsets), columns)


def _covisitation(scene: Scene, queries: QueryBatch, items: IntArray) -> Grid:
    """Item-item columns of the given items, 0 for texts that are no items of the catalogue: float32[query, item]."""
    columns: Grid = {}
    n_known = len(scene.catalogue)
    known = items < n_known
    for name in COVISITATION_COLUMNS:
        columns[name] = np.zeros((len(queries), len(items)), np.float32)
    periods = scene.timeline.periods(queries.times)
    for period in np.unique(periods):
        rows = np.flatnonzero(periods == period)
        histories = _known_only(queries.histories.take(rows), n_known)
        for name, grid in scene.timeline.at(int(period)).scores(histories, items[known]).items():
            columns[name][np.ix_(rows, np.flatnonzero(known))] = grid
    return columns


def _known_only(histories: Histories, n_known: int) -> Histories:
    """Histories without texts that are no items of the catalogue."""
    if not len(histories.items.values) or int(histories.items.values.max()) < n_known:
        return histories
    return histories.where(histories.items.values < n_known)


def _pairs(scene: Scene, queries: QueryBatch, candidates: Ragged, columns: dict[str, FloatArray]) -> PairColumns:
    """The pairs' columns: the given ones, with counters and attributes."""
    owner = candidates.row_index
    times = queries.times[owner]
    values = dict(columns)
    values |= item_counters(scene.reads, candidates.values, times, scene.config.counters)
    values |= scene.clicks.columns(candidates.values, times)
    per_query = user_counters(scene.reads, queries.users, queries.times, scene.config.counters)
    per_query["memory_size"] = np.log1p(queries.histories.items.lengths).astype(np.float32)
    values |= {name: column[owner] for name, column in per_query.items()}
    inside = candidates.values < len(scene.catalogue)
    for name, numbers in scene.catalogue.numbers().items():
        column = np.full(len(owner), np.nan, np.float32)
        column[inside] = numbers[candidates.values[inside]]
        values[f"item_{name}"] = column
    return PairColumns(candidates, values)


def _chunks(queries: QueryBatch, n_items: int, on_progress: Callable[[int], None] | None) -> Iterator[QueryBatch]:
    """Consecutive queries, few enough that their dense columns stay small; one empty chunk for no query."""
    size = max(CHUNK_CELLS // max(n_items, 1), 1)
    for begin in range(0, max(len(queries), 1), size):
        chunk = queries.take(np.arange(begin, min(begin + size, len(queries))))
        yield chunk
        if on_progress is not None:
            on_progress(len(chunk))
