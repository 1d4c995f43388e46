"""Gathers the figures of all folds, and ranks each fold's queries with the model of the fold before."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from feature_store.timestamps import iso_time
from recmem.dataset.query_batch import QueryBatch
from recmem.serving.model import Model
from training.evaluation.auc_figures import AucFigures, AucPerQuery
from training.evaluation.folds import EarlierModel, Fold, Folds
from training.evaluation.intervals import paired_bootstrap
from training.evaluation.ledger import HEADLINE_METRIC, rounded
from training.evaluation.metrics import PerQuery, mean_over_queries
from training.evaluation.queries_after_training import QueriesAfterTraining
from training.run import Run
from training.steps.evaluate import BUNDLE, read_auc, read_ledger
from training.steps.refit import RefitSummary, end_of_learning


def fold_figures(runs: Sequence[Run]) -> Folds:
    """The figures of the folds' runs, which are in order of time; the last is the training itself."""
    folds = []
    aucs = []
    for number, run in enumerate(runs):
        ledger = read_ledger(run)
        split = run.training_data.split
        until = end_of_learning(run)
        auc = read_auc(run)
        if auc is not None:
            aucs.append(auc)
        folds.append(
            Fold(
                test_from=iso_time(split.test_from),
                test_until=iso_time(until),
                queries=ledger.protocol.queries,
                lift=ledger.lift[HEADLINE_METRIC],
                ships=ledger.ships,
                earlier=_earlier_model(runs[number - 1], run) if number else None,
                auc=None if auc is None else AucFigures.of(auc, seed=run.config.seed),
            )
        )
        if run is not runs[-1]:
            run.forget()
    pooled = AucFigures.of(AucPerQuery.concat(aucs), seed=runs[-1].config.seed) if aucs else None
    return Folds(tuple(folds), pooled)


def _earlier_model(before: Run, run: Run) -> EarlierModel:
    """What the model of the fold before makes of the run's test queries."""
    ledger = read_ledger(run)
    row = ledger.row(ledger.ships)
    if row is None:
        raise ValueError(f"ledger.rows: expected {ledger.ships}, got none. Evaluate again.")
    retrained = row.metrics[HEADLINE_METRIC]
    measured, users = _ndcg(run, before.folder("evaluate") / BUNDLE)
    if not RefitSummary.read(before).refitted:
        return EarlierModel(rounded(mean_over_queries(measured)), None, None, None, retrained)
    refitted, _ = _ndcg(run, before.folder("refit") / BUNDLE)
    change = paired_bootstrap(measured, refitted, groups=users, generator=np.random.default_rng(run.config.seed))
    return EarlierModel(
        measured=rounded(mean_over_queries(measured)),
        refitted=rounded(mean_over_queries(refitted)),
        difference=rounded(change.difference),
        ci95=(rounded(change.low), rounded(change.high)),
        retrained=retrained,
    )


def _ndcg(run: Run, bundle: Path) -> tuple[PerQuery, np.ndarray]:
    """NDCG@10 of each test query of the run under a bundle, and the queries' users."""
    split = run.training_data.split
    model = Model.load(bundle, store=run.pinned)
    # Item-item models of earlier refreshes would push the current ones, which the report reads, out of the cache.
    model.dataset.timeline.caches_only_current = True
    later = QueriesAfterTraining.of(model, run.config.test_queries, begin=split.test_from, end=split.test_until)
    pairs = later.pairs(QueryBatch.of(model.dataset, later.queries.users, later.queries.times))
    return later.ndcg(pairs, model.bundle.ranker.scores(pairs), run.config.seed), later.queries.users
