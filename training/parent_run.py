"""What the parent run of a training carries in MLflow, beside what its steps log to runs of their own."""

from __future__ import annotations

from pathlib import Path

from mlflow.utils.mlflow_tags import MLFLOW_RUN_NOTE

from training.configuration.config_text import config_toml
from training.configuration.given_settings import USUAL_NAME
from training.evaluation.ablation import Ablation
from training.evaluation.verdict import VERDICT
from training.fitting.fit_ranker import lightgbm_parameters
from training.report.ablation_text import choice_sentence
from training.report.findings import headline
from training.report.ships_text import what_ships_sentence
from training.report.verdict_text import verdict_sentences
from training.run import INTAKE, Run, TrainingResult
from training.steps.ingest import RECEIPTS
from training.steps.report import FIGURES, FOLDS, REPORT
from training.tracking.parameters import logged_parameters
from training.tracking.run_name import data_name, run_name
from training.tracking.step_run import StepRun, store_tags
from training.tracking.tracker import Tracker

RUN_TAG = "recmem.run"
"""Tag of a parent run: `training`, or the name of the only step that it was started for."""
DATA_TAG = "recmem.data"
"""Tag of a parent run: the name of its data."""
ABLATION_TAG = "recmem.ablation"
"""Tag of a parent run: which kinds its ablation has switched over."""
TRAINING = "training"
CLICKS_BY_POSITION = "click_times/position"
"""Metric: how many times as likely the same item is to be clicked at a position as at the first; the position is the
step."""


def name_of_run(run: Run) -> str:
    """The name of a training that begins now: `<data>-<date>`."""
    return run_name(name_of_data(run))


def name_of_data(run: Run) -> str:
    """What the run's data are called, see `training.tracking.run_name`."""
    return data_name({str(name): table for name, table in run.tables.given().items()}, run.store.path, run.out)


def log_config(run: Run, tracker: Tracker, *, kind: str = TRAINING) -> None:
    """Logs all settings to the parent run, by their names and as a file that `--config` takes, and what the run is.

    Those outside any section have names such as `training.seed`. LightGBM's parameters are there by its own names too,
    so that a run can be compared with those of other LightGBM rankers.
    """
    tracker.parent.set_tags({RUN_TAG: kind, DATA_TAG: name_of_data(run)})
    tracker.parent.log_params(logged_parameters(run.config))
    tracker.parent.log_params(lightgbm_parameters(run.config.ranker))
    tracker.parent.log_text(config_toml(run.config), USUAL_NAME)


def log_intake(run: Run, tracker: Tracker, ingest: StepRun) -> None:
    """Logs the data as the step `ingest` has described them, and its receipts, whether it has run or was reused."""
    tracker.parent.log_inputs(ingest.inputs())
    tracker.parent.set_tags(
        {
            "recmem.read_at": run.intake.read_at,
            **store_tags(run.store.path, run.intake.versions, run.intake.digest),
        }
    )
    for name in (INTAKE, RECEIPTS):
        tracker.parent.log_artifact(run.folder("ingest") / name)


def log_data(run: Run, tracker: Tracker) -> None:
    """Logs the data to a parent that has none yet, such as that of a single step."""
    if not tracker.parent.inputs():
        vectors = run.config.vectors_name
        tracker.parent.log_dataset(str(run.store.path), run.intake.versions, run.intake.digest, vectors=vectors)


def log_results(run: Run, tracker: Tracker, result: TrainingResult) -> None:
    """Logs report, figures, verdict and what became of the model, whether the steps have run or were reused."""
    parent = tracker.parent
    for path in (run.out / REPORT, run.folder("compare") / VERDICT, *_figures(run)):
        parent.log_artifact(path, folder=FIGURES if path.suffix == ".png" else None)
    parent.log_metrics(result.verdict.figures())
    if result.folds is not None:
        parent.log_artifact(run.out / FOLDS)
        parent.log_metrics(result.folds.metrics())
        for name, values in result.folds.series().items():
            parent.log_curve(name, values)
    if result.ledger.ablation:
        log_ablation(Ablation.from_document(result.ledger.ablation), run, parent)
    placed = {each.first: each.times for each in result.ledger.positions if each.first is not None}
    if placed:
        parent.log_curve(CLICKS_BY_POSITION, list(placed.values()), steps=list(placed))
    # Last, since MLflow shows metrics in this order: what the model is worth comes first.
    parent.log_metrics(run.intake.metrics())
    tags = {
        "recmem.version": f"{run.config.registered_name} {result.version}",
        "recmem.verdict": result.verdict.words,
        "recmem.ships": result.ledger.ships,
        MLFLOW_RUN_NOTE: description(result, tracker.reused),
    }
    if tracker.reused:
        tags["recmem.reused_steps"] = ", ".join(tracker.reused)
    parent.set_tags(tags)


def log_ablation(ablation: Ablation, run: Run, parent: StepRun) -> None:
    """Logs what each kind is worth, what was chosen, and the settings that the training went on with.

    Parameters stay those that were given, as MLflow allows no change: those that were chosen are `chosen.<setting>`.
    """
    parent.log_metrics(ablation.metrics())
    parent.log_params({f"chosen.{name}": value for name, value in ablation.changed.items()})
    parent.set_tags({ABLATION_TAG: choice_sentence(ablation)})
    parent.log_artifact(run.out / USUAL_NAME)


def description(result: TrainingResult, reused: dict[str, str]) -> str:
    """The run in a few sentences of Markdown; `reused` has links by step."""
    figures = " ".join(filter(None, [headline(result.ledger), what_ships_sentence(result.ledger)]))
    outcome = f"{verdict_sentences(result.verdict)[0]} {result.registration}"
    paragraphs = [figures, outcome]
    if reused:
        paragraphs.append(f"Steps whose inputs have not changed were reused: {', '.join(reused.values())}.")
    return "\n\n".join(paragraphs)


def _figures(run: Run) -> list[Path]:
    return sorted((run.folder("report") / FIGURES).glob("*.png"))
