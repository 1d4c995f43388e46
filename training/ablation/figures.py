"""The figures of a variant: one per query of the validation and of the test, for comparisons on the same queries."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polars as pl

from feature_store import DataError
from feature_store.arrays import IntArray
from training.evaluation.ablation import TEST, VALIDATION
from training.evaluation.catalogue_ranks import retrieved_ranks
from training.evaluation.cold_items import cold_positives
from training.evaluation.ledger import HEADLINE_METRIC, WITH_MATCH
from training.evaluation.metrics import PerQuery, auc, ndcg, recall
from training.evaluation.ranks import PerPositive
from training.fitting.fit_ranker import RankingData, fit_ranker
from training.fitting.new_items import with_new_items
from training.fitting.new_users import with_new_users
from training.queries import Queries
from training.ranker_queries import ranker_data
from training.run import Run
from training.steps.rank import features_by_ranker, ranks_on_later_queries
from training.training_data import ranking_data, retrieved_data

K = 10
AUC = "auc"


@dataclass(frozen=True, eq=False)
class VariantPairs:
    """The pairs that a variant's rankers are fitted on and measured on, as its match modules score them."""

    windows: Queries
    windows_data: RankingData
    """Of the ranker's windows, scored by `base`."""
    test: Queries
    test_data: RankingData
    """Of the test, scored by `final`."""


def metric_of(run: Run) -> str:
    """What is measured: NDCG@10, or AUC where impressions are ranked."""
    return HEADLINE_METRIC if run.training_data.shown is None else AUC


def variant_pairs(variant: Run, windows: Queries | None) -> VariantPairs:
    """The pairs of a variant whose match modules are fitted.

    `windows`: the queries of the ranker's windows that the reference has drawn, which all variants share; None to draw
    them. Another match retrieves other items, and a training would draw other queries then.
    """
    data = variant.training_data
    config = variant.config
    split = data.split
    with variant.progress.stage("Computing ranking features", None) as advance:
        matcher = variant.matcher("base")
        if windows is None or data.shown is not None:
            windows, windows_data = ranker_data(data, matcher, config, advance)
        else:
            windows_data = retrieved_data(data, matcher, windows, config, advance, batch_of=with_new_users)
    with variant.progress.stage("Computing features of the test", None) as advance:
        test, test_data = ranking_data(
            data, variant.matcher("final"), split.test_from, split.test_until, config.test_queries, config, advance
        )
    return VariantPairs(windows, windows_data, test, test_data)


def variant_figures(variant: Run, pairs: VariantPairs) -> pl.DataFrame:
    """A row per query: `part`, `user`, `time`, `events` (of the user before), `figure`, and of its cold positives
    `cold` (how many) and `cold_recall`; NaN where a query has no figure.

    Both parts are ranked by a ranker with text features: validation by one that is fitted on the earlier half of the
    windows' queries, the test by one that is fitted on all of them, as a training fits it.

    Raises DataError if there are too few queries to validate on.
    """
    return pl.concat([_validation(variant, pairs), _test(variant, pairs)])


def _validation(variant: Run, pairs: VariantPairs) -> pl.DataFrame:
    held_out = ranks_on_later_queries(variant, pairs.windows, pairs.windows_data, (WITH_MATCH,))
    if held_out is None:
        raise DataError(
            "ablate: expected at least two queries with a retrieved positive in the first half of the ranker's "
            "windows, got fewer: there is nothing to choose by. Give a longer log, or train without --ablate."
        )
    # What is ranked are the last queries of the windows.
    n_candidates = pairs.windows_data.pairs.candidates.lengths[-len(held_out.queries) :]
    ranks = held_out.ranks[WITH_MATCH]
    return _frame(variant, VALIDATION, held_out.queries, ranks, n_candidates, held_out.begins)


def _test(variant: Run, pairs: VariantPairs) -> pl.DataFrame:
    config = variant.config
    data = variant.training_data
    generator = np.random.default_rng(config.seed)
    fitted_on = with_new_items(pairs.windows_data, config.new_item_rate, data.dataset.config.counters, generator)
    features = features_by_ranker(fitted_on, has_impressions=data.shown is not None, leave_out=config.ranker.leave_out)[
        WITH_MATCH
    ]
    with variant.progress.stage("Fitting the ranker", 1) as advance:
        ranker = fit_ranker(fitted_on, features, config.ranker, config.seed, members=config.tree_members).ranker
        advance(1)
    scores = ranker.scores(pairs.test_data.pairs)
    # Ties are broken alike for all variants.
    ranks = retrieved_ranks(scores, pairs.test_data, pairs.test.positives, np.random.default_rng([config.seed, 1]))
    begins = np.full(len(pairs.test), data.split.test_from)
    return _frame(variant, TEST, pairs.test, ranks, pairs.test_data.pairs.candidates.lengths, begins)


def _frame(
    variant: Run, part: str, queries: Queries, ranks: PerPositive, n_candidates: IntArray, begins: IntArray
) -> pl.DataFrame:
    """`begins`: the time of each query from which its items count as cold if they have no event up to then."""
    log = variant.training_data.dataset.log
    offsets = queries.positives.offsets
    is_cold = cold_positives(log, queries, begins)
    figures: PerQuery = (
        ndcg(ranks, offsets, k=K) if variant.training_data.shown is None else auc(ranks, offsets, n_candidates)
    )
    return pl.DataFrame(
        {
            "part": [part] * len(queries),
            "user": queries.users,
            "time": queries.times,
            "events": log.by_user.counts(queries.users, queries.times),
            "figure": figures,
            "cold": np.bincount(queries.positives.row_index, is_cold, len(queries)).astype(np.int64),
            "cold_recall": recall(ranks, offsets, k=K, among=is_cold),
        }
    )
