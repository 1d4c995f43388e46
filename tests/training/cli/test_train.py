"""`recmem train`: what it leaves, and tables that are refused."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import get_args

import polars as pl
import pytest

import small_training
from command_line import DONE, REFUSED, WRONG_USE, Outcome
from conftest import IsolatedMlflow
from recmem.text.encoder_tuning import TuningKind
from training.cli.train import how_to_open
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
    assert "The model ranks with the text features: on 15 later queries of the ranker's windows they change" in message
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
        (["--pooling", "max"], WRONG_USE, "--pooling: expected 'mean', 'cls' or 'last', got 'max'"),
        (["--max-tokens", "3"], WRONG_USE, "--max-tokens: expected an integer >= 4, got 3"),
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
        (("--folds", "0"), "Invalid value for '--folds': Input should be greater than or equal to 1"),
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
    for path in (tmp_path / "run" / "measured_bundle").iterdir():
        assert path.read_bytes() == (tmp_path / "run" / "bundle" / path.name).read_bytes(), path.name
