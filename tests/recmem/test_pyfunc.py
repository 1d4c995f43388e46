"""The model as MLflow sees it: logged, registered and loaded again, without a pickle."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import mlflow
import pandas as pd
import polars as pl
import pytest

import recmem
from feature_store import DataError


class FakeModel:
    """Scores by the length of the item's id, and keeps what it was asked."""

    def __init__(self) -> None:
        self.asked: list[pl.DataFrame] = []

    def match(self, candidates: pl.DataFrame) -> pl.DataFrame:
        self.asked.append(candidates)
        return candidates.with_columns(match_score=pl.col("item_id").str.len_chars() / 10)

    def rank(self, candidates: pl.DataFrame) -> pl.DataFrame:
        return self.match(candidates).with_columns(score=pl.col("match_score"), rank=pl.lit(1, pl.Int64))


class Loader:
    """Stands for `recmem.load`: one fake model a call."""

    def __init__(self) -> None:
        self.calls: list[tuple[Any, ...]] = []
        self.models: list[FakeModel] = []

    def __call__(self, source: str, *, store: str | None, device: str) -> FakeModel:
        self.calls.append((source, store, device))
        self.models.append(FakeModel())
        return self.models[-1]


CONTEXT = SimpleNamespace(artifacts={"bundle": "folder/bundle"}, model_config={"device": "cpu"})


@pytest.fixture
def loader(monkeypatch: pytest.MonkeyPatch) -> Loader:
    loader = Loader()
    monkeypatch.setattr(recmem, "load", loader, raising=False)
    return loader


@pytest.fixture
def model(loader: Loader) -> Any:
    """The Python function with its bundle loaded, as MLflow does it."""
    from recmem.pyfunc import PyfuncModel

    model = PyfuncModel()
    model.load_context(CONTEXT)
    return model


def candidates(**columns: Any) -> pd.DataFrame:
    return pd.DataFrame({"user_id": ["u", "v", "u"], "item_id": ["a", "bbb", "cc"], **columns}, index=[7, 3, 5])


def test_bundle_is_loaded_once_when_the_model_is(model: Any, loader: Loader) -> None:
    assert loader.calls == [("folder/bundle", None, "cpu")]
    model.predict(CONTEXT, candidates())
    model.predict(CONTEXT, candidates(), {"output": "match", "store": ""})
    assert len(loader.calls) == 1


def test_rows_come_back_in_order_with_their_index_and_scores(model: Any) -> None:
    result = model.predict(CONTEXT, candidates(title=["A", None, "C"]))
    assert list(result.columns) == ["user_id", "item_id", "title", "match_score", "score", "rank"]
    assert list(result.index) == [7, 3, 5]
    assert list(result["item_id"]) == ["a", "bbb", "cc"]
    assert list(result["score"]) == [0.1, 0.3, 0.2]


def test_match_alone_can_be_asked_for(model: Any) -> None:
    assert "rank" not in model.predict(CONTEXT, candidates(), {"output": "match"})


def test_unknown_output_is_refused(model: Any) -> None:
    with pytest.raises(DataError, match=r"params\.output: expected rank or match, got 'top'\. Leave it out"):
        model.predict(CONTEXT, candidates(), {"output": "top"})


def test_another_store_is_another_model_loaded_once(model: Any, loader: Loader) -> None:
    for _ in range(2):
        model.predict(CONTEXT, candidates(), {"store": "s3://bucket/store"})
    assert loader.calls[1:] == [("folder/bundle", "s3://bucket/store", "cpu")]
    assert len(loader.models[1].asked) == 2


def test_times_and_histories_reach_the_model_as_polars_columns(model: Any, loader: Loader) -> None:
    times = pd.to_datetime(["2024-01-01", "2024-01-02", None]).tz_localize("UTC")
    model.predict(CONTEXT, candidates(timestamp=times, history=[["x", "y"], [], ["z"]]))
    asked = loader.models[0].asked[0]
    assert asked.schema["timestamp"] in (pl.Datetime("us", "UTC"), pl.Datetime("ns", "UTC"))
    assert asked["timestamp"].null_count() == 1
    assert asked["history"].to_list() == [["x", "y"], [], ["z"]]
