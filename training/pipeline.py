"""A training run from tables to a registered model. A step whose inputs have not changed is not run again.

    ingest -> encode -> tune -> match -> rank -> evaluate -> refit -> calibrate -> compare -> report

Steps hand over through files under `<out>/work`, so that each can be run in a process of its own.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import feature_store
import recmem
import training
from feature_store.atomic_files import write_text_atomically
from feature_store.forked_process import refuse_forked
from training.ablation.ablate import ablate
from training.ablation.plan import Plan
from training.config import TrainingConfig
from training.configuration.step_settings import step_parameters
from training.folds import earlier_folds
from training.intake import Intake
from training.parent_run import log_config, log_data, log_intake, log_results, name_of_run
from training.progress import Progress
from training.registration import champion_to_meet, register_run
from training.run import Run, TrainingResult, open_run
from training.run_lock import only_training_in
from training.steps.calibrate import calibrate
from training.steps.compare import compare
from training.steps.encode import encode
from training.steps.evaluate import evaluate
from training.steps.fold_figures import fold_figures
from training.steps.ingest import ingest, store_changed_since_ingest
from training.steps.match import match
from training.steps.rank import rank
from training.steps.refit import refit
from training.steps.report import FIGURES, FOLDS, report, report_outputs
from training.steps.tune import tune
from training.tables import Tables
from training.tracking.parameters import logged_parameters
from training.tracking.step_key import outputs_digest, step_key
from training.tracking.step_run import StepRun
from training.tracking.tracker import Tracker

if TYPE_CHECKING:
    from training.tables import TableInput

STEPS: dict[str, Callable[[Run, StepRun], None]] = {
    "ingest": ingest,
    "encode": encode,
    "tune": tune,
    "match": match,
    "rank": rank,
    "evaluate": evaluate,
    "refit": refit,
    "calibrate": calibrate,
    "compare": compare,
    "report": report,
}
"""Name to function, in the order in which they run."""
LEARNING_STEPS = tuple(name for name in STEPS if name not in ("ingest", "calibrate", "compare", "report"))
"""The steps of a fold: it reads what the run has ingested, and is reported with it."""


def run_training(
    *,
    items: TableInput | None,
    events: TableInput | None,
    impressions: TableInput | None,
    vectors: TableInput | None = None,
    out: Path,
    store: str | None,
    config: TrainingConfig,
    progress: Progress,
    users: TableInput | None = None,
    facts: TableInput | None = None,
    on_intake: Callable[[Intake], None] = lambda _: None,
    on_plan: Callable[[Plan], None] = lambda _: None,
) -> TrainingResult:
    """Runs all steps, each as a child of one MLflow run, and registers the model.

    `on_intake` is called with what was read, before anything is learned from it; `on_plan` with what an ablation will
    measure, before it does.

    Raises DataError if the tables cannot be used, or if another training runs in `out`.
    """
    refuse_forked()
    run = open_run(Tables.of(items, events, impressions, users, vectors, facts), out, store, config, progress)
    with only_training_in(run.out), Tracker.start(out=run.out, run_name=name_of_run(run)) as tracker:
        log_config(run, tracker)
        run_step(run, "ingest", tracker)
        on_intake(run.intake)
        for step in LEARNING_STEPS:
            run_step(run, step, tracker)
            if step == "encode":
                # Before anything is learned: a log that is too short for all folds is refused at once.
                folds = earlier_folds(run)
            if step == "tune" and run.config.ablate:
                ablate(run, tracker, run_step, on_plan)
        if folds:
            _run_folds(run, folds, tracker)
        return finish(run, tracker)


def finish(run: Run, tracker: Tracker) -> TrainingResult:
    """Completes the bundle, compares what was learned with the champion, reports and registers it."""
    log_data(run, tracker)
    run.champion = champion_to_meet(run, tracker.client)
    run_step(run, "calibrate", tracker)
    run_step(run, "compare", tracker)
    run_step(run, "report", tracker)
    result = register_run(run, tracker)
    log_results(run, tracker, result)
    return result


def _run_folds(run: Run, folds: list[Run], tracker: Tracker) -> None:
    """Trains the earlier folds as the run was, and leaves the figures of all."""
    for number, fold in enumerate(folds, start=1):
        for step in LEARNING_STEPS:
            run_step(fold, step, tracker, prefix=f"fold {number} ")
        fold.forget()
    runs = [*folds, run]
    left = {str(n): outputs_digest([fold.folder("evaluate"), fold.folder("refit")]) for n, fold in enumerate(runs)}
    key = step_key("folds", left, {}, (feature_store, recmem, training))
    with tracker.step("folds", key, [run.folder("folds")]) as step_run:
        if not step_run.reused:
            figures = fold_figures(runs)
            write_text_atomically(run.folder("folds") / FOLDS, figures.to_json())
            step_run.log_metrics(figures.metrics())
            for name, values in figures.series().items():
                step_run.log_curve(name, values)


def run_step(run: Run, step: str, tracker: Tracker, *, prefix: str = "") -> None:
    """Runs one step as a child run, or reuses the outputs of an earlier run with the same key.

    `prefix` is put before the child run's name.
    """
    outputs = [*report_outputs(run), run.folder("report") / FIGURES] if step == "report" else [run.folder(step)]
    with tracker.step(f"{prefix}{step}", step_key_of(run, step), outputs) as step_run:
        if not step_run.reused:
            step_run.log_params(logged_parameters(step_parameters(run.config, step)))
            STEPS[step](run, step_run)
    if step == "ingest":
        if step_run.reused:
            run.intake = run.intake.as_reused()
        log_intake(run, tracker, step_run)


def step_key_of(run: Run, step: str) -> str:
    """Digest of all that the step's outputs depend on: tables, settings, earlier steps' outputs, and the code."""
    if step == "ingest":
        inputs = run.tables.digests()
        inputs |= {"path": run.store.path, "store": store_changed_since_ingest(run)}
    else:
        inputs = {"store": run.pinned.digest()}
    if step == "encode":
        # Its name may be a folder, which may hold another encoder by now. Later steps depend on what this one leaves.
        inputs["encoder"] = run.encoder_fingerprint
    if step == "tune":
        # 'auto' depends on the machine.
        inputs["kind"] = (not run.config.vectors_name and run.config.tuning.resolved()) or "off"
    # What ingest leaves is in the store, whose digest is there already.
    names = list(STEPS)
    for earlier in names[1 : names.index(step)]:
        inputs[earlier] = outputs_digest([run.folder(earlier)])
    if step in ("calibrate", "compare"):
        inputs["champion"] = "" if run.champion is None else f"{run.champion.version} {run.champion.run_id}"
    if step == "report" and run.config.ablate:
        inputs["ablation"] = outputs_digest([run.folder("ablate")])
    if step == "report" and run.config.folds > 1:
        inputs["folds"] = outputs_digest([run.folder("folds")])
    return step_key(step, inputs, step_parameters(run.config, step), (feature_store, recmem, training))
