"""Registers a bundle in MLflow: a pyfunc model of the run, and a version of a registered model."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

import mlflow.pyfunc
import polars as pl
from mlflow.entities import LoggedModelOutput, LoggedModelStatus
from mlflow.exceptions import MlflowException
from mlflow.models import Model, ModelSignature
from mlflow.types import ColSpec, DataType, ParamSchema, ParamSpec, Schema, TensorSpec
from mlflow.types.schema import AnyType
from mlflow.utils.mlflow_tags import MLFLOW_MODEL_VERSIONS

import recmem
from recmem.dataset.candidate_checks import CANDIDATE_COLUMNS
from recmem.serving.bundle import BundleConfig
from recmem.serving.champions import CHALLENGER, REGISTERED_NAME
from recmem.serving.registry import tracking_at
from recmem.serving.request_columns import text_inputs
from recmem.serving.served_answer import flags
from recmem.serving.version_table import LIFT_JSON_TAG, LIFT_TAGS, NDCG_TAG, SHIPS_TAG, SHIPS_WORDS, TEXT_TAG
from recmem.text.adapters import ADAPTER_KINDS
from recmem.text.encoder_files import DEFAULT_ENCODER
from recmem.text.merged_adapters import MERGED_KINDS
from training.evaluation.ledger import HEADLINE_METRIC, Ledger
from training.report.findings import headline
from training.report.ships_text import what_ships_sentence
from training.tracking.tracker import Tracker

LOGGED_NAME = "recmem"
"""Name of the logged model, which belongs to one run. The registered model's is a setting."""

_REQUIRED = ("user_id",)
"""The columns of every request; candidates need `item_id` too, which recommendations do not."""
_SERVED_BY_PEFT = frozenset(ADAPTER_KINDS) - frozenset(MERGED_KINDS)
"""Kinds of tuned encoders that need the extra in serving too: a prefix. Others are part of the weights by then."""
_EXAMPLE_ROWS = 5
_ALREADY_THERE = ("RESOURCE_ALREADY_EXISTS", "ALREADY_EXISTS")

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


def register(
    tracker: Tracker, bundle: str | Path, ledger: Ledger, example: pl.DataFrame, *, name: str = REGISTERED_NAME
) -> str:
    """Logs the bundle as a pyfunc of the parent run and registers it as `name`; the version, now `challenger`.

    `example` has candidates as `recmem.Model.rank` takes them. Its first rows become the input example; scoring them
    gives the outputs of the signature, and proves that the model works. The ledger's figures are tied to the model.
    """
    with _logged_model(tracker) as (model_id, folder):
        save_pyfunc(bundle, folder, example, Model(run_id=tracker.parent.run_id, model_id=model_id))
    tracker.parent.log_ledger(ledger, model_id=model_id)
    return new_version(tracker, model_id, ledger, name=name)


def save_pyfunc(bundle: str | Path, folder: Path, example: pl.DataFrame, described: Model | None = None) -> None:
    """Saves the bundle as a pyfunc in a new folder; `described` is what MLflow knows of it already."""
    example = example.head(_EXAMPLE_ROWS)
    model = recmem.load(bundle)
    scored = model.rank_with_report(example)
    answered = scored.frame.with_columns(pl.Series(name, values) for name, values in flags(scored).items())
    config = model.bundle.config
    own = [feature.name for feature in config.dataset.candidate_features]
    mlflow.pyfunc.save_model(
        folder,
        mlflow_model=described,
        python_model=str(Path(recmem.__file__).with_name("pyfunc.py")),
        artifacts={"bundle": str(bundle)},
        signature=_signature(answered, [*own, *(text_inputs(config.text_columns) if config.vectors is None else ())]),
        input_example=example.to_pandas(),
        pip_requirements=_requirements(config),
        model_config={"device": "auto", "store": "", "stores": []},
    )


