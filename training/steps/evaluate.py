"""The step `evaluate`: ranks the test queries, and leaves the ledger and the bundle that was measured."""

from __future__ import annotations

from dataclasses import replace

from feature_store.atomic_files import write_text_atomically
from training.evaluation.auc_figures import AucPerQuery
from training.evaluation.evaluate import evaluate_rankings
from training.evaluation.figures_file import (
    TEST_AUC,
    TEST_FIGURES,
    TEST_RANKS,
    read_test_auc,
    write_test_auc,
    write_test_figures,
    write_test_ranks,
)
from training.evaluation.ledger import WITH_MATCH, WITH_SIMILARITY, WITHOUT_MATCH, Ledger
from training.run import Run
from training.steps.bundle_of_run import Learned, write_bundle
from training.steps.rank import RankSummary, read_held_out, read_position_effects
from training.tracking.step_run import StepRun, ledger_metrics
from training.training_device import matcher_for_training

BUNDLE = "bundle"
LEDGER = "ledger.json"


def evaluate(run: Run, step_run: StepRun) -> None:
    """Leaves `ledger.json`, the measured `bundle/`, and the figures per query for a later comparison.

    All of it lies in the step's folder; the step `report` puts it where readers look.
    """
    folder = run.folder("evaluate")
    summary = RankSummary.read(run.folder("rank"))
    held_out = read_held_out(run.folder("rank"))
    module = run.module("final")
    vectors = run.vectors("final")
    matcher = matcher_for_training(module, vectors, run.config.memory)
    rankers = {name: run.ranker(name) for name in (WITHOUT_MATCH, WITH_SIMILARITY, WITH_MATCH)}
    with run.progress.stage("Evaluating on the test window", None) as advance:
        evaluation = evaluate_rankings(
            run.training_data,
            matcher,
            rankers,
            summary.pooling,
            run.config,
            held_out,
            [matcher_for_training(member, vectors, run.config.memory) for member in run.members("final")],
            advance,
        )
    run.pairs["evaluate"] = evaluation.data
    write_test_figures(evaluation.figures, folder / TEST_FIGURES)
    (folder / TEST_RANKS).unlink(missing_ok=True)
    if evaluation.ranks is not None:
        write_test_ranks(evaluation.ranks, folder / TEST_RANKS)
    (folder / TEST_AUC).unlink(missing_ok=True)
    if evaluation.auc is not None:
        write_test_auc(evaluation.auc, folder / TEST_AUC)
    learned = Learned(module, rankers[held_out.ships], summary.calibration, run.training_data.split.test_from)
    write_bundle(run, learned, folder / BUNDLE)
    positions = read_position_effects(run.folder("rank"), held_out.ships)
    ledger = replace(evaluation.ledger, positions=positions)
    write_text_atomically(folder / LEDGER, ledger.to_json())
    step_run.log_metrics(ledger_metrics(ledger))
    step_run.log_artifact(folder / LEDGER)


def read_auc(run: Run) -> AucPerQuery | None:
    """AUC of each impression of the test, as the step left it; None without impressions."""
    path = run.folder("evaluate") / TEST_AUC
    return read_test_auc(path) if path.is_file() else None


def read_ledger(run: Run) -> Ledger:
    """The ledger that the step left in its folder."""
    return Ledger.from_json((run.folder("evaluate") / LEDGER).read_text())
