"""The same rows get the same scores by every way that leads to the model."""

from __future__ import annotations

import sys
from datetime import timedelta
from pathlib import Path

import mlflow
import polars as pl
import pytest

import mlflow_model_server
import recmem
import recmem_service
from command_line import Outcome
from debian_model import trained_model
from services import JAVA, SPARK, has_java, has_spark
from tolerances import close
from training.tracking.registry import save_pyfunc

MATCH = ["match_raw", "match_score"]
SCORES = [*MATCH, "score"]
QUERY = ("user_id", "timestamp")


@pytest.fixture(scope="module")
def rows() -> pl.DataFrame:
    """Candidates in no order: of known users at three times, of one who is unknown, and one who brings a history."""
    trained = trained_model()
    users = trained.events["user_id"].unique().sort().head(4).to_list()
    items = trained.items["item_id"].head(12).to_list()
    last = trained.events["timestamp"].max()
    times = [last - timedelta(days=days) for days in (200, 90, 0)]
    queries = [(user, time, None) for user in [*users, "nobody"] for time in times]
    queries.append(("a guest", times[-1], items[3:6]))
    # One item that the store lacks, with a text.
    texts = {item: None for item in items} | {"new": "a library for images"}
    found = [(user, item, time, text, history) for user, time, history in queries for item, text in texts.items()]
    frame = pl.DataFrame(
        found, ["user_id", "item_id", "timestamp", "title", "history"], orient="row", infer_schema_length=None
    )
    return frame.sample(fraction=1.0, shuffle=True, seed=1)


@pytest.fixture(scope="module")
def expected(rows: pl.DataFrame) -> pl.DataFrame:
    """What the model in this process says."""
    ranked = recmem.load(trained_model().bundle, store=trained_model().store).rank(rows)
    # Scores that do not depend on the row would be the same by any way.
    assert ranked.select(pl.col("score").n_unique() > len(rows) // 2).item()
    return ranked


@pytest.fixture(scope="module")
def pyfunc(tmp_path_factory: pytest.TempPathFactory, rows: pl.DataFrame) -> Path:
    """The model as MLflow keeps it."""
    folder = tmp_path_factory.mktemp("pyfunc") / "model"
    save_pyfunc(trained_model().bundle, folder, rows)
    return folder


def same(found: pl.DataFrame, expected: pl.DataFrame, columns: list[str]) -> None:
    for column in columns:
        close(found[column].to_numpy(), expected[column].to_numpy(), "same_rows")


def test_recmem_serve(rows: pl.DataFrame, expected: pl.DataFrame) -> None:
    numbered = rows.with_row_index("row")
    found = []
    with recmem_service.serving("--model", trained_model().bundle, "--store", trained_model().store) as ask:
        for (user, time), query in numbered.group_by(QUERY):
            items = [
                {name: value for name, value in row.items() if value is not None}
                for row in query.select("item_id", "title").to_dicts()
            ]
            history = query["history"].to_list()[0]
            body = {"user_id": user, "timestamp": str(time), "items": items, "history": history}
            answer = pl.DataFrame(ask("/rank", body)["items"])
            found.append(query.select("row", "item_id").join(answer, on="item_id"))
    same(pl.concat(found).sort("row"), expected, SCORES)


def test_mlflow_models_serve(rows: pl.DataFrame, expected: pl.DataFrame, pyfunc: Path, tmp_path: Path) -> None:
    records = rows.with_columns(pl.col("timestamp").dt.to_string("iso:strict")).to_dicts()
    environment = mlflow_model_server.model_environment(trained_model().store)
    with mlflow_model_server.serving(pyfunc, environment, tmp_path / "log") as address:
        found = mlflow_model_server.posted(address, {"dataframe_records": records})
    same(pl.DataFrame(found, infer_schema_length=None), expected, SCORES)


def test_pyfunc(rows: pl.DataFrame, expected: pl.DataFrame, pyfunc: Path) -> None:
    found = mlflow.pyfunc.load_model(str(pyfunc)).predict(rows.to_pandas())
    same(pl.from_pandas(found[SCORES]), expected, SCORES)


def test_recmem_score(rows: pl.DataFrame, expected: pl.DataFrame, tmp_path: Path) -> None:
    for ending in ("parquet", "jsonl"):
        source = tmp_path / f"rows.{ending}"
        rows.write_parquet(source) if ending == "parquet" else rows.write_ndjson(source)
        scores = tmp_path / f"scores.{ending}"
        model = ("--model", trained_model().bundle, "--store", trained_model().store)
        outcome = Outcome("score", *model, "--candidates", source, "--out", scores)
        assert outcome.code == 0, outcome.err
        same(pl.read_parquet(scores) if ending == "parquet" else pl.read_ndjson(scores), expected, SCORES)


def test_scikit_learn(rows: pl.DataFrame, expected: pl.DataFrame) -> None:
    transformer = recmem.RecmemFeatures(out="not used").set_output(transform="polars")
    transformer.bundle_ = str(trained_model().bundle)  # what `fit` leaves
    same(transformer.transform(rows), expected, MATCH)


@pytest.mark.filterwarnings("ignore:PySpark does not yet fully support pandas:FutureWarning")
@pytest.mark.skipif(not has_spark(), reason=SPARK)
@pytest.mark.skipif(not has_java(), reason=JAVA)
def test_spark(
    rows: pl.DataFrame, expected: pl.DataFrame, pyfunc: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from pyspark.sql import SparkSession
    from pyspark.sql.functions import struct

    monkeypatch.setenv("PYSPARK_PYTHON", sys.executable)
    for name, value in mlflow_model_server.model_environment(trained_model().store).items():
        monkeypatch.setenv(name, value)
    rows.with_row_index("row").write_parquet(tmp_path / "rows.parquet")
    local = {"spark.ui.enabled": "false", "spark.driver.bindAddress": "127.0.0.1", "spark.driver.host": "127.0.0.1"}
    spark = SparkSession.builder.master("local[1]").config(map=local).getOrCreate()
    try:
        result = ", ".join(f"{name} double" for name in SCORES)
        score = mlflow.pyfunc.spark_udf(spark, str(pyfunc), result_type=result, env_manager="local")
        # In one partition, so that every query is whole.
        frame = spark.read.parquet(str(tmp_path / "rows.parquet")).coalesce(1)
        scored = frame.select("row", score(struct(*rows.columns)).alias("scores")).select("row", "scores.*")
        found = pl.DataFrame([row.asDict() for row in scored.collect()]).sort("row")
    finally:
        spark.stop()
    same(found, expected, SCORES)
