"""The end of a run: registers its model in MLflow, and promotes it if it is better than the champion."""

from __future__ import annotations

from dataclasses import asdict

import numpy as np
import polars as pl

from feature_store import DataError
from training.evaluation.ledger import Ledger
from training.evaluation.promotion import TestFigures
from training.evaluation.queries_after_training import MEASURED_BUNDLE
from training.run import Run, TrainingResult
from training.steps.evaluate import BUNDLE, LEDGER
from training.steps.example_users import queries_of_test_period
from training.steps.rank import RankSummary
from training.steps.refit import RefitSummary
from training.steps.report import REPORT, read_folds
from training.tracking.champion import promote
from training.tracking.figures_file import TEST_FIGURES, read_test_figures
from training.tracking.registry import MODEL, register
from training.tracking.tracker import Tracker

EXAMPLE_QUERIES = 3
"""Test queries whose positives are the registered model's input example."""
PROMOTION_SEED = 0
"""Seeds the bootstrap of the comparison with the champion; the same for all runs, whatever their own seed."""


def register_run(run: Run, tracker: Tracker) -> TrainingResult:
    """Registers the bundle that ships, and promotes it if it is better, by the figures of the measured one."""
    ledger = Ledger.from_json((run.out / LEDGER).read_text())
    version = register(tracker, run.out / BUNDLE, ledger, _example_candidates(run))
    # On every run, also one whose steps were all reused: its parent run gets a version of its own.
    promote(tracker, version, _test_figures(run), generator=np.random.default_rng(PROMOTION_SEED))
    for tag, value in asdict(RefitSummary.read(run)).items():
        tracker.client.set_model_version_tag(MODEL, version, f"recmem.refit.{tag}", str(value).lower())
    warnings = run.training_data.warnings + RankSummary.read(run.folder("rank")).warnings
    if warnings:
        tracker.parent.log_text("\n".join(warnings) + "\n", "warnings.txt")
    return TrainingResult(
        out=run.out,
        ledger=ledger,
        bundle=run.out / BUNDLE,
        measured_bundle=run.out / MEASURED_BUNDLE,
        report=run.out / REPORT,
        version=version,
        intake=run.intake,
        warnings=warnings,
        encoder=run.tuned.sentence,
        folds=read_folds(run),
    )


def _example_candidates(run: Run) -> pl.DataFrame:
    """Candidates of a few test queries, as `Model.rank` takes them."""
    dataset = run.training_data.dataset
    queries = queries_of_test_period(run).spread(EXAMPLE_QUERIES)
    query_of_pair = queries.positives.row_index
    times = pl.Series(queries.times[query_of_pair])
    candidates = pl.DataFrame(
        {
            "user_id": dataset.users.gather(queries.users[query_of_pair]),
            "item_id": dataset.catalogue.ids.gather(queries.positives.values),
            "timestamp": pl.from_epoch(times, "us").dt.replace_time_zone("UTC"),
        }
    )
    return candidates.with_columns(
        pl.lit(feature.example, feature.dtype).alias(feature.name) for feature in dataset.config.candidate_features
    )


def _test_figures(run: Run) -> TestFigures:
    path = run.folder("evaluate") / TEST_FIGURES
    if not path.is_file():
        raise DataError(f"out: expected {path} from the step `evaluate`, got no file. Run that step again.")
    return read_test_figures(path)
