"""What a run is called: after its data, whoever tells most about them, and the day."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import polars as pl
import pytest
from mlflow import MlflowClient

from conftest import IsolatedMlflow
from training.tracking.run_name import data_name, is_generated, run_name

OUT = Path("/data/me/runs/demo")
FRAME = pl.DataFrame({"user_id": ["u"]})


@pytest.mark.parametrize(
    ("tables", "name"),
    [
        ({"events": "/data/debian_dependencies/events.parquet"}, "debian_dependencies"),
        ({"events": "logs/clicks.csv.gz", "items": "logs/items.csv"}, "clicks"),
        ({"events": "/shop/data/events.parquet"}, "shop"),
        ({"events": "orders-2026-11-27.csv"}, "orders"),
        ({"events": "/shop/2026-11-27.csv"}, "shop"),
        ({"events": "s3://me:secret@warehouse/shop/events"}, "shop"),
        ({"events": "s3://warehouse/events.parquet"}, "warehouse"),
        ({"events": "file:///shop/events.parquet"}, "shop"),
        ({"events": FRAME, "items": "/shop/items.parquet"}, "shop"),
        ({"events": FRAME, "items": FRAME}, "demo"),
        ({}, "demo"),
        ({"events": "/events.parquet"}, "recmem"),
    ],
)
def test_data_are_named_by_the_file_of_their_events_or_the_folder_around_it(
    tables: dict[str, object], name: str
) -> None:
    assert data_name(tables, str(OUT / "store"), OUT) == name


@pytest.mark.parametrize(
    ("store", "name"),
    [("/data/shop", "shop"), ("/data/shop/store", "shop"), ("s3://shop/store", "shop"), ("/store", "recmem")],
)
def test_a_store_of_its_own_names_the_data_whatever_file_is_added_to_it(store: str, name: str) -> None:
    assert data_name({"events": "/inbox/today.parquet"}, store, OUT) == name


def test_a_relative_file_is_named_by_the_folder_that_it_is_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "shop").mkdir()
    monkeypatch.chdir(tmp_path / "shop")
    assert data_name({"events": "events.csv"}, str(OUT / "store"), OUT) == "shop"


def test_the_day_is_that_on_which_the_run_begins() -> None:
    before = datetime.now(UTC).date()
    name = run_name("shop")
    assert name in {f"shop-{before}", f"shop-{datetime.now(UTC).date()}"}


def test_names_that_mlflow_makes_up_are_told_from_those_that_people_give(isolated_mlflow: IsolatedMlflow) -> None:
    client = MlflowClient(isolated_mlflow.tracking_uri)
    made_up = [client.create_run(isolated_mlflow.experiment_id).info.run_name for _ in range(20)]
    assert [name for name in made_up if not is_generated(name)] == []
    given = ["weekly", "shop-2026-11-28", "my-run-12", "bold-ant", "bold-ant-first", "Bold-Ant-5"]
    assert [name for name in given if is_generated(name)] == []
