"""The rows that a bundle's reference is of: a sample of the test queries with their candidates.

The model that ships scores them, with the features as of each query's time. Its refit has learned from these queries,
which a few hundredths of the rows, their positives, show; the figures of NDCG are those of the measured model, which
has not.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polars as pl

from feature_store.arrays import Int8Array, IntArray
from feature_store.timestamps import iso_time
from recmem.dataset.query_batch import QueryBatch
from recmem.ranking.given_features import candidate_features
from recmem.ranking.pair_features import PairFeatures
from recmem.ranking.retrieved_features import retrieved_features
from recmem.reference.reference import Outcomes, Reference
from recmem.serving.bundle import Bundle
from recmem.serving.scoring import MATCH_SCORE
from training.evaluation.champion_figures import test_queries
from training.evaluation.figures_file import TEST_FIGURES, read_test_figures
from training.evaluation.ledger import HEADLINE_METRIC
from training.monitoring.event_rows import event_rows
from training.monitoring.outcomes import match_score_ratio, mean_with_interval
from training.monitoring.row_figures import (
    EMPTY_MEMORIES,
    EMPTY_TEXTS,
    UNKNOWN_ITEMS,
    UNKNOWN_USERS,
    RowFigures,
    pair_categories,
    pair_figures,
    pair_text_lengths,
)
from training.queries import Queries
from training.run import Run
from training.steps.evaluate import read_ledger
from training.training_data import labels_of
from training.training_device import matcher_for_training

REFERENCE_QUERIES = 1000
"""Test queries in a reference, at most; evenly spread over the test period."""
INTERVAL_SEED = 0
"""Of the bootstrap."""


@dataclass(frozen=True, eq=False)
class ReferenceRows:
    """Queries of the test period with their candidates."""

    queries: Queries
    batch: QueryBatch
    pairs: PairFeatures
    labels: Int8Array
    """int8[pair]: 1 for a positive."""

    @property
    def users(self) -> IntArray:
        """The user of each pair: int64[pair]."""
        return self.queries.users[self.pairs.candidates.row_index]


def reference_rows(run: Run, bundle: Bundle) -> ReferenceRows:
    """The sample, with features of the bundle's match module."""
    data = run.training_data
    matcher = matcher_for_training(bundle.module, run.vectors("final"), bundle.config.memory)
    queries, shown = test_queries(data, run.config.test_queries)
    queries = queries.spread(REFERENCE_QUERIES)
    batch = QueryBatch.of(data.dataset, queries.users, queries.times)
    if shown is not None:
        shown = shown.spread(REFERENCE_QUERIES)
        pairs = candidate_features(data.dataset, matcher, batch, shown.candidates, given=shown.given_features)
        return ReferenceRows(queries, batch, pairs, shown.labels)
    pairs = retrieved_features(data.dataset, matcher, batch, run.config.retrieval)
    return ReferenceRows(queries, batch, pairs, labels_of(pairs, queries))


def bundle_reference(run: Run, bundle: Bundle, rows: ReferenceRows) -> Reference:
    """What the rows are like to the bundle, whose calibration is the one that ships."""
    data = run.training_data
    query = rows.pairs.candidates.row_index
    lengths = pair_text_lengths(bundle, data.dataset.catalogue.texts, rows.pairs.candidates.values)
    is_empty = (rows.batch.histories.items.lengths == 0)[query]
    figures = RowFigures(
        users=rows.users,
        queries=query,
        figures=pair_figures(bundle, rows.pairs, bundle.ranker.scores(rows.pairs), lengths),
        shares={
            UNKNOWN_USERS: rows.users < 0,
            UNKNOWN_ITEMS: np.zeros(len(query), bool),
            EMPTY_MEMORIES: is_empty,
            **({} if lengths is None else {EMPTY_TEXTS: lengths == 0}),
        },
        categories=pair_categories(bundle, rows.pairs),
    )
    events = run.pinned.events()
    tested = events.filter(pl.col("timestamp").dt.epoch("us") > data.split.test_from)
    times = (iso_time(int(rows.queries.times.min())), iso_time(int(rows.queries.times.max())))
    return figures.reference(
        "catalogue" if data.shown is None else "impressions",
        times,
        events=event_rows(tested, events, data.dataset.catalogue.ids) if len(tested) else None,
        outcomes=_outcomes(run, rows, figures.figures[MATCH_SCORE]),
    )


def _outcomes(run: Run, rows: ReferenceRows, match_score: np.ndarray) -> Outcomes:
    tested = read_test_figures(run.folder("evaluate") / TEST_FIGURES)
    generator = np.random.default_rng(INTERVAL_SEED)
    ndcg, interval = mean_with_interval(tested.metrics[HEADLINE_METRIC], tested.users, generator)
    protocol = read_ledger(run).protocol
    is_positive = rows.labels > 0
    return Outcomes(
        queries=protocol.queries,
        users=protocol.users,
        ndcg=ndcg,
        ndcg_ci95=interval,
        found=float(is_positive.sum() / max(len(rows.queries.positives.values), 1)),
        expected=float(match_score.mean()),
        observed=float(is_positive.mean()),
        ratio_ci95=match_score_ratio(match_score, is_positive, rows.users)[1],
    )
