"""The step `compare`: scores the reigning champion on the run's test queries, and leaves the verdict.

A champion that cannot be loaded or scored gives a verdict in words; it never ends a training.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
from mlflow import MlflowClient

from feature_store import DataError
from feature_store.atomic_files import write_text_atomically
from feature_store.timestamps import iso_time
from recmem.serving.model import Model
from training.evaluation.champion_figures import (
    AskedQueries,
    OtherTaskError,
    TooFewQueriesError,
    against_champion,
    comparable_queries,
    require_same_task,
    test_queries,
)
from training.evaluation.evaluate import digest_of_test
from training.evaluation.figures_file import TEST_FIGURES, TEST_RANKS, read_test_figures, read_test_ranks
from training.evaluation.ledger import HEADLINE_METRIC
from training.evaluation.promotion import first_verdict, incomparable, uncompared, verdict_against
from training.evaluation.verdict import VERDICT, Champion, Comparison, Verdict
from training.run import Run
from training.steps.champion_fault import champion_fault
from training.steps.evaluate import read_ledger
from training.tracking.champion import champion_bundle
from training.tracking.step_run import StepRun

COMPARE_SEED = 0
"""Of ties and of the bootstrap: the same for all runs, whatever their own seed."""


def compare(run: Run, step_run: StepRun) -> None:
    """Leaves `verdict.json`: whether the new version is to be champion, and the figures that say so."""
    verdict = _verdict(run, step_run.client)
    path = run.folder("compare") / VERDICT
    write_text_atomically(path, verdict.to_json())
    step_run.log_metrics(verdict.figures())
    step_run.log_artifact(path)


def read_verdict(run: Run) -> Verdict:
    """The verdict that the step left."""
    path = run.folder("compare") / VERDICT
    if not path.is_file():
        raise DataError(f"out: expected {path} from the step `compare`, got no file. Run that step again.")
    return Verdict.from_json(path.read_text())


def _verdict(run: Run, client: MlflowClient) -> Verdict:
    ledger = read_ledger(run)
    policy = run.config.promote
    champion = run.champion
    if champion is None:
        return first_verdict(policy, ledger.shipped_lift, ledger.ships)
    try:
        comparison = _comparison(run, client, champion)
    except (OtherTaskError, TooFewQueriesError) as error:
        return incomparable(policy, champion, str(error))
    except Exception as error:  # broad on purpose: whatever is wrong with an earlier model, the new one is there
        why = champion_fault(error, run, client)
        return uncompared(policy, champion, why, lift=ledger.shipped_lift, ships=ledger.ships)
    return verdict_against(policy, champion, comparison)


def _comparison(run: Run, client: MlflowClient, champion: Champion) -> Comparison:
    """Both models on the test queries that are new to both.

    The challenger's figures are those of its measured model, which has learned up to the test period.
    """
    training_data = run.training_data
    split = training_data.split
    test_from = split.test_from
    with tempfile.TemporaryDirectory(prefix="recmem-champion-") as folder:
        bundle, kind = champion_bundle(client, run.config.registered_name, champion, Path(folder))
        model = Model.load(bundle, store=run.pinned)
        # Item-item models of earlier refreshes would push the current ones, which the report reads, out of the cache.
        model.dataset.timeline.caches_only_current = True
        if training_data.shown is None:
            require_same_task(model.dataset.config, training_data.dataset.config)
        learned_until = model.bundle.config.learned_until
        asked = _asked(run).read_by(model, split, run.config.test_queries)
        asked = comparable_queries(asked, learned_until, kind)
        with run.progress.stage("Ranking the test queries with the champion", len(asked.queries)) as advance:
            found = against_champion(
                model,
                asked,
                test_from=test_from,
                exclude_seen=run.config.retrieval.exclude_seen,
                generator=np.random.default_rng(COMPARE_SEED),
                on_query=advance,
            )
    return Comparison(
        bundle=kind,
        champion_learned_until=iso_time(learned_until),
        challenger_learned_until=iso_time(test_from),
        after=iso_time(max(test_from, learned_until)),
        queries=found.queries,
        users=found.users,
        lift=found.lift,
        slices=found.slices,
        too_small=found.too_small,
    )


def _asked(run: Run) -> AskedQueries:
    """The run's test queries with its own figures, as the step `evaluate` left them."""
    folder = run.folder("evaluate")
    figures = read_test_figures(folder / TEST_FIGURES)
    queries, shown = test_queries(run.training_data, run.config.test_queries)
    digest = digest_of_test(run.training_data, queries)
    if digest != figures.digest:
        raise DataError(f"out: expected figures of the test queries {digest}, got {figures.digest}. Evaluate again.")
    ranks = read_test_ranks(folder / TEST_RANKS) if shown is None else None
    return AskedQueries(queries, shown, figures.metrics[HEADLINE_METRIC], ranks)
