"""The end of a run: registers its model in MLflow, and promotes it if the verdict says so."""

from __future__ import annotations

import json
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

import polars as pl
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException

from feature_store.atomic_files import write_text_atomically
from feature_store.timestamps import iso_time
from recmem.serving.champions import champion_of
from recmem.serving.version_table import DATA_TAG, VERDICT_TAG
from training.evaluation.ledger import Ledger
from training.evaluation.queries_after_training import MEASURED_BUNDLE
from training.evaluation.verdict import Champion
from training.parent_run import name_of_data
from training.report.number_text import day_text
from training.report.run_stamp import RunStamp
from training.run import Run, TrainingResult
from training.steps.calibrate import scale_warnings, shipped_bundle
from training.steps.compare import read_verdict
from training.steps.evaluate import BUNDLE, LEDGER
from training.steps.example_users import queries_of_test_period
from training.steps.rank import RankSummary
from training.steps.refit import RefitSummary, end_of_learning, learned_bundle
from training.steps.report import REPORT, is_published, publish_report, read_folds
from training.tracking.champion import apply_verdict, keep_measured_bundle, reigning_champion
from training.tracking.registry import register
from training.tracking.run_page import run_page
from training.tracking.run_times import seconds_so_far
from training.tracking.step_key import outputs_digest
from training.tracking.tracker import Tracker

EXAMPLE_QUERIES = 3
"""Test queries whose positives are the registered model's input example."""
REGISTERED = "registered.json"
"""In the folder `work/register`: the version that this folder's model was registered as."""
CONTENT_TAG = "recmem.content"
"""Tag of a version: digest of what was learned and measured, two bundles and a ledger."""
BUNDLE_TAG = "recmem.bundle"
"""Tag of a version: digest of the bundle that ships, with its calibration and its reference."""
DATASET_TAG = "dataset"
"""Tag of a version: the name of the data that it has learned from."""


def champion_to_meet(run: Run, client: MlflowClient) -> Champion | None:
    """The champion that the run's model is compared with; for one that is registered already, the one that it was."""
    if registered_before(run, client) is not None:
        return read_verdict(run).champion
    return reigning_champion(client, run.config.registered_name)


def register_run(run: Run, tracker: Tracker) -> TrainingResult:
    """Registers the bundle that ships and applies the verdict, unless this very bundle is registered already."""
    ledger = Ledger.from_json((run.out / LEDGER).read_text())
    name = run.config.registered_name
    verdict = read_verdict(run)
    version = registered_before(run, tracker.client) if ships_as_registered(run) else None
    is_new = version is None
    if version is None:
        version = register(tracker, run.out / BUNDLE, ledger, _example_candidates(run), name=name)
        keep_measured_bundle(tracker, run.out / MEASURED_BUNDLE)
        apply_verdict(tracker, name, version, verdict)
        _tag(run, tracker.client, version)
        registration = f"Registered as version {version} of {name}. {_who_reigns(tracker.client, name, version)}"
    else:
        tracker.parent.log_ledger(ledger)
        registration = (
            f"Nothing has changed since version {version} of {name} was registered: there is no new version. "
            f"{_who_reigns(tracker.client, name, version)}"
        )
    warnings = (*run.training_data.warnings, *RankSummary.read(run.folder("rank")).warnings, *scale_warnings(run))
    # A published report is that of the run which registered this version.
    if is_new or not is_published(run):
        publish_report(run, _run_stamp(tracker, name, version))
    if warnings:
        tracker.parent.log_text("\n".join(warnings) + "\n", "warnings.txt")
    return TrainingResult(
        out=run.out,
        ledger=ledger,
        bundle=run.out / BUNDLE,
        measured_bundle=run.out / MEASURED_BUNDLE,
        report=run.out / REPORT,
        version=version,
        verdict=verdict,
        registration=registration,
        intake=run.intake,
        warnings=warnings,
        encoder=run.encoder_sentence,
        folds=read_folds(run),
    )


def registered_before(run: Run, client: MlflowClient) -> str | None:
    """The version that this folder has registered what was learned and measured as; None if there is none."""
    kept = _registered(run)
    name = run.config.registered_name
    if kept.get("name") != name or kept.get("content") != _content(run):
        return None
    try:
        # It may have been deleted since, or this may be another registry.
        tags = client.get_model_version(name, kept["version"]).tags
    except MlflowException:
        return None
    return str(kept["version"]) if tags.get(CONTENT_TAG) == kept["content"] else None


def ships_as_registered(run: Run) -> bool:
    """Whether the bundle that ships is that of the registered version, calibration and reference included.

    These may change alone: with another release of recmem, or a champion that could not be read before. True if the
    record, of an earlier release, does not say.
    """
    return _registered(run).get("bundle", "") in ("", _bundle_digest(run))


def _run_stamp(tracker: Tracker, name: str, version: str) -> RunStamp:
    """The facts of the run as it ends."""
    client = tracker.client
    run_id = tracker.parent.run_id
    url, command = run_page(client.tracking_uri, tracker.experiment_id, run_id)
    return RunStamp(
        finished_at=datetime.now(UTC).isoformat(timespec="seconds"),
        duration_s=seconds_so_far(tracker),
        reused=tuple(tracker.reused),
        model=f"{name}, version {version}",
        registration=_who_reigns(client, name, version),
        # As it was applied: another version may have become champion meanwhile.
        verdict=client.get_model_version(name, version).tags.get(VERDICT_TAG, ""),
        run_id=run_id,
        run_url=url,
        server_command=command,
    )


def _tag(run: Run, client: MlflowClient, version: str) -> None:
    """Tags a version with what it was made of; the last tag, and the file, say that it is whole."""
    name = run.config.registered_name
    content = _content(run)
    log = run.training_data.dataset.log
    data = f"{len(log):,} events to {day_text(iso_time(end_of_learning(run)))}"
    tags = {f"recmem.refit.{tag}": str(value).lower() for tag, value in asdict(RefitSummary.read(run)).items()}
    tags |= {DATASET_TAG: name_of_data(run), DATA_TAG: data, "data_digest": run.pinned.digest(), CONTENT_TAG: content}
    tags[BUNDLE_TAG] = _bundle_digest(run)
    for tag, value in tags.items():
        client.set_model_version_tag(name, version, tag, value)
    record = {"name": name, "version": version, "content": content, "bundle": tags[BUNDLE_TAG]}
    write_text_atomically(_record(run), json.dumps(record, indent=1) + "\n")


def _record(run: Run) -> Path:
    return run.folder("register") / REGISTERED


def _registered(run: Run) -> dict[str, str]:
    """What the folder notes of its registered version; empty if it has none."""
    try:
        record: dict[str, str] = json.loads(_record(run).read_text())
    except (OSError, ValueError):
        return {}
    return record


def _bundle_digest(run: Run) -> str:
    return outputs_digest([shipped_bundle(run)])


def _content(run: Run) -> str:
    measured = run.folder("evaluate")
    return outputs_digest([learned_bundle(run), measured / BUNDLE, measured / LEDGER])


def _who_reigns(client: MlflowClient, name: str, version: str) -> str:
    champion = champion_of(client, name)
    if champion == version:
        return "It is the champion."
    return "There is no champion." if champion is None else f"The champion is version {champion}."


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
