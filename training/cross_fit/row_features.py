"""The match features of rows, each from the fold whose module has not seen the row's time.

All folds are put on the scale of the newest, which serves: two modules give the same calibrated score for the same
log-odds, and their raw scores are moved and stretched to where the newest calibration would find these log-odds.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import polars as pl

from feature_store import DataError
from feature_store.arrays import Float32Array, IntArray
from recmem.dataset.candidate_checks import CANDIDATE_COLUMNS, check_candidates
from recmem.dataset.candidate_frame import Candidates, read_candidates
from recmem.dataset.candidate_vectors import CandidateVectors
from recmem.dataset.dataset import Dataset
from recmem.dataset.unmatched_rows import UnmatchedRows
from recmem.matching.calibration import Calibration
from recmem.matching.matcher import MATCH_FEATURES, Matcher
from recmem.serving.embedding import Embedding, new_item_units
from recmem.serving.frames import FrameT, to_polars, with_added
from recmem.serving.scoring import MATCH_OUTPUTS, MATCH_SCORE
from recmem.text.item_vectors import ItemVectors
from training.cross_fit.chain import Fold

CHUNK_ROWS = 100_000
"""Rows that are read and scored together."""
LEARNED = (MATCH_SCORE, "match_raw", "match_prior")
"""The outputs that a match module has learned; the others compare texts as the encoder gives them."""


@dataclass(frozen=True, eq=False)
class RowFeatures:
    """Rows with their match features."""

    columns: pl.DataFrame
    """`MATCH_OUTPUTS` of each row: float32. Those of `LEARNED` are null for rows that no module was there for."""
    n_without: int
    """Rows up to the first fold's begin: their learned features are null."""
    unmatched: UnmatchedRows
    """Rows of unknown users and items, and the like."""


@dataclass(frozen=True, eq=False)
class CrossFitted:
    """The folds over a dataset; computes features of rows of any time."""

    folds: tuple[Fold, ...]
    dataset: Dataset
    matchers: tuple[Matcher, ...]
    """One per fold, over the catalogue's texts."""
    embedding: Embedding
    """For texts that come with the rows; or the vectors of items."""

    def added_to(self, rows: FrameT) -> tuple[FrameT, RowFeatures]:
        """The caller's frame with `MATCH_OUTPUTS` after its own columns, and the counts. Raises as `features` does."""
        features = self.features(rows)
        return with_added(rows, features.columns), features

    def features(self, rows: object) -> RowFeatures:
        """The features of each row of a polars, pandas or Arrow frame, in its order.

        Raises DataError for what `Model.match` refuses, and for a row without a timestamp.
        """
        wanted = {*CANDIDATE_COLUMNS, *self.dataset.catalogue.text_columns, *MATCH_OUTPUTS}
        frame = to_polars(rows, "rows", wanted=wanted)
        _require_times(frame)
        # At least one part, so that a frame without rows gets its columns and checks too.
        parts = [self._part(frame[begin : begin + CHUNK_ROWS]) for begin in range(0, max(len(frame), 1), CHUNK_ROWS)]
        return RowFeatures(
            columns=pl.concat([part.columns for part in parts]),
            n_without=sum(part.n_without for part in parts),
            unmatched=sum((part.unmatched for part in parts), UnmatchedRows()),
        )

    def _part(self, frame: pl.DataFrame) -> RowFeatures:
        read = read_candidates(frame, self.dataset, MATCH_OUTPUTS, vectors=self._vectors)
        matchers = self._with_new_items(read)
        fold_of_query = self._fold_at(read.queries.times)
        values = {name: np.full(len(read.items.values), np.nan, np.float32) for name in MATCH_OUTPUTS}
        for number in np.unique(fold_of_query):
            queries = np.flatnonzero(fold_of_query == number)
            pairs = read.items.index_of(queries)
            for name, column in self._of_fold(int(number), matchers, read, queries).items():
                values[name][pairs] = column
        columns = pl.DataFrame({name: column[read.pair_of_row] for name, column in values.items()})
        is_without = fold_of_query[read.query_of_row] < 0
        return RowFeatures(columns.with_columns(pl.col(LEARNED).fill_nan(None)), int(is_without.sum()), read.unmatched)

    def _fold_at(self, times: IntArray) -> IntArray:
        """The fold that scores rows of these times, -1 before the first one's."""
        begins = np.array([fold.until for fold in self.folds])
        # A row at the time up to which a module has learned is one that it has seen.
        fold: IntArray = np.searchsorted(begins, times, side="left") - 1
        return fold

    @cached_property
    def _vectors(self) -> CandidateVectors | None:
        if not isinstance(self.embedding, ItemVectors):
            return None
        return CandidateVectors.of(self.embedding, self.dataset.catalogue)

    def _with_new_items(self, read: Candidates) -> tuple[Matcher, ...]:
        """The matchers over the catalogue's texts, followed by those that came with the rows."""
        if not read.texts:
            return self.matchers
        unit = new_item_units(self.embedding, read)
        return tuple(matcher.with_texts(unit) for matcher in self.matchers)

    def _of_fold(
        self, number: int, matchers: tuple[Matcher, ...], read: Candidates, queries: IntArray
    ) -> dict[str, Float32Array]:
        histories = read.queries.take(queries).histories
        # Untrained similarities are the same with any module.
        features = matchers[max(number, 0)].pair_features(histories, read.items.take(queries))
        if number < 0:
            return {name: column for name, column in features.items() if name not in LEARNED}
        fold = self.folds[number]
        score = {MATCH_SCORE: fold.calibration.probability(features["match_raw"])}
        return score | on_scale(features, fold.calibration, self.folds[-1].calibration)


def on_scale(features: dict[str, Float32Array], own: Calibration, newest: Calibration) -> dict[str, Float32Array]:
    """The features with raw scores at which `newest` finds the log-odds that `own` finds.

    The prior moves along with the raw score, and so does what they differ by, the memory's part, but for the shift. If
    either calibration is flat, there are no such scores, and they stay as they are.
    """
    if not (own.slope > 0 and newest.slope > 0):
        return {name: features[name] for name in MATCH_FEATURES}
    stretch = np.float32(own.slope / newest.slope)
    shift = np.float32((own.intercept - newest.intercept) / newest.slope)
    moved = {name: features[name] * stretch + shift for name in ("match_raw", "match_prior")}
    return {name: moved.get(name, features[name]) for name in MATCH_FEATURES}


def check_rows(rows: object) -> None:
    """Raises DataError unless the rows can be given features, whatever the log is: before anything is fitted."""
    frame = to_polars(rows, "rows", wanted={*CANDIDATE_COLUMNS, *MATCH_OUTPUTS})
    _require_times(frame)
    check_candidates(frame, MATCH_OUTPUTS)


def _require_times(frame: pl.DataFrame) -> None:
    if "timestamp" not in frame.columns:
        raise DataError(
            "rows.timestamp: expected the column, got none. Give the time of each row: its memory is read as of then, "
            "and it decides which match module has not seen the row."
        )
    n_missing = frame["timestamp"].null_count()
    if n_missing:
        raise DataError(
            f"rows.timestamp: expected a time in every row, got {n_missing:,} nulls. Fill them in, or remove the rows."
        )
