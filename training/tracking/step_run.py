"""A run in MLflow to log to: parameters, metrics, curves, plots, the ledger, the data."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl
from mlflow import MlflowClient
from mlflow.entities import Dataset, DatasetInput, InputTag, Metric, Param, Run, RunTag
from mlflow.utils.validation import MAX_DATASET_SCHEMA_SIZE

from feature_store import EVENTS, IMPRESSIONS, ITEMS, USERS, Store
from feature_store.addresses import redact, without_secrets
from feature_store.schema import FACTS, ITEM_CHANGES, ITEM_VECTORS, Table
from training.evaluation.ledger import HEADLINE_METRIC, Ledger
from training.tracking.mlflow_names import mlflow_name, parameter_text, tag_text
from training.tracking.parameters import flat_parameters

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

# MLflow refuses larger batches.
_PARAMS_PER_BATCH = 100
_METRICS_PER_BATCH = 1000

_TABLES = (ITEMS, ITEM_CHANGES, EVENTS, IMPRESSIONS, USERS, FACTS)


@dataclass(frozen=True)
class StepRun:
    """A run in MLflow to log to: a step's, or the parent's.

    Names and values are written as MLflow takes them, see `training.tracking.mlflow_names`: an "@" becomes "_at_".
    """

    run_id: str
    client: MlflowClient
    reused: bool = False
    """Whether the step's outputs are those of an earlier run with the same key, so that there is nothing to do."""
    key: str = ""
    """Of the step's work, see `step_key`; empty for a parent run."""

    def log_params(self, parameters: DataclassInstance | Mapping[str, Any]) -> None:
        """Logs parameters; those of nested dicts and dataclasses as `outer.inner`.

        A parameter that the run already has, such as one of `mlflow run`, keeps its value: MLflow allows no change.
        """
        known = self.client.get_run(self.run_id).data.params
        values = {mlflow_name(name): redact(str(value)) for name, value in flat_parameters(parameters).items()}
        params = [Param(name, parameter_text(value)) for name, value in values.items()]
        new = [param for param in params if param.key not in known]
        for start in range(0, len(new), _PARAMS_PER_BATCH):
            self.client.log_batch(self.run_id, params=new[start : start + _PARAMS_PER_BATCH])

    def log_metrics(
        self, metrics: Mapping[str, float], *, model_id: str | None = None, dataset: Dataset | None = None
    ) -> None:
        """Logs metrics, except NaN and infinite ones. `model_id` and `dataset` tie them to a logged model and to data.

        The data must be an input of the run, see `log_dataset`.
        """
        now = _now_ms()
        tied = {"model_id": model_id}
        if dataset is not None:
            tied |= {"dataset_name": dataset.name, "dataset_digest": dataset.digest}
        self._log_metrics([Metric(mlflow_name(name), value, now, 0, **tied) for name, value in metrics.items()])

    def log_curve(self, name: str, values: Sequence[float], *, steps: Sequence[int] | None = None) -> None:
        """Logs a metric per training step or boosting round, from step 1 on; or at these steps."""
        now = _now_ms()
        places = range(1, len(values) + 1) if steps is None else steps
        self._log_metrics(
            [Metric(mlflow_name(name), float(value), now, step) for step, value in zip(places, values, strict=True)]
        )

    def log_ledger(self, ledger: Ledger, *, model_id: str | None = None) -> None:
        """Logs `ledger.json`, and its figures as `ledger_metrics` names them.

        With `model_id` they are tied to that model and, if the run has logged its data, to the table of the test
        queries.
        """
        dataset = self._test_table(ledger) if model_id else None
        self.log_metrics(ledger_metrics(ledger), model_id=model_id, dataset=dataset)
        self.log_text(ledger.to_json(), "ledger.json")

    def log_text(self, text: str, name: str) -> None:
        """Logs a text file."""
        self.client.log_text(self.run_id, text, name)

    def log_artifact(self, path: str | Path, *, folder: str | None = None) -> None:
        """Logs a file, or a folder with all its content, under `folder`."""
        self.client.log_artifact(self.run_id, str(path), folder)

    def log_dataset(
        self,
        store: str,
        versions: Mapping[str, int],
        digest: str,
        *,
        vectors: str = "",
        context: str = "training",
    ) -> None:
        """Logs the store's tables at these versions: schema, row count and folder of each, and the store's digest.

        `vectors` names the vectors of items that are read; "" if none are.
        """
        opened = Store.open(store)
        wanted = (*_TABLES, ITEM_VECTORS) if vectors else _TABLES
        datasets = [
            _table(opened, table, versions[table.name], digest, vectors) for table in wanted if table.name in versions
        ]
        tags = [InputTag("mlflow.data.context", context)]
        self.log_inputs([DatasetInput(dataset, tags) for dataset in datasets])
        self.set_tags(store_tags(opened.path, versions, digest))

    def log_inputs(self, inputs: Sequence[DatasetInput]) -> None:
        """Logs data that were described before, such as those of another run."""
        if inputs:
            self.client.log_inputs(self.run_id, list(inputs))

    def inputs(self) -> list[DatasetInput]:
        """The data that the run has logged."""
        return dataset_inputs(self.client.get_run(self.run_id))

    def _test_table(self, ledger: Ledger) -> Dataset | None:
        wanted = IMPRESSIONS.name if ledger.protocol.candidates == "impressions" else EVENTS.name
        return next((entry.dataset for entry in self.inputs() if entry.dataset.name == wanted), None)

    def set_tags(self, tags: Mapping[str, str]) -> None:
        """Sets tags of the run; a tag that it already has takes the new value."""
        self.client.log_batch(self.run_id, tags=[RunTag(key, tag_text(value)) for key, value in tags.items()])

    def _log_metrics(self, metrics: Sequence[Metric]) -> None:
        finite = [metric for metric in metrics if math.isfinite(metric.value)]
        for start in range(0, len(finite), _METRICS_PER_BATCH):
            self.client.log_batch(self.run_id, metrics=finite[start : start + _METRICS_PER_BATCH])