def new_version(tracker: Tracker, model_id: str, ledger: Ledger, *, name: str = REGISTERED_NAME) -> str:
    """Registers a logged model of the parent run as `name`; its version, which is now `challenger`."""
    client = tracker.client
    try:
        client.create_registered_model(name, description="A ranker with a text memory per user.")
    except MlflowException as error:
        if error.error_code not in _ALREADY_THERE:
            raise
    with tracking_at(client.tracking_uri):  # MLflow's database registry reads that setting, not the client's
        created = client.create_model_version(
            name,
            f"models:/{model_id}",
            run_id=tracker.parent.run_id,
            model_id=model_id,
            description=" ".join(filter(None, [headline(ledger), what_ships_sentence(ledger)])),
            tags=_tags(ledger),
        )
    # This tag links the logged model to its version in MLflow's pages.
    linked = [{"name": name, "version": created.version}]
    client.set_logged_model_tags(model_id, {MLFLOW_MODEL_VERSIONS: json.dumps(linked)})
    client.set_registered_model_alias(name, CHALLENGER, created.version)
    return str(created.version)


def _tags(ledger: Ledger) -> dict[str, str]:
    """A version's figures: flat, for MLflow's pages and `recmem versions`, and the lift as JSON as before.

    NDCG@10 is that of the ranker that ships, the lift what was measured, whichever ships.
    """
    lift = ledger.lift[HEADLINE_METRIC]
    tags = {
        LIFT_JSON_TAG: json.dumps(asdict(lift)),
        SHIPS_TAG: ledger.ships,
        TEXT_TAG: SHIPS_WORDS.get(ledger.ships, ledger.ships),
        NDCG_TAG: f"{ledger.shipped_lift.with_:.6g}",
    }
    figures = (lift.difference, *lift.ci95)
    return tags | {tag: f"{figure:.6g}" for tag, figure in zip(LIFT_TAGS, figures, strict=True)}


@contextmanager
def _logged_model(tracker: Tracker) -> Iterator[tuple[str, Path]]:
    """A new model of the parent run: its id, and a folder into which the block saves it."""
    client = tracker.client
    run_id = tracker.parent.run_id
    # With the run's parameters, so that models can be compared by them too.
    params = client.get_run(run_id).data.params
    created = client.create_logged_model(tracker.experiment_id, name=LOGGED_NAME, source_run_id=run_id, params=params)
    model_id = created.model_id
    status = LoggedModelStatus.FAILED
    try:
        with tempfile.TemporaryDirectory() as folder:
            yield model_id, Path(folder, "model")
            client.log_model_artifacts(model_id, str(Path(folder, "model")))
        status = LoggedModelStatus.READY
    finally:
        client.finalize_logged_model(model_id, status)
    client.log_outputs(run_id, [LoggedModelOutput(model_id, step=0)])


def _signature(scored: pl.DataFrame, columns: Sequence[str]) -> ModelSignature:
    """Columns that the pyfunc takes, beside those of all candidates, and returns.

    All inputs are of any type, and recmem reads them as everywhere: MLflow would turn an id of null into the text
    "None", and 7.9 into the id 7.
    """
    inputs: list[ColSpec | TensorSpec] = [
        ColSpec(AnyType(), name, required=name in _REQUIRED)  # type: ignore[no-untyped-call]
        for name in dict.fromkeys((*CANDIDATE_COLUMNS, *columns))
    ]
    outputs: list[ColSpec | TensorSpec] = [
        ColSpec(_TYPES[dtype], name) for name, dtype in scored.schema.items() if dtype in _TYPES
    ]
    params = [
        ParamSpec("output", DataType.string, "rank"),
        ParamSpec("store", DataType.string, ""),
        ParamSpec("k", DataType.long, 0),
        ParamSpec("explain", DataType.long, 0),
    ]
    return ModelSignature(Schema(inputs), Schema(outputs), ParamSchema(params))


def _requirements(config: BundleConfig) -> list[str]:
    """What a server installs: this version of recmem, with the extras that the bundle's encoder needs."""
    extras = ["minilm"] if config.encoder.name == DEFAULT_ENCODER and config.vectors is None else []
    if config.tuning is not None and config.tuning.kind in _SERVED_BY_PEFT:
        extras.append("peft")
    named = f"[{','.join(extras)}]" if extras else ""
    return [f"recmem{named}=={config.recmem_version}"]
