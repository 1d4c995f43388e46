"""Rows of candidates to watch: scored by the model here, or read from a file that `recmem score` has written."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polars as pl

from feature_store import DataError
from feature_store.arrays import BoolArray, Float32Array, Float64Array, IntArray
from feature_store.cell_parsing import parse_ids
from feature_store.timestamps import iso_time, parse_timestamps
from recmem.batch.candidate_files import CandidateFiles, as_frame, query_hashes
from recmem.dataset.row_groups import group_rows, query_keys
from recmem.ranking.feature_computation import CANDIDATE_PREFIX, CATEGORY_PREFIX
from recmem.reference.reference import Reference
from recmem.serving.bundle import Bundle
from recmem.serving.model import Model
from recmem.serving.request_columns import REASON_NAMES
from recmem.serving.scoring import MATCH_SCORE, RANK_OUTPUTS
from training.monitoring.row_figures import (
    EMPTY_MEMORIES,
    EMPTY_TEXTS,
    SCORE,
    UNKNOWN_ITEMS,
    UNKNOWN_USERS,
    RowFigures,
    pair_categories,
    pair_figures,
    pair_text_lengths,
)

NEW_CATEGORIES = "new_categories."
"""Begins the name of a share: rows with a text in that column that training did not have."""
_BATCH_ROWS = 100_000


@dataclass(frozen=True, eq=False)
class WatchedRows:
    """Scored rows with their figures; one entry per row."""

    rows: RowFigures
    keys: pl.DataFrame
    """`user_id` and `item_id` as text, `time` in microseconds (null where the file has none), and `impression_id`
    where the file has it."""
    scores: Float64Array | None
    """The ranking scores; None if the file has none."""
    match_scores: Float32Array | None
    n_rows: int
    """Rows of the file; of a long one a part is watched."""

    @property
    def times(self) -> tuple[str, str]:
        """Time of the first and of the last query, ISO 8601; empty if the file has no times."""
        first = self.keys["time"].min()
        last = self.keys["time"].max()
        if not isinstance(first, int) or not isinstance(last, int):
            return ("", "")
        return (iso_time(first), iso_time(last))


def sampled(source: CandidateFiles, limit: int) -> pl.DataFrame:
    """All rows of a file with at most `limit`, else about so many: those of whole queries, chosen by their hash."""
    if not source.n_rows:
        raise DataError("candidates: expected rows, got none. Give a file with candidates.")
    every = np.uint64(-(-source.n_rows // limit))
    frame = _with_remainder(source, every, 0)
    if not len(frame):
        # Of a few long queries it may be that none has the remainder 0.
        smallest = min(int((query_hashes(batch) % every).min()) for batch in source.batches(_BATCH_ROWS))
        frame = _with_remainder(source, every, smallest)
    return frame


def _with_remainder(source: CandidateFiles, every: np.uint64, remainder: int) -> pl.DataFrame:
    """The rows of the queries whose hash has this remainder; all rows if `every` is 1."""
    import pyarrow as pa

    batches = source.batches(_BATCH_ROWS)
    kept = [batch if every == 1 else batch.filter(query_hashes(batch) % every == remainder) for batch in batches]
    return as_frame(pa.Table.from_batches(kept, source.schema))


def watched_candidates(model: Model, candidates: pl.DataFrame, n_rows: int) -> WatchedRows:
    """The candidates with the features and scores that the model gives them. Raises DataError as `Model.rank` does."""
    # A file that was scored before may be given again.
    frame = candidates.drop(name for name in candidates.columns if name in (*RANK_OUTPUTS, *REASON_NAMES))
    read, pairs = model.pairs(frame)
    bundle = model.bundle
    catalogue = read.dataset.catalogue
    lengths = pair_text_lengths(bundle, [*catalogue.texts, *read.texts], read.items.values)
    figures = pair_figures(bundle, pairs, bundle.ranker.scores(pairs), lengths)
    row = read.pair_of_row
    query = read.query_of_row
    by_row = {name: values[row] for name, values in figures.items()}
    categories = {name: (places[row], names) for name, (places, names) in pair_categories(bundle, pairs).items()}
    shares: dict[str, BoolArray] = {
        UNKNOWN_USERS: ~read.user_is_known,
        UNKNOWN_ITEMS: ~read.item_is_known,
        EMPTY_MEMORIES: (read.queries.histories.items.lengths == 0)[query],
    }
    if lengths is not None:
        shares[EMPTY_TEXTS] = lengths[row] == 0
    for name, (places, _) in categories.items():
        if name.startswith(CATEGORY_PREFIX):  # the candidates' own, not those of the users table
            column = name.removeprefix(CATEGORY_PREFIX)
            shares[NEW_CATEGORIES + column] = (frame[column].is_not_null().to_numpy()) & (places < 0)
    rows = RowFigures(_numbers(frame["user_id"]), query, by_row, shares, categories)
    times = pl.Series("time", read.queries.times[query])
    return WatchedRows(rows, _keys(frame, times), by_row[SCORE].astype(np.float64), by_row[MATCH_SCORE], n_rows)


def watched_scores(bundle: Bundle, reference: Reference, scored: pl.DataFrame, n_rows: int) -> WatchedRows:
    """Rows that were scored before: those of the reference's figures of which the file has a column.

    Raises DataError if it has none of the match features and scores.
    """
    if not {MATCH_SCORE, SCORE} & set(scored.columns) or not {"user_id", "item_id"} <= set(scored.columns):
        got = ", ".join(scored.columns)[:200]
        raise DataError(
            f"scored: expected user_id, item_id and the columns that `recmem score` adds, got {got}. "
            "Give --candidates to have them scored."
        )
    figures: dict[str, Float32Array] = {}
    for name in reference.figures:
        column = name.removeprefix(CANDIDATE_PREFIX)
        if column in scored.columns and scored.schema[column].is_numeric():
            figures[name] = scored[column].cast(pl.Float32).to_numpy().copy()
    times = pl.Series("time", [None] * len(scored), dtype=pl.Int64)
    if "timestamp" in scored.columns:
        times = parse_timestamps(scored["timestamp"])[0].to_physical().cast(pl.Int64).alias("time")
    impressions = scored["impression_id"] if "impression_id" in scored.columns else None
    query = group_rows(query_keys(scored["user_id"], times.fill_null(0).to_numpy(), impressions))[0]
    rows = RowFigures(_numbers(scored["user_id"]), query, figures, {}, {})
    scores = scored[SCORE].cast(pl.Float64, strict=False).to_numpy() if SCORE in scored.columns else None
    return WatchedRows(rows, _keys(scored, times), scores, figures.get(MATCH_SCORE), n_rows)


def id_texts(ids: pl.Series) -> pl.Series:
    """Ids of any form as text: the same for the number 7 and the text "7"."""
    return parse_ids(ids, pl.String())[0]


def _numbers(ids: pl.Series) -> IntArray:
    return id_texts(ids).fill_null("").rank("dense").to_numpy().astype(np.int64)


def _keys(frame: pl.DataFrame, times: pl.Series) -> pl.DataFrame:
    keys = pl.DataFrame({"user_id": id_texts(frame["user_id"]), "item_id": id_texts(frame["item_id"]), "time": times})
    if "impression_id" in frame.columns:
        keys = keys.with_columns(id_texts(frame["impression_id"]))
    return keys