def dataset_inputs(run: Run) -> list[DatasetInput]:
    """The data that a run has logged."""
    return list(run.inputs.dataset_inputs) if run.inputs else []


def store_tags(path: str, versions: Mapping[str, int], digest: str) -> dict[str, str]:
    """A store and what of it a run reads, as tags."""
    return {
        "recmem.store": without_secrets(path),
        "recmem.store_digest": digest,
        "recmem.store_versions": json.dumps(dict(versions)),
    }


def ledger_metrics(ledger: Ledger) -> dict[str, float]:
    """A ledger's figures by the names that they have in MLflow.

    `<metric>/<ranking>` such as `ndcg@10/ranker_with_match`, and `<metric>/retrieval`. Of the lift `lift/<metric>`, the
    ends of its 95% interval as `lift_low/<metric>` and `lift_high/<metric>`, and its parts as `lift_<part>/<metric>`.
    """
    metrics = {}
    for metric, lift in ledger.lift.items():
        metrics[f"lift/{metric}"] = lift.difference
        metrics[f"lift_low/{metric}"] = lift.ci95[0]
        metrics[f"lift_high/{metric}"] = lift.ci95[1]
    for name, part in ledger.parts.items():
        metrics[f"lift_{name.replace(' ', '_')}/{HEADLINE_METRIC}"] = part.difference
    # The rankings that learn the most come last in the ledger, and first where MLflow lists metrics.
    metrics |= {f"{metric}/{row.name}": value for row in reversed(ledger.rows) for metric, value in row.metrics.items()}
    return metrics | {f"{metric}/retrieval": value for metric, value in ledger.retrieval.items()}


def _table(store: Store, table: Table, version: int, digest: str, vectors: str) -> Dataset:
    from mlflow.data.delta_dataset_source import DeltaDatasetSource
    from mlflow.data.polars_dataset import from_polars

    frame = store.read(table, version=version)
    if table == ITEM_VECTORS:
        frame = frame.filter(pl.col("space") == vectors)
    source = DeltaDatasetSource(path=f"{without_secrets(store.path)}/{table.name}", delta_table_version=version)
    described = from_polars(frame, source=source, name=table.name, digest=digest).to_dict()
    n_columns = frame.width
    while len(described["schema"]) > MAX_DATASET_SCHEMA_SIZE:
        # MLflow refuses longer ones: the first columns then stand for all of them.
        n_columns //= 2
        first = frame[:, :n_columns]
        described["schema"] = from_polars(first, source=source, name=table.name, digest=digest).to_dict()["schema"]
    return Dataset(**described)


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
