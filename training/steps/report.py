"""The step `report`: puts what a run has made where readers look for it: bundles, ledger, folds and report.

The report gets the facts of its run, with the model's version, once the model is registered (`publish_report`).
"""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

from feature_store import DataError
from feature_store.atomic_files import write_text_atomically
from recmem.serving.bundle import copy_bundle, remove_bundle
from recmem.serving.model import Model
from training.configuration.config_text import config_toml
from training.configuration.given_settings import USUAL_NAME
from training.evaluation.folds import Folds
from training.evaluation.ledger import Ledger
from training.evaluation.queries_after_training import MEASURED_BUNDLE
from training.report.content import ReportContent
from training.report.figure_files import to_png
from training.report.html import render_report
from training.report.plots import curves_figure, importance_figure, rankings_figure, slices_figures
from training.report.run_stamp import PLACE, RunStamp, stamped
from training.run import Run
from training.steps.calibrate import scale_warnings, shipped_bundle
from training.steps.compare import read_verdict
from training.steps.evaluate import BUNDLE, LEDGER, read_ledger
from training.steps.rank import RankSummary
from training.steps.report_content import report_content, settled
from training.tracking.step_run import StepRun

REPORT = "report.html"
FOLDS = "folds.json"
"""In the folder `work/folds` and, for readers, in the run's folder."""
ABLATION = "ablation.json"
"""In the folder `work/ablate`: the entry `ablation` of `ledger.json`."""
FIGURES = "figures"
"""In the folder `work/report`: the plots as PNG, for MLflow."""


def report(run: Run, step_run: StepRun) -> None:
    """Writes `bundle/`, `measured_bundle/`, `ledger.json`, `report.html`, `recmem.toml` and, with folds, `folds.json`.

    Each is written atomically, after all of an earlier run but its bundle has been removed: if this run is killed, what
    is left never mixes two runs. `work/report` keeps the report as the step has written it.
    """
    ledger = replace(read_ledger(run), ablation=read_ablation(run))
    folds = read_folds(run)
    for name in (REPORT, LEDGER, FOLDS, USUAL_NAME):
        (run.out / name).unlink(missing_ok=True)
    remove_bundle(run.out / MEASURED_BUNDLE)
    copy_bundle(shipped_bundle(run), run.out / BUNDLE)
    copy_bundle(run.folder("evaluate") / BUNDLE, run.out / MEASURED_BUNDLE)
    summary = RankSummary.read(run.folder("rank"))
    model = Model.load(run.out / BUNDLE, store=run.pinned)
    content = report_content(run, model, run.ranker(ledger.ships).importance(), summary, folds)
    content = replace(content, verdict=read_verdict(run), warnings=(*content.warnings, *scale_warnings(run)))
    if folds is not None:
        write_text_atomically(run.out / FOLDS, folds.to_json())
    write_text_atomically(run.out / USUAL_NAME, config_toml(settled(run.config)))
    write_text_atomically(run.out / LEDGER, ledger.to_json())
    page = render_report(ledger, content)
    write_text_atomically(run.folder("report") / REPORT, page)
    write_text_atomically(run.out / REPORT, page)
    _write_figures(run, ledger, content)


def is_published(run: Run) -> bool:
    """Whether `report.html` is there and has the facts of its run."""
    path = run.out / REPORT
    return path.is_file() and PLACE not in path.read_text(encoding="utf-8")


def publish_report(run: Run, stamp: RunStamp) -> None:
    """Writes `report.html` once more: what the step left, with the facts of the run at its top."""
    page = (run.folder("report") / REPORT).read_text(encoding="utf-8")
    write_text_atomically(run.out / REPORT, stamped(page, stamp))


def report_outputs(run: Run) -> list[Path]:
    """What the step leaves and later code does not change: of the report, the page in `work/report`."""
    names = (BUNDLE, MEASURED_BUNDLE, LEDGER, USUAL_NAME, *((FOLDS,) if run.config.folds > 1 else ()))
    return [*(run.out / name for name in names), run.folder("report") / REPORT]


def read_folds(run: Run) -> Folds | None:
    """The figures of the folds; None if the run has none. Raises DataError if they were not measured."""
    if run.config.folds == 1:
        return None
    path = run.folder("folds") / FOLDS
    if not path.is_file():
        expected = f"the figures of {run.config.folds} folds"
        raise DataError(
            f"folds: expected {expected} in {path}, got none. Train with all steps at once, or with one fold."
        )
    return Folds.from_json(path.read_text())


def read_ablation(run: Run) -> dict[str, Any]:
    """The ledger's entry `ablation`; empty if the run has none. Raises DataError if it was not measured."""
    if not run.config.ablate:
        return {}
    path = run.folder("ablate") / ABLATION
    if not path.is_file():
        raise DataError(
            f"ablate: expected the figures of an ablation in {path}, got none. Train with all steps at once, or "
            "without an ablation."
        )
    document: dict[str, Any] = json.loads(path.read_text())
    return document


def _write_figures(run: Run, ledger: Ledger, content: ReportContent) -> None:
    """Leaves the plots in a folder, from where every run that uses this step logs them."""
    figures = {
        "rankings": rankings_figure(ledger),
        **{f"slices_{metric}".replace("@", "_at_"): figure for metric, figure in slices_figures(ledger).items()},
        "importance": importance_figure(content.importance, text_features=content.text_features),
        "learning_curves": curves_figure(content.curves),
    }
    folder = run.folder("report") / FIGURES
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    for name, figure in figures.items():
        (folder / f"{name}.png").write_bytes(to_png(figure))
