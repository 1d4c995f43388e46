"""The step `calibrate`: completes the bundle that ships with the scale of `match_score` and with its reference.

The scale is that of the reigning champion as long as it is true (`training.fitting.steady_scale`). A champion that
cannot be loaded or scored never ends a training: then the scale is the one that was fitted.
"""

from __future__ import annotations

import json
import shutil
import tempfile
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
from mlflow import MlflowClient

from feature_store.arrays import Float64Array
from feature_store.atomic_files import write_text_atomically
from recmem.dataset.query_batch import QueryBatch
from recmem.matching.calibration import Calibration
from recmem.serving.bundle import copy_completed, load_bundle
from recmem.serving.model import Model
from training.evaluation.verdict import Champion
from training.fitting.steady_scale import Scale, steady_scale
from training.run import Run
from training.steps.champion_fault import champion_fault
from training.steps.evaluate import BUNDLE, read_ledger
from training.steps.reference_rows import ReferenceRows, bundle_reference, reference_rows
from training.steps.refit import learned_bundle
from training.tracking.champion import shipped_champion
from training.tracking.step_run import StepRun

SCALE = "scale.json"
"""In the folder of the step: which scale `match_score` has, and why."""
_FLAT = (
    "match_score: the same for all candidates, because on held-out queries the items with a higher raw match score were"
    " not chosen more often. It says nothing here: leave it out, or see docs/troubleshooting.md, 'The lift is small'."
)


def calibrate(run: Run, step_run: StepRun) -> None:
    """Leaves the bundle that ships, and `scale.json`."""
    source = learned_bundle(run)
    bundle = load_bundle(source)
    with run.progress.stage("Taking the reference of the model", 1) as advance:
        rows = reference_rows(run, bundle)
        scale = _scale(run, step_run.client, rows, bundle.config.calibration)
        calibrated = replace(bundle, config=replace(bundle.config, calibration=scale.calibration))
        reference = bundle_reference(run, calibrated, rows)
        advance(1)
    folder = run.folder("calibrate")
    shutil.rmtree(folder / BUNDLE, ignore_errors=True)
    copy_completed(source, folder / BUNDLE, scale.calibration, reference)
    write_text_atomically(folder / SCALE, json.dumps(asdict(scale), indent=1) + "\n")
    step_run.log_params({"calibrate.scale": scale.kind, "calibrate.reason": scale.reason})
    if scale.ratio is not None:
        step_run.log_metrics({"scale_ratio/match_score": scale.ratio})


def shipped_bundle(run: Run) -> Path:
    """The bundle that ships, as the step left it."""
    return run.folder("calibrate") / BUNDLE


def scale_warnings(run: Run) -> tuple[str, ...]:
    """A warning if `match_score` of the bundle that ships does not vary; empty if it does."""
    scale = json.loads((run.folder("calibrate") / SCALE).read_text())
    return () if scale["calibration"]["slope"] > 0 else (_FLAT,)


def _scale(run: Run, client: MlflowClient, rows: ReferenceRows, fitted: Calibration) -> Scale:
    champion = run.champion
    if champion is None:
        return Scale(fitted, "fitted", "There is no champion whose scale could be kept.")
    try:
        log_odds = _champion_log_odds(run, client, champion, rows)
    except Exception as error:  # broad on purpose: whatever is wrong with an earlier model, the new one is there
        why = champion_fault(error, run, client)
        return Scale(fitted, "fitted", f"Version {champion.version} cannot be scored: {why}.")
    n_positives = read_ledger(run).protocol.positives
    raw = rows.pairs.values["match_raw"]
    return steady_scale(raw, fitted, log_odds, version=champion.version, n_positives=n_positives)


def _champion_log_odds(run: Run, client: MlflowClient, champion: Champion, rows: ReferenceRows) -> Float64Array:
    """The champion's calibrated log-odds of the rows' pairs: float64[pair]."""
    with tempfile.TemporaryDirectory(prefix="recmem-champion-") as folder:
        bundle = shipped_champion(client, run.config.registered_name, champion, Path(folder))
        # Over the same versions of the tables, so that users and items have the same rows.
        model = Model.load(bundle, store=run.pinned)
    batch = QueryBatch.of(model.dataset, rows.queries.users, rows.queries.times)
    raw = model.matcher.pair_features(batch.histories, rows.pairs.candidates)["match_raw"]
    calibration = model.bundle.config.calibration
    return calibration.slope * raw.astype(np.float64) + calibration.intercept
