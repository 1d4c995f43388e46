"""`train` from Python: frames give what files give, nothing is printed, unusable input is refused in words."""

from __future__ import annotations

import inspect
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import mlflow
import pandas as pd
import polars as pl
import pytest

import recmem
import small_training
from conftest import IsolatedMlflow
from feature_store import DataError
from forked_child import in_child
from training.api import train
from training.config import TrainingConfig
from training.configuration.all_settings import OPTIONS
from training.pipeline import STEPS, step_key_of
from training.progress import Silent
from training.run import TrainingResult, open_run
from training.tables import Tables
from training.training_features import FIXED_OPTIONS, training_features


@pytest.fixture(autouse=True)
def default_tracking(monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs are tracked in their own folder, whatever the environment is."""
    for name in ("MLFLOW_TRACKING_URI", "MLFLOW_REGISTRY_URI", "MLFLOW_EXPERIMENT_ID", "MLFLOW_EXPERIMENT_NAME"):
        monkeypatch.delenv(name, raising=False)


def reused_steps(result: TrainingResult) -> set[str]:
    """The steps that the newest run has reused."""
    client = mlflow.MlflowClient(f"sqlite:///{result.out / 'mlflow.db'}")
    experiment = client.get_experiment_by_name("recmem")
    runs = client.search_runs([experiment.experiment_id], order_by=["attributes.start_time DESC"])
    steps = [run for run in runs if "recmem.step" in run.data.tags][: len(STEPS)]
    return {run.data.tags["recmem.step"] for run in steps if "recmem.reused_from" in run.data.tags}


@pytest.mark.timeout(600)
def test_frames_of_all_three_kinds_give_the_ledger_of_the_files(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    expected = (small_training.trained() / "run" / "ledger.json").read_bytes()
    items = small_training.items()
    events = small_training.events()
    capfd.readouterr()
    whole = train(items, events, out=tmp_path / "run")
    assert capfd.readouterr() == ("", "")
    assert (whole.out / "ledger.json").read_bytes() == expected
    assert reused_steps(whole) == set()
    assert recmem.load(whole.bundle).recommend(["curl"], k=3).height == 3
    # The same rows from another library are duplicates to the store: the steps after the ingest are reused.
    for frames in ((items.to_pandas(), events.to_pandas()), (items.to_arrow(), events.to_arrow())):
        result = train(*frames, out=tmp_path / "run")
        receipts = (result.out / "work" / "ingest" / "receipts.txt").read_text()
        assert "items: 0 new, 21 duplicate, 0 rejected of 21 rows" in receipts
        assert "events: 0 new, 180 duplicate, 0 rejected of 180 rows" in receipts
        assert (result.out / "ledger.json").read_bytes() == expected
        assert reused_steps(result) >= {"encode", "match", "rank", "evaluate", "refit", "report"}


def test_ingest_of_the_same_frames_is_reused_and_of_other_rows_is_not(tmp_path: Path) -> None:
    def key(items: object, events: object) -> str:
        tables = Tables.of(items, events, None)
        return step_key_of(open_run(tables, tmp_path, None, TrainingConfig(), Silent()), "ingest")

    items = small_training.items()
    events = small_training.events()
    assert key(items, events) == key(items.clone(), events.clone())
    assert key(items.to_arrow(), events.to_pandas()) == key(items.to_arrow(), events.to_pandas())
    assert len({key(items, events), key(items[1:], events), key(items, events[1:])}) == 3


def test_neither_tables_nor_a_store_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"items, events: expected both, or a store that holds them, got neither\."):
        train(items=small_training.items(), out=tmp_path)


@pytest.mark.parametrize(
    ("items", "message"),
    [
        (small_training.items().rename({"item_id": "sku"}), r"items\.item_id: expected the column"),
        (small_training.items().clear(), r"items: expected at least one row, got 0 rows"),
        (small_training.items().select("item_id").to_pandas(), r"items: expected at least one text column"),
        (pd.DataFrame({"item_id": ["a", 1, b"c"], "title": "A"}), r"items: expected one type in a column, got several"),
        ([{"item_id": "a"}], r"items: expected a polars, pandas or Arrow frame, got list"),
    ],
)
def test_unusable_frames_are_refused_with_the_column_and_the_remedy(items: Any, message: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=message):
        train(items, small_training.events(), out=tmp_path)


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({"candidates": 0}, "candidates: expected 1 to 1,000,000, got 0"),
        ({"seed": -1}, "seed: expected 0 to 2,147,483,647, got -1"),
        ({"tune_encoder": "some"}, "tune_encoder: expected one of auto, off, last, lora, .*, got 'some'"),
        ({"negative_to": 4.0}, r"negative_to: expected less than signals.positive_from \(4\.0\)"),
        ({"positive_from": float("nan")}, "positive_from: expected a finite number, got nan"),
        ({"positive_events": "view"}, "positive_events: expected a list of names of events, got 'view'"),
        (
            {"positive_events": ["view"], "negative_events": ["View"]},
            "positive_events, negative_events: expected each event in one of them, got 'view' in both",
        ),
    ],
)
def test_settings_out_of_range_are_refused(setting: dict[str, Any], message: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=message):
        train(pl.DataFrame(), pl.DataFrame(), out=tmp_path, **setting)


def test_shape_of_the_match_module_has_its_defaults_in_one_place() -> None:
    from recmem.matching.match_module import MatchConfig

    assert TrainingConfig().match_config(dim=384) == MatchConfig()


@pytest.mark.parametrize(
    ("settings", "name"),
    [
        ({"candidates": 10.5}, "candidates"),
        ({"candidates": "many"}, "candidates"),
        ({"seed": "a"}, "seed"),
        ({"positive_from": "4"}, "positive_from"),
    ],
)
def test_settings_of_another_type_are_refused_at_once(tmp_path: Path, settings: dict[str, Any], name: str) -> None:
    with pytest.raises(ValueError, match=rf"{name}: expected a (whole )?number.*, got"):
        train(small_training.items(), small_training.events(), out=tmp_path, **settings)
    assert list(tmp_path.iterdir()) == []


def test_training_in_a_fork_is_refused_before_anything_is_imported_or_read(tmp_path: Path) -> None:
    pl.DataFrame({"n": [1]}).select(pl.col("n").sum())  # the pool of polars runs
    items = pl.DataFrame({"item_id": ["a"], "title": ["b"]})
    out = tmp_path / "run"
    answer = in_child(lambda: train(items=items, events=None, out=out))
    assert answer.startswith("DataError: process: expected one that loads recmem's models and stores itself")
    assert not out.exists()


def test_a_store_that_is_not_there_is_not_created_without_tables(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="expected a store, got none"):
        train(out=tmp_path / "run", store=tmp_path / "typo")
    assert not (tmp_path / "typo").exists()


def test_a_lazy_frame_that_cannot_be_collected_is_refused_in_words(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="events: expected a lazy frame that can be collected, got"):
        train(small_training.items(), pl.scan_parquet(tmp_path / "nope.parquet"), out=tmp_path / "run")


def test_an_encoder_that_is_not_there_is_refused_in_words(tmp_path: Path, isolated_mlflow: IsolatedMlflow) -> None:
    with pytest.raises(DataError, match="encoder: expected"):
        train(small_training.items(), small_training.events(), out=tmp_path / "run", encoder=tmp_path / "nope")


class TakenError(Exception):
    """Ends a call once it has handed on its arguments."""


def test_every_argument_for_a_setting_is_handed_on_under_its_name(monkeypatch: pytest.MonkeyPatch) -> None:
    taken: dict[str, Any] = {}

    def take(_: object, *, options: dict[str, Any]) -> None:
        taken.update(options)
        raise TakenError

    given: dict[str, Any] = dict(zip(OPTIONS, OPTIONS, strict=True)) | {"weight": {"click": 0.5}}
    monkeypatch.setattr("training.api.effective_config", take)
    with pytest.raises(TakenError):
        train(store="store", out="run", **given)
    assert taken == given | {"weight": ["click=0.5"]}
    monkeypatch.setattr("training.training_features.effective_config", take)
    shared = {name: given[name] for name in inspect.signature(training_features).parameters.keys() & given.keys()}
    rows = pl.DataFrame({"user_id": ["u"], "item_id": ["i"], "timestamp": ["2026-01-01"]})
    taken.clear()
    with pytest.raises(TakenError):
        training_features(rows, store="store", out="run", **(shared | {"folds": 5}))
    # There, `folds` are those of the cross-fit, and no setting.
    del shared["folds"]
    assert taken == shared | {"weight": ["click=0.5"]} | FIXED_OPTIONS


def test_a_configuration_is_taken_as_a_file_or_a_dict_and_arguments_override_it(tmp_path: Path) -> None:
    path = tmp_path / "recmem.toml"
    path.write_text("folds = 3\n[ranker]\nleaves = 15\n")
    with pytest.raises(DataError, match="folds: expected a log with room for 3 test windows"):
        train(small_training.items(), small_training.events(), out=tmp_path / "run", config=path)
    with pytest.raises(DataError, match="folds: expected a log with room for 2 test windows"):
        train(small_training.items(), small_training.events(), out=tmp_path / "run", config={"folds": 3}, folds=2)


def test_all_faults_of_a_configuration_and_of_the_arguments_are_one_error(tmp_path: Path) -> None:
    config = {"ranker": {"leavs": 31}, "memory.recent": 0}
    with pytest.raises(ValueError, match="expected") as refused:
        train(pl.DataFrame(), pl.DataFrame(), out=tmp_path / "run", config=config, seed=-1)
    assert [line.partition(":")[0] for line in str(refused.value).splitlines()] == [
        "ranker.leavs",
        "memory.recent",
        "seed",
    ]
    assert not (tmp_path / "run").exists()


def test_importing_train_loads_no_mlflow_and_calling_it_turns_off_its_telemetry_only(tmp_path: Path) -> None:
    code = """
import os, sys
from training.api import train
assert "mlflow" not in sys.modules
try:
    train([], [], out=sys.argv[1])
except ValueError as error:
    print(error)
print(os.environ["MLFLOW_DISABLE_TELEMETRY"], os.environ.get("MPLBACKEND"))
"""
    kept = {name: value for name, value in os.environ.items() if name not in ("MPLBACKEND", "MLFLOW_DISABLE_TELEMETRY")}
    kept["PYTHONPATH"] = str(Path(__file__).parents[2])
    command = [sys.executable, "-W", "ignore", "-c", code, str(tmp_path)]
    for given, expected in ((None, "true"), ("1", "1")):
        environment = kept if given is None else kept | {"MLFLOW_DISABLE_TELEMETRY": given}
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
        assert "items: expected a polars, pandas or Arrow frame" in done.stdout
        assert done.stdout.splitlines()[-1] == f"{expected} None"
