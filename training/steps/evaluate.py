"""The step `evaluate`: ranks the test queries, saves the bundle, and writes the ledger and the report."""

from __future__ import annotations

from importlib.metadata import version

from feature_store.addresses import without_secrets
from feature_store.atomic_files import write_text_atomically
from feature_store.timestamps import iso_time
from recmem.matching.match_module import MatchConfig
from recmem.matching.matcher import Matcher
from recmem.ranking.pair_features import PairFeatures
from recmem.ranking.ranker import Ranker
from recmem.serving.bundle import Bundle, BundleConfig, save_bundle
from recmem.serving.model import Model
from recmem.text.encoder_tuning import tuned_fingerprint
from training.evaluation.evaluate import evaluate_rankings
from training.evaluation.ledger import WITH_MATCH, WITH_SIMILARITY, WITHOUT_MATCH, Ledger
from training.report.content import ReportContent
from training.report.figure_files import to_png
from training.report.html import render_report
from training.report.plots import curves_figure, importance_figure, lift_figure, slices_figure
from training.run import Run
from training.steps.rank import RankSummary, read_held_out
from training.steps.report_content import report_content
from training.tracking.figures_file import TEST_FIGURES, write_test_figures
from training.tracking.step_run import StepRun, ledger_metrics
from training.training_data import ranking_data

BUNDLE = "bundle"
LEDGER = "ledger.json"
REPORT = "report.html"

SELF_TEST_TEXTS = 32
"""Texts whose vectors the bundle carries for its self-test."""
SELF_TEST_QUERIES = 4
"""Queries whose pairs the bundle carries for its self-test."""


def evaluate(run: Run, step_run: StepRun) -> None:
    """Writes `bundle/`, `ledger.json` and `report.html`, and keeps the figures per query for a later comparison.

    Each is written atomically, after an earlier run's ledger and report have been removed: if this run is killed, what
    is left never mixes two runs.
    """
    summary = RankSummary.read(run.folder("rank"))
    held_out = read_held_out(run.folder("rank"))
    matcher = run.matcher("final")
    rankers = {name: run.ranker(name) for name in (WITHOUT_MATCH, WITH_SIMILARITY, WITH_MATCH)}
    with run.progress.stage("Evaluating on the test window", None) as advance:
        evaluation = evaluate_rankings(
            run.training_data,
            matcher,
            rankers,
            summary.pooling,
            run.config,
            held_out,
            [Matcher.of(module, run.vectors("final"), run.config.memory) for module in run.members("final")],
            advance,
        )
    write_test_figures(evaluation.figures, run.folder("evaluate") / TEST_FIGURES)
    for name in (REPORT, LEDGER):
        (run.out / name).unlink(missing_ok=True)
    _save_bundle(run, summary, rankers[held_out.ships])
    model = Model.load(run.out / BUNDLE, store=run.pinned)
    content = report_content(run, model, rankers[held_out.ships].importance(), summary)
    write_text_atomically(run.out / LEDGER, evaluation.ledger.to_json())
    write_text_atomically(run.out / REPORT, render_report(evaluation.ledger, content))
    _log(run, step_run, evaluation.ledger, content)


def _save_bundle(run: Run, summary: RankSummary, ranker: Ranker) -> None:
    module = run.module("final")
    learned = run.tuned.tensors("final")
    config = _bundle_config(run, summary, module.config)
    bundle = Bundle(config, module, ranker, {} if learned is None else learned[1])
    save_bundle(
        bundle,
        run.out / BUNDLE,
        sample_vectors=run.vectors("final")[:SELF_TEST_TEXTS],
        sample_pairs=_self_test_pairs(run),
    )


def _bundle_config(run: Run, summary: RankSummary, match: MatchConfig) -> BundleConfig:
    training_data = run.training_data
    dataset = training_data.dataset
    learned = run.tuned.tensors("final")
    return BundleConfig(
        encoder=run.config.encoder,
        fingerprint=training_data.fingerprint,
        text_columns=dataset.catalogue.text_columns,
        number_columns=dataset.catalogue.number_columns,
        match=match,
        memory=run.config.memory,
        retrieval=run.config.retrieval,
        dataset=dataset.config,
        calibration=summary.calibration,
        store=without_secrets(run.store.path),
        store_versions=run.pinned.versions(),
        learned_until=training_data.split.test_from,
        recmem_version=version("recmem"),
        # Not the wall clock: the same training writes the same bundle.
        created=iso_time(dataset.clock),
        tuning=None if learned is None else learned[0],
        tuned_fingerprint=None if learned is None else tuned_fingerprint(training_data.fingerprint, *learned),
    )


def _self_test_pairs(run: Run) -> PairFeatures:
    """A few pairs of the ranker's windows."""
    split = run.training_data.split
    matcher = run.matcher("final")
    _, data = ranking_data(
        run.training_data, matcher, split.ranker_from, split.test_from, SELF_TEST_QUERIES, run.config
    )
    return data.pairs


def _log(run: Run, step_run: StepRun, ledger: Ledger, content: ReportContent) -> None:
    step_run.log_metrics(ledger_metrics(ledger))
    figures = {
        "lift": lift_figure(ledger),
        "slices": slices_figure(ledger),
        "importance": importance_figure(content.importance, match_features=content.match_features),
        "learning_curves": curves_figure(content.curves),
    }
    for name, figure in figures.items():
        step_run.log_figure(to_png(figure), f"{name}.png")
    for file in (LEDGER, REPORT):
        step_run.log_artifact(run.out / file)
