"""`recmem train`: what it leaves, and tables that are refused."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import get_args

import mlflow
import polars as pl
import pytest

import small_training
from command_line import DONE, REFUSED, WRONG_USE, Outcome
from conftest import IsolatedMlflow
from recmem.serving.bundle import read_config
from recmem.serving.manifest import MANIFEST
from recmem.text.encoder_tuning import TuningKind
from training.cli.train import how_to_open
from training.configuration.all_settings import all_settings
from training.configuration.effective import effective_config
from training.pipeline import STEPS
from training.report.labels import row_label


@pytest.fixture(scope="module")
def run() -> Path:
    return small_training.trained() / "run"


def test_train_leaves_bundle_ledger_and_report_and_tells_the_lift(run: Path) -> None:
    assert (run / "bundle" / "bundle.json").is_file()
    assert (run / "report.html").is_file()
    ledger = json.loads((run / "ledger.json").read_text())
    message = (run.parent / "train.txt").read_text()
    assert {"protocol", "rows", "lift", "slices", "retrieval"} <= set(ledger)
    for row in ledger["rows"]:
        assert row_label(row["name"]) in message
        assert f"{row['ndcg@10']:.3f}" in message
    assert "MLflow: mlflow ui --backend-store-uri sqlite:///" in message


def test_train_tells_which_ranker_ships_and_that_the_encoder_stayed_frozen() -> None:
    message = " ".join((small_training.trained() / "train.txt").read_text().split())
    assert "The ranker with text features ships: on 15 held-out queries before the test" in message
    assert "The text encoder stayed frozen: tuning was off." in message


def no_file(tables: dict[str, Path]) -> None:
    tables["events"].unlink()


def no_parquet(tables: dict[str, Path]) -> None:
    tables["events"].write_text("user_id,item_id,timestamp\nu,i,1\n")


def empty_file(tables: dict[str, Path]) -> None:
    tables["items"].write_bytes(b"")


def folder_for_a_file(tables: dict[str, Path]) -> None:
    tables["items"].unlink()
    tables["items"].mkdir()


def wrong_columns(tables: dict[str, Path]) -> None:
    small_training.events().rename({"user_id": "customer"}).write_parquet(tables["events"])


def no_text(tables: dict[str, Path]) -> None:
    small_training.items().select("item_id", price=1.0).write_parquet(tables["items"])


def no_rows(tables: dict[str, Path]) -> None:
    small_training.events().clear().write_parquet(tables["events"])


def nan_timestamps(tables: dict[str, Path]) -> None:
    small_training.events().with_columns(timestamp=float("nan")).write_parquet(tables["events"])


def one_moment(tables: dict[str, Path]) -> None:
    small_training.events().with_columns(timestamp=0).write_parquet(tables["events"])


def one_item(tables: dict[str, Path]) -> None:
    small_training.items().head(1).write_parquet(tables["items"])


def items_nobody_has(tables: dict[str, Path]) -> None:
    small_training.items().with_columns(item_id="other-" + pl.col("item_id")).write_parquet(tables["items"])


def swapped_tables(tables: dict[str, Path]) -> None:
    tables["items"].rename(tables["items"].with_name("kept"))
    tables["events"].rename(tables["items"])
    tables["items"].with_name("kept").rename(tables["events"])


def rows_of_another_table(tables: dict[str, Path]) -> None:
    small_training.items().write_parquet(tables["events"])


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (no_file, "events.path: expected"),
        (no_parquet, "events.path: expected"),
        (empty_file, "items.path: expected"),
        (folder_for_a_file, "items.path: expected"),
        (wrong_columns, "events.user_id: expected the column"),
        (no_text, "items: expected at least one text column"),
        (no_rows, "events"),
        (nan_timestamps, "events"),
        (one_moment, "events.timestamp: expected at least 3 distinct timestamps"),
        (one_item, ": expected"),
        (items_nobody_has, "events.item_id: expected ids of items.item_id, got none of them in 180 rows"),
        (swapped_tables, "events, items: the table given as items has these columns. Are the two swapped?"),
        (rows_of_another_table, "events.user_id: expected the column"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_train_refuses_tables_that_cannot_be_used_in_words(
    spoil: Callable[[dict[str, Path]], None], message: str, tmp_path: Path, isolated_mlflow: IsolatedMlflow
) -> None:
    tables = dict(zip(("items", "events"), small_training.write_tables(tmp_path / "tables"), strict=True))
    spoil(tables)
    outcome = Outcome("train", "--items", tables["items"], "--events", tables["events"], "--out", tmp_path / "run")
    assert outcome.code == REFUSED
    assert message in outcome.err


@pytest.mark.parametrize(
    ("options", "code", "message"),
    [
        (["--encoder", "no/such/folder"], REFUSED, "encoder: expected a local folder or a Hugging Face id"),
        (["--pooling", "max"], WRONG_USE, "--pooling: expected one of mean, cls, last or \"auto\", got 'max'"),
        (["--max-tokens", "3"], WRONG_USE, '--max-tokens: expected 4 to 1,000,000 or "auto", got 3'),
    ],
)
def test_train_refuses_an_encoder_before_it_reads_a_table(
    options: list[str], code: int, message: str, tmp_path: Path
) -> None:
    items, events = small_training.write_tables(tmp_path)
    outcome = Outcome("train", "--items", items, "--events", events, "--out", tmp_path / "run", *options)
    assert outcome.code == code
    assert message in outcome.err
    assert not (tmp_path / "run").exists()


def test_train_refuses_a_place_that_is_a_file(tmp_path: Path) -> None:
    items, events = small_training.write_tables(tmp_path)
    outcome = Outcome("train", "--items", items, "--events", events, "--out", items)
    assert outcome.code == REFUSED
    assert "out: expected a writable folder" in outcome.err


def test_events_of_items_that_the_items_table_lacks_are_reported(
    tmp_path: Path, isolated_mlflow: IsolatedMlflow
) -> None:
    items, events = small_training.write_tables(tmp_path / "tables")
    known = pl.read_parquet(events)
    unknown = known.head(3).with_columns(item_id=pl.lit("not-in-items"))
    nameless = known.head(40).with_columns(user_id=pl.lit(""))
    pl.concat([known, unknown, nameless]).write_parquet(events)
    outcome = Outcome("train", "--items", items, "--events", events, "--out", tmp_path / "run")
    assert outcome.code == DONE
    assert "3 events were not used: their items are not in the items table" in outcome.err
    assert "events: 183 new, 0 duplicate, 40 rejected of 223 rows" in outcome.out
    assert "40 x user_id: expected an id, got empty text (user_id '' in row 183)" in outcome.out
    assert (
        "40 of 223 rows of events were rejected and not used: user_id: expected an id, got empty text." in outcome.err
    )
    assert "events.item_id: 3 of 183 rows (2%) are unmatched" in outcome.out
    report = (tmp_path / "run" / "report.html").read_text()
    assert "in row 183" in report
    again = Outcome("train", "--items", items, "--events", events, "--out", tmp_path / "run")
    assert "by an earlier run; neither the tables nor the store have changed since" in again.out
    assert "40 rejected of 223 rows" in again.out
    assert "40 of 223 rows of events were rejected" in again.err


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        ("http://me:hunter2@tracking:5000", "http://tracking:5000"),
        ("postgresql://me:hunter2@db/mlflow", 'mlflow ui --backend-store-uri "$MLFLOW_TRACKING_URI"'),
        ("postgresql://db/mlflow", "mlflow ui --backend-store-uri postgresql://db/mlflow"),
    ],
)
def test_the_way_to_the_runs_is_shown_without_a_password(
    address: str, shown: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", address)
    assert how_to_open(Path("run")) == shown


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--folds", "0"), "--folds: expected at least 1, got 0. The default is 1."),
        (("--folds", "8"), "--folds: expected 1 to 7, got 8. Each takes a test period of 10% of the events"),
        (("--folds", "2.5"), "Invalid value for '--folds'"),
        (
            ("--tune-encoder", "some"),
            "--tune-encoder: expected one of auto, off, last, lora, adalora, ia3, prefix, full, got 'some'.",
        ),
    ],
)
def test_options_out_of_range_are_wrong_use_and_leave_nothing(
    options: tuple[str, ...], words: str, tmp_path: Path
) -> None:
    items, events = small_training.write_tables(tmp_path)
    outcome = Outcome("train", "--items", items, "--events", events, "--out", tmp_path / "run", *options)
    assert outcome.code == WRONG_USE
    assert words in " ".join(outcome.err.split())
    assert not (tmp_path / "run").exists()


def test_help_names_every_way_to_tune_the_encoder_and_how_not_to_refit() -> None:
    shown = Outcome("train", "--help").out
    choices = re.search(r"--tune-encoder\s+(\S+)", shown)
    assert choices is not None
    assert set(choices[1].split("|")) == {"auto", "off", *get_args(TuningKind)}
    assert "--no-refit" in shown


def test_folds_that_the_log_is_too_short_for_are_refused_before_anything_is_learned(tmp_path: Path) -> None:
    items, events = small_training.write_tables(tmp_path)
    outcome = Outcome("train", "--items", items, "--events", events, "--out", tmp_path / "run", "--folds", "3")
    assert outcome.code == REFUSED
    assert "folds: expected a log with room for 3 test windows, one after the other, got" in outcome.err
    assert not (tmp_path / "run" / "work" / "match").exists()


def test_without_a_refit_the_bundle_is_the_measured_one(tmp_path: Path) -> None:
    items, events = small_training.write_tables(tmp_path)
    outcome = Outcome("train", "--items", items, "--events", events, "--out", tmp_path / "run", "--no-refit")
    assert outcome.code == DONE, outcome.err
    measured = tmp_path / "run" / "measured_bundle"
    assert read_config(measured) == read_config(tmp_path / "run" / "bundle")
    # The manifest lists the reference too, which the measured bundle has no use for.
    for path in (path for path in measured.iterdir() if path.name != MANIFEST):
        assert path.read_bytes() == (tmp_path / "run" / "bundle" / path.name).read_bytes(), path.name


def test_a_file_set_and_options_are_taken_in_this_order_and_the_run_keeps_all_of_them(
    tmp_path: Path, isolated_mlflow: IsolatedMlflow
) -> None:
    items, events = small_training.write_tables(tmp_path / "tables")
    (tmp_path / "my.toml").write_text("seed = 1\ntree_members = 1\nrefit = false\n[ranker]\nleaves = 5\nrounds = 20\n")
    tables = ("--items", items, "--events", events)
    given = ("--config", tmp_path / "my.toml", "--set", "ranker.leaves=9", "--set", "seed=2", "--seed", "3")
    outcome = Outcome("train", *tables, "--out", tmp_path / "run", *given)
    assert outcome.code == DONE, outcome.err
    kept = tmp_path / "run" / "recmem.toml"
    config = effective_config(kept)
    assert (config.seed, config.tree_members, config.refit) == (3, 1, False)
    assert (config.ranker.leaves, config.ranker.rounds, config.ranker.l2) == (9, 20, 10.0)

    # Fed back, the file is the same configuration: no step has anything to do.
    again = Outcome("train", *tables, "--out", tmp_path / "run", "--config", kept)
    assert again.code == DONE, again.err
    client = mlflow.MlflowClient(isolated_mlflow.tracking_uri)
    runs = client.search_runs([isolated_mlflow.experiment_id])
    reused = [run for run in runs if "recmem.reused_from" in run.data.tags]
    assert {run.data.tags["recmem.step"] for run in reused} == set(STEPS)
    parents = [run for run in runs if "mlflow.parentRunId" not in run.data.tags]
    assert len(parents) == 2
    for parent in parents:
        parameters = parent.data.params
        assert [parameters[name] for name in ("training.seed", "ranker.leaves", "ranker.l2")] == ["3", "9", "10.0"]
        assert {name if "." in name else f"training.{name}" for name in all_settings()} <= parameters.keys()
        logged = client.download_artifacts(parent.info.run_id, "recmem.toml", str(tmp_path))
        assert Path(logged).read_text() == kept.read_text()


def test_all_faults_of_file_set_and_options_are_wrong_use_and_leave_nothing(tmp_path: Path) -> None:
    items, events = small_training.write_tables(tmp_path)
    (tmp_path / "my.toml").write_text("[ranker]\nleavs = 5\n[memory]\nrecent = 0\n")
    given = ("--config", tmp_path / "my.toml", "--set", "folds=many", "--candidates", "0")
    outcome = Outcome("train", "--items", items, "--events", events, "--out", tmp_path / "run", *given)
    assert outcome.code == WRONG_USE
    assert outcome.err.partition("Error: ")[2].splitlines() == [
        "ranker.leavs (my.toml): expected the name of a setting, got an unknown one. Did you mean ranker.leaves?",
        "memory.recent (my.toml): expected 1 to 200, got 0. Only 200 events are read for a query.",
        "folds (--set): expected a whole number (at least 1), got 'many'. The default is 1.",
        "--candidates: expected 1 to 1,000,000, got 0. Give the number of items per query.",
    ]
    assert not (tmp_path / "run").exists()
