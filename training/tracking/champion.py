"""The champion in MLflow's registry: the version that a new one is compared with, its bundle, and its successor."""

from __future__ import annotations

import tempfile
from pathlib import Path

from mlflow import MlflowClient
from mlflow.exceptions import MlflowException

from recmem.serving.bundle import copy_bundle
from recmem.serving.champions import champion_of, crown
from recmem.serving.registry import REGISTRY, bundle_at, tracking_at
from recmem.serving.version_table import REASON_TAG, VERDICT_TAG
from training.evaluation.queries_after_training import MEASURED_BUNDLE
from training.evaluation.verdict import VERDICT, BundleKind, Champion, Verdict
from training.tracking.tracker import Tracker

PROMOTED_TAG = "recmem.promoted"
"""Tag of a version: whether it became champion when it was registered."""


def reigning_champion(client: MlflowClient, name: str) -> Champion | None:
    """The champion of the registered model; None if there is none."""
    version = champion_of(client, name)
    if version is None:
        return None
    return Champion(version, str(client.get_model_version(name, version).run_id or ""))


def champion_bundle(client: MlflowClient, name: str, champion: Champion, folder: Path) -> tuple[Path, BundleKind]:
    """The champion's measured bundle, downloaded into the folder; the one that ships if no other was kept."""
    if _keeps_measured_bundle(client, champion.run_id):
        return Path(client.download_artifacts(champion.run_id, MEASURED_BUNDLE, str(folder))), "measured"
    return shipped_champion(client, name, champion, folder), "shipped"


def shipped_champion(client: MlflowClient, name: str, champion: Champion, folder: Path) -> Path:
    """The bundle that the champion ships, downloaded into the folder."""
    with tracking_at(client.tracking_uri), bundle_at(f"{REGISTRY}{name}/{champion.version}") as downloaded:
        copy_bundle(downloaded, folder / "bundle")
    return folder / "bundle"


def _keeps_measured_bundle(client: MlflowClient, run_id: str) -> bool:
    """Whether the run has it: those of an earlier recmem have not, and a run may have been deleted."""
    try:
        return bool(run_id) and bool(client.list_artifacts(run_id, MEASURED_BUNDLE))
    except MlflowException:
        return False


def keep_measured_bundle(tracker: Tracker, bundle: Path) -> None:
    """Logs the measured bundle to the parent run, so that a later training can compare itself with it."""
    tracker.parent.log_artifact(bundle)


def apply_verdict(tracker: Tracker, name: str, version: str, verdict: Verdict) -> bool:
    """Makes the version champion if the verdict says so; whether it did. The verdict is kept in tags and an artifact.

    If another version became champion after the comparison, this one stays a challenger, unless the policy is `always`.
    """
    client = tracker.client
    compared = None if verdict.champion is None else verdict.champion.version
    present = champion_of(client, name)
    words = verdict.words
    promotes = verdict.promotes
    if promotes and present != compared and verdict.policy != "always":
        promotes = False
        words = f"refused: version {present} became champion while this one was compared with {compared or 'none'}"
    if promotes:
        crown(client, name, version)
    tags = {PROMOTED_TAG: str(promotes).lower(), VERDICT_TAG: words, REASON_TAG: verdict.reason}
    if compared is not None:
        tags["against_version"] = compared
    tags |= verdict.figure_tags()
    for tag, value in tags.items():
        client.set_model_version_tag(name, version, tag, value)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, VERDICT)
        path.write_text(verdict.to_json())
        tracker.parent.log_artifact(path)
    return promotes
