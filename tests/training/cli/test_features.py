"""`recmem features`: a file of rows in, the same rows with match features out, and the model that serves."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest

import cross_fit_log
import recmem
from command_line import DONE, REFUSED, WRONG_USE, Outcome
from recmem.serving.manifest import read_manifest
from recmem.serving.scoring import MATCH_OUTPUTS
from tolerances import close

FEW = cross_fit_log.events().filter(pl.col("user_id").str.ends_with("0"))


@pytest.fixture
def tables(tmp_path: Path) -> list[object]:
    """The arguments that name the tables and rows in `tmp_path`."""
    cross_fit_log.items().write_parquet(tmp_path / "items.parquet")
    FEW.write_parquet(tmp_path / "events.parquet")
    cross_fit_log.rows(FEW).write_parquet(tmp_path / "rows.parquet")
    names = ("items", "events", "rows")
    return [word for name in names for word in (f"--{name}", tmp_path / f"{name}.parquet")]


def test_a_file_of_rows_gets_the_features_that_python_gives(tables: list[object], tmp_path: Path) -> None:
    out = tmp_path / "features.parquet"
    outcome = Outcome("features", *tables, "--out", out, "--folds", 2)
    assert outcome.code == DONE
    rows = cross_fit_log.rows(FEW)
    written = pl.read_parquet(out)
    assert written.select(rows.columns).equals(rows)
    found = recmem.training_features(rows, out=tmp_path / "features", store=tmp_path / "features" / "store", folds=2)
    assert found.reused
    for name in MATCH_OUTPUTS:
        assert written[name].null_count() == found.frame[name].null_count()
        close(written[name].drop_nulls().to_numpy(), found.frame[name].drop_nulls().to_numpy(), "float32")
    n_rows = f"{len(rows):,}"
    assert f"Wrote {n_rows} rows to" in outcome.out
    assert "new rows" in outcome.out
    assert str(found.bundle) in outcome.out
    assert f"{found.n_without:,} rows: not after 2026-01-" in outcome.err
    assert "Their match_score, match_raw and match_prior are null." in outcome.err
    again = Outcome("features", *tables, "--out", tmp_path / "again.parquet", "--run", tmp_path / "features")
    assert again.code == DONE
    assert "with the folds of an earlier run" not in again.out  # five folds are others than two


def test_rows_in_small_chunks_and_mixed_order_give_the_same(tables: list[object], tmp_path: Path) -> None:
    run = tmp_path / "run"
    whole = tmp_path / "whole.parquet"
    parts = tmp_path / "parts.parquet"
    assert Outcome("features", *tables, "--out", whole, "--run", run, "--folds", 1).code == DONE
    outcome = Outcome("features", *tables, "--out", parts, "--run", run, "--folds", 1, "--chunk-rows", 50)
    assert outcome.code == DONE
    assert "with the folds of an earlier run" in outcome.out
    expected = pl.read_parquet(whole)
    for name in MATCH_OUTPUTS:
        written = pl.read_parquet(parts)[name]
        assert written.null_count() == expected[name].null_count()
        close(written.drop_nulls().to_numpy(), expected[name].drop_nulls().to_numpy(), "float32")


def test_neither_tables_nor_a_store_are_wrong_use(tmp_path: Path) -> None:
    outcome = Outcome("features", "--rows", tmp_path / "rows.parquet", "--out", tmp_path / "out.parquet")
    assert outcome.code == WRONG_USE
    assert "--items, --events: expected both, or a --store that holds them" in outcome.err


def test_rows_are_not_overwritten(tables: list[object], tmp_path: Path) -> None:
    outcome = Outcome("features", *tables, "--out", tmp_path / "rows.parquet")
    assert outcome.code == WRONG_USE
    assert "--out: expected a file other than --rows" in outcome.err


def test_rows_without_a_time_are_refused(tables: list[object], tmp_path: Path) -> None:
    FEW.drop("timestamp").write_parquet(tmp_path / "rows.parquet")
    outcome = Outcome("features", *tables, "--out", tmp_path / "features.parquet", "--folds", 1)
    assert outcome.code == REFUSED
    assert "rows.timestamp: expected the column, got none" in outcome.err
    assert not (tmp_path / "features.parquet").exists()
    assert not (tmp_path / "features").exists()


def test_events_are_taken_as_the_options_name_them(tables: list[object], tmp_path: Path) -> None:
    is_odd = pl.int_range(pl.len()) % 20 == 1
    kind = pl.when(is_odd).then(pl.lit("frobbed")).when(pl.int_range(pl.len()) % 20 == 2).then(pl.lit("glanced"))
    FEW.with_columns(kind.otherwise(pl.lit("built")).alias("event")).write_parquet(tmp_path / "events.parquet")
    names = ("--positive-events", "built", "--negative-events", "frobbed", "--neutral-events", "glanced")
    outcome = Outcome("features", *tables, "--out", tmp_path / "features.parquet", "--folds", 1, *names)
    assert outcome.code == DONE
    for name, taken_as in (("built", "positive"), ("frobbed", "negative"), ("glanced", "neutral")):
        assert f"'{name}' ({taken_as}: named by an option)" in outcome.out
    signals = read_manifest(tmp_path / "features" / "match_bundle")["config"]["dataset"]["signals"]
    assert signals["positive_events"] == ["built"]
    assert signals["negative_events"] == ["frobbed"]
    assert signals["neutral_events"] == ["glanced"]


def test_a_setting_that_cannot_be_is_named_as_its_option(tables: list[object], tmp_path: Path) -> None:
    outcome = Outcome("features", *tables, "--out", tmp_path / "features.parquet", "--max-tokens", 1)
    assert outcome.code == WRONG_USE
    assert "--max-tokens: expected" in outcome.err
