"""The alias `champion` in the registry: set to a new version if `training.evaluation.promotion` finds it better."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

import numpy as np
import polars as pl
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException

from training.evaluation.ledger import WITH_MATCH, Lift
from training.evaluation.promotion import TestFigures, Verdict, better_than, first_verdict
from training.tracking.figures_file import TEST_FIGURES, read_test_figures, write_test_figures
from training.tracking.registry import LIFT_TAG, MODEL, SHIPS_TAG
from training.tracking.tracker import Tracker

CHAMPION = "champion"
"""Alias of the version to serve."""
PROMOTED_TAG = "recmem.promoted"
VERDICT_TAG = "recmem.verdict"


def promote(tracker: Tracker, version: str, figures: TestFigures, *, generator: np.random.Generator) -> Verdict:
    """Makes the version `champion` if it is better than the present one on the same test queries; the verdict.

    Without a champion, it is enough that the lift in the ledger that the version was registered with is not negative.
    The figures are kept as an artifact of the parent run, the verdict in the version's tags.
    """
    client = tracker.client
    # Kept whatever the verdict: the version may be made champion by hand, and later ones are compared with it.
    _keep_figures(tracker, figures)
    champion = client.get_registered_model(MODEL).aliases.get(CHAMPION)
    if champion is None:
        verdict = first_verdict(*_registered_lift(client, version))
    else:
        verdict = _verdict_against(str(champion), client, figures, generator)
    if verdict.better:
        client.set_registered_model_alias(MODEL, CHAMPION, version)
    client.set_model_version_tag(MODEL, version, PROMOTED_TAG, str(verdict.better).lower())
    client.set_model_version_tag(MODEL, version, VERDICT_TAG, verdict.reason)
    return verdict


def _registered_lift(client: MlflowClient, version: str) -> tuple[Lift, str]:
    """The lift that the version was registered with, and the ranker that it ships."""
    tags = client.get_model_version(MODEL, version).tags
    lift = json.loads(tags[LIFT_TAG])
    return Lift(**lift | {"ci95": tuple(lift["ci95"])}), tags.get(SHIPS_TAG, WITH_MATCH)


def _verdict_against(
    champion: str, client: MlflowClient, figures: TestFigures, generator: np.random.Generator
) -> Verdict:
    try:
        kept = _kept_figures(client, champion)
    except (MlflowException, OSError, pl.exceptions.PolarsError, KeyError) as error:
        return Verdict(False, f"not comparable: the test figures of version {champion} cannot be read ({error})")
    verdict = better_than(kept, figures, generator=generator)
    return Verdict(verdict.better, f"against version {champion}, {verdict.reason}", verdict.lift)


def _keep_figures(tracker: Tracker, figures: TestFigures) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, TEST_FIGURES)
        write_test_figures(figures, path)
        tracker.parent.log_artifact(path)


def _kept_figures(client: MlflowClient, version: str) -> TestFigures:
    run_id = str(client.get_model_version(MODEL, version).run_id)
    with tempfile.TemporaryDirectory() as folder:
        return read_test_figures(Path(client.download_artifacts(run_id, TEST_FIGURES, folder)))
