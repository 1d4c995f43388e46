"""What a training leaves in MLflow: its parent run, the runs of its steps, and the model version."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime

import pytest
from mlflow import MlflowClient
from mlflow.entities import Run
from mlflow.models import Model
from mlflow.utils.file_utils import local_file_uri_to_path

import nightly_log
from tracked_training import N_DAYS, trained
from training.pipeline import STEPS
from training.tracking.experiment import database_uri

METRIC = re.compile(r"[a-z0-9_]+(/[a-z0-9_.]+)?")
"""`<figure>/<what it is of>`, or a figure of the whole run."""
LIGHTGBM = {"num_leaves": "15", "learning_rate": "0.1", "min_data_in_leaf": "300", "num_iterations": "20"}


@pytest.fixture
def client() -> MlflowClient:
    uri = database_uri(trained())
    return MlflowClient(uri, registry_uri=uri)


def experiment(client: MlflowClient) -> str:
    found = client.get_experiment_by_name("recmem")
    assert found is not None
    return str(found.experiment_id)


def parents(client: MlflowClient) -> list[Run]:
    """The two trainings, as docs/tracking.md finds them; the older first."""
    trainings = "tags.`recmem.run` = 'training'"
    return list(client.search_runs([experiment(client)], trainings, order_by=["attributes.start_time ASC"]))


def steps(client: MlflowClient, parent: Run) -> dict[str, Run]:
    nested = f"tags.`mlflow.parentRunId` = '{parent.info.run_id}'"
    return {run.info.run_name: run for run in client.search_runs([experiment(client)], nested)}


def artifacts(client: MlflowClient, run: Run, folder: str | None = None) -> set[str]:
    return {file.path for file in client.list_artifacts(run.info.run_id, folder)}


def test_parent_is_named_by_its_data_and_the_day(client: MlflowClient) -> None:
    for run in parents(client):
        began = datetime.fromtimestamp(run.info.start_time / 1000, UTC).date()
        assert run.info.run_name == f"shop-{began}"
        assert run.data.tags["recmem.data"] == "shop"


def test_parent_carries_settings_data_figures_report_and_verdict_whether_steps_ran_or_were_reused(
    client: MlflowClient,
) -> None:
    ledger = json.loads((trained() / "ledger.json").read_text())
    ndcg = next(row["ndcg@10"] for row in ledger["rows"] if row["name"] == "ranker_with_match")
    both = parents(client)
    assert len(both) == 2
    for run in both:
        assert run.data.params["ranker.leaves"] == "15"
        assert {name: run.data.params[name] for name in LIGHTGBM} == LIGHTGBM
        assert run.data.metrics["ndcg_at_10/ranker_with_match"] == ndcg
        assert run.data.metrics["lift/ndcg_at_10"] == ledger["lift"]["ndcg@10"]["difference"]
        low_high = [run.data.metrics[f"lift_{end}/ndcg_at_10"] for end in ("low", "high")]
        assert low_high == ledger["lift"]["ndcg@10"]["ci95"]
        assert run.data.metrics["rows_read/events"] == len(nightly_log.events_of(N_DAYS))
        assert {"report.html", "verdict.json", "ledger.json", "recmem.toml", "intake.json"} <= artifacts(client, run)
        assert artifacts(client, run, "figures") == {
            f"figures/{name}.png"
            for name in ("rankings", "slices_ndcg_at_10", "slices_recall_at_10", "importance", "learning_curves")
        }
        tags = run.data.tags
        assert (tags["recmem.version"], tags["recmem.verdict"]) == ("shop 1", "promoted: first champion")
        assert "NDCG@10" in tags["mlflow.note.content"]
        inputs = {entry.dataset.name: entry for entry in run.inputs.dataset_inputs}
        assert set(inputs) == {"items", "events"}
        source = json.loads(inputs["events"].dataset.source)
        assert source["path"] == str(trained() / "store" / "events")
        assert inputs["events"].dataset.digest == tags["recmem.store_digest"]


def test_steps_are_children_and_log_no_artifact_of_the_report_twice(client: MlflowClient) -> None:
    for run in parents(client):
        children = steps(client, run)
        assert set(children) == set(STEPS)
        assert artifacts(client, children["report"]) == set()


def test_reused_steps_link_to_the_runs_that_did_their_work(client: MlflowClient) -> None:
    first, second = parents(client)
    origins = steps(client, first)
    for name, run in steps(client, second).items():
        origin = origins[name].info
        assert run.data.tags["recmem.reused_from"] == origin.run_id
        page = f"#/experiments/{origin.experiment_id}/runs/{origin.run_id}"
        link = f"[{name} of {first.info.run_name}]({page})"
        assert run.data.tags["mlflow.note.content"] == f"Reused from the run {link}: nothing has changed since."
        assert link in second.data.tags["mlflow.note.content"]
    assert second.data.tags["recmem.reused_steps"] == ", ".join(STEPS)
    assert "recmem.reused_steps" not in first.data.tags
    ingest = steps(client, second)["ingest"]
    assert {entry.dataset.name for entry in ingest.inputs.dataset_inputs} == {"items", "events"}


def test_metrics_have_one_naming_scheme_and_one_name_each(client: MlflowClient) -> None:
    for parent in parents(client):
        children = steps(client, parent)
        for run in (parent, *children.values()):
            assert [name for name in run.data.metrics if not METRIC.fullmatch(name)] == []
        evaluated = children["evaluate"].data.metrics
        assert {"ndcg_at_10/popularity", "recall_at_200/retrieval", "lift/ndcg_at_10"} <= set(evaluated)
        assert evaluated.items() <= parent.data.metrics.items()
        validated = {f"validation_ndcg_at_10/{name}" for name in ("ranker_with_match", "ranker_without_match")}
        assert validated <= set(children["rank"].data.metrics)
        assert {"match_loss/base", "match_loss/final"} == set(children["match"].data.metrics)


def test_a_setting_has_the_same_name_in_the_parent_and_in_the_steps(client: MlflowClient) -> None:
    parent, _ = parents(client)
    for name, run in steps(client, parent).items():
        # What a step has found out, not what it was told.
        found = {"refit": "refit.", "encode": "encoder.", "calibrate": "calibrate."}
        own = {key for key in run.data.params if name in found and key.startswith(found[name])}
        others = {key: value for key, value in run.data.params.items() if key not in own}
        assert others.items() <= parent.data.params.items()


def test_version_carries_data_signature_parameters_flat_tags_and_description(client: MlflowClient) -> None:
    parent, _ = parents(client)
    (version,) = client.search_model_versions("name = 'shop'")
    ledger = json.loads((trained() / "ledger.json").read_text())
    assert version.run_id == parent.info.run_id
    assert version.tags["dataset"] == "shop"
    assert version.tags["data_digest"] == parent.data.tags["recmem.store_digest"]
    assert {"ndcg_at_10", "lift_ndcg_at_10", "lift_low", "lift_high", "verdict"} <= set(version.tags)
    assert "NDCG@10" in version.description
    (output,) = parent.outputs.model_outputs
    model = client.get_logged_model(output.model_id)
    assert model.params == parent.data.params
    metric = next(metric for metric in model.metrics if metric.key == "lift/ndcg_at_10")
    assert metric.value == ledger["lift"]["ndcg@10"]["difference"]
    assert (metric.dataset_name, metric.dataset_digest) == ("events", version.tags["data_digest"])
    described = Model.load(local_file_uri_to_path(model.artifact_location))
    assert described.signature is not None
    assert "item_id" in described.signature.inputs.input_names()


def test_experiment_opens_on_its_runs_and_says_how_to_find_the_trainings(client: MlflowClient) -> None:
    tags = client.get_experiment(experiment(client)).tags
    assert tags["mlflow.experimentKind"] == "custom_model_development"
    assert "tags.`recmem.run` = 'training'" in tags["mlflow.note.content"]
