"""A user's way from a table with a few bad cells to its columns as numeric features."""

from __future__ import annotations

import json
from pathlib import Path

import polars as pl

import nightly_log
from command_line import DONE, Outcome
from conftest import IsolatedMlflow
from feature_store import Store
from training.configuration.config_text import config_toml


def trained_on(run: Path) -> list[str]:
    """The ranker's features."""
    names: list[str] = json.loads((run / "bundle" / "ranker.json").read_text())["features"]
    return names


def test_columns_that_came_as_text_are_features_once_the_files_are_mended(
    tmp_path: Path, isolated_mlflow: IsolatedMlflow
) -> None:
    log = nightly_log.events_of(10)
    log.write_parquet(tmp_path / "events.parquet")
    items = nightly_log.items().with_columns(price=(pl.int_range(pl.len()) + 0.5).cast(pl.String))
    ages = 20 + pl.int_range(pl.len())
    users = log.select(pl.col("user_id").unique().sort()).with_columns(age=ages.cast(pl.String))
    (tmp_path / "quick.toml").write_text(config_toml(nightly_log.settings()))
    options = ["--events", tmp_path / "events.parquet", "--items", tmp_path / "items.csv", "--users"]
    options += [tmp_path / "users.csv", "--config", tmp_path / "quick.toml", "--out", tmp_path / "run"]

    first = pl.int_range(pl.len()) == 0
    items.with_columns(price=pl.when(first).then(pl.lit("ask us")).otherwise("price")).write_csv(tmp_path / "items.csv")
    users.with_columns(age=pl.when(first).then(pl.lit("34 years")).otherwise("age")).write_csv(tmp_path / "users.csv")
    bad = Outcome("train", *options)
    assert bad.code == DONE, bad.err
    assert "items.price: the column was read as text because 1 cell is no number, such as 'ask us' (line 2)" in bad.out
    assert "users.age: the column was read as text because 1 cell is no number, such as '34 years' (line 2)" in bad.out
    assert not {"items.price", "users.age"} & set(trained_on(tmp_path / "run"))

    # Only the rest of the tables is given: what is in the way is named.
    users.filter(~first).write_csv(tmp_path / "users.csv")
    part = Outcome("ingest", "--store", tmp_path / "run" / "store", "--users", tmp_path / "users.csv")
    assert "users.age: the column stays text, because 1 stored cell is no number: '34 years' of user_id" in part.out

    items.write_csv(tmp_path / "items.csv")
    users.write_csv(tmp_path / "users.csv")
    mended = Outcome("train", *options)
    assert mended.code == DONE, mended.err
    assert "as text" not in mended.out
    assert {"items.price", "users.age"} <= set(trained_on(tmp_path / "run"))
    store = Store.open(tmp_path / "run" / "store")
    assert (store.items().schema["price"], store.users().schema["age"]) == (pl.Float64, pl.Int64)
    assert store.users().sort("user_id")["age"].to_list() == list(range(20, 20 + len(users)))
