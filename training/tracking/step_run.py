"""A run in MLflow to log to: parameters, curves, figures, the ledger, the data."""

from __future__ import annotations

import json
import math
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, is_dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlflow import MlflowClient
from mlflow.entities import Dataset, DatasetInput, InputTag, Metric, Param, RunTag

from feature_store import EVENTS, IMPRESSIONS, ITEMS, Store
from feature_store.schema import Table
from training.evaluation.ledger import Ledger
from training.tracking.step_key import plain_parameters

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

_PARAMS_PER_BATCH, _METRICS_PER_BATCH = 100, 1000  # MLflow's limits
_TABLES = (ITEMS, EVENTS, IMPRESSIONS)


@dataclass(frozen=True)
class StepRun:
    """A run in MLflow to log to: a step's, or the parent's. Names may hold an "@", which MLflow sees as "_at_"."""

    run_id: str
    client: MlflowClient
    reused: bool = False
    """Whether the step's outputs stand already, from an earlier run with the same key: there is nothing to do."""

    def log_params(self, parameters: DataclassInstance | Mapping[str, Any]) -> None:
        """Logs parameters; those of nested dicts and dataclasses as `outer.inner`.

        A parameter that the run has already keeps its value, as MLflow demands: so do those of `mlflow run`.
        """
        known = self.client.get_run(self.run_id).data.params
        params = [Param(_name(key), str(value)) for key, value in _flat(plain_parameters(parameters))]
        new = [param for param in params if param.key not in known]
        for start in range(0, len(new), _PARAMS_PER_BATCH):
            self.client.log_batch(self.run_id, params=new[start : start + _PARAMS_PER_BATCH])

    def log_metrics(self, metrics: Mapping[str, float], *, model_id: str | None = None) -> None:
        """Logs figures; NaN and infinite ones are left out. `model_id` ties them to a logged model."""
        now = _now_ms()
        self._log_metrics([Metric(_name(key), value, now, 0, model_id=model_id) for key, value in metrics.items()])

    def log_curve(self, name: str, values: Sequence[float]) -> None:
        """Logs a figure per epoch or boosting round, from step 1 on."""
        now = _now_ms()
        self._log_metrics([Metric(_name(name), float(value), now, step) for step, value in enumerate(values, start=1)])

    def log_ledger(self, ledger: Ledger, *, model_id: str | None = None) -> None:
        """Logs `ledger.json`, and figures as `<row>/<metric>`, `lift/<metric>`, `retrieval/<metric>`."""
        self.log_metrics(dict(_ledger_figures(ledger)), model_id=model_id)
        self.client.log_text(self.run_id, ledger.to_json(), "ledger.json")

    def log_figure(self, png: bytes, name: str) -> None:
        """Logs a plot as `figures/<name>.png`; the ending may be in the name already."""
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, f"{name.removesuffix('.png')}.png")
            path.write_bytes(png)
            self.log_artifact(path, folder="figures")

    def log_artifact(self, path: str | Path, *, folder: str | None = None) -> None:
        """Logs a file, or a folder with all that is in it, under `folder`."""
        self.client.log_artifact(self.run_id, str(path), folder)

    def log_dataset(self, store: str, versions: Mapping[str, int], digest: str, *, context: str = "training") -> None:
        """Logs the store's tables at these versions: schema, row count and folder of each, and the store's digest."""
        opened = Store.open(store)
        datasets = [_table(opened, table, versions[table.name], digest) for table in _TABLES if table.name in versions]
        tags = [InputTag("mlflow.data.context", context)]
        self.client.log_inputs(self.run_id, [DatasetInput(dataset, tags) for dataset in datasets])
        at_versions = json.dumps(dict(versions))
        self.set_tags(
            {"recmem.store": opened.path, "recmem.store_digest": digest, "recmem.store_versions": at_versions}
        )

    def set_tags(self, tags: Mapping[str, str]) -> None:
        """Sets tags of the run; a tag that is there takes the new value."""
        self.client.log_batch(self.run_id, tags=[RunTag(key, value) for key, value in tags.items()])

    def _log_metrics(self, metrics: Sequence[Metric]) -> None:
        finite = [metric for metric in metrics if math.isfinite(metric.value)]
        for start in range(0, len(finite), _METRICS_PER_BATCH):
            self.client.log_batch(self.run_id, metrics=finite[start : start + _METRICS_PER_BATCH])


def _table(store: Store, table: Table, version: int, digest: str) -> Dataset:
    from mlflow.data.delta_dataset_source import DeltaDatasetSource
    from mlflow.data.polars_dataset import from_polars

    frame = store.read(table, version=version)
    source = DeltaDatasetSource(path=f"{store.path}/{table.name}", delta_table_version=version)
    described = from_polars(frame, source=source, name=table.name, digest=digest).to_dict()
    return Dataset(**described)


def _ledger_figures(ledger: Ledger) -> Iterator[tuple[str, float]]:
    for row in ledger.rows:
        yield from ((f"{row.name}/{metric}", value) for metric, value in row.metrics.items())
    for metric, lift in ledger.lift.items():
        yield f"lift/{metric}", lift.difference
        yield f"lift_low/{metric}", lift.ci95[0]
        yield f"lift_high/{metric}", lift.ci95[1]
    yield from ((f"retrieval/{metric}", value) for metric, value in ledger.retrieval.items())


def _flat(parameters: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in parameters.items():
        if isinstance(value, Mapping) or (is_dataclass(value) and not isinstance(value, type)):
            yield from _flat(plain_parameters(value), f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def _name(name: str) -> str:
    return name.replace("@", "_at_")


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
