"""The model as MLflow sees it: logged, registered and loaded again, without a pickle."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import mlflow
import pandas as pd
import polars as pl
import pytest
from mlflow import MlflowClient

import debian_model
import recmem
from conftest import IsolatedMlflow
from feature_store import DataError
from tolerances import close
from training.evaluation.ledger import Ledger, Lift, Protocol
from training.tracking.registry import register
from training.tracking.tracker import Tracker


class FakeModel:
    """Scores by the length of the item's id, and keeps the candidates that it was given."""

    def __init__(self) -> None:
        self.given: list[pd.DataFrame] = []

    def match(self, candidates: pd.DataFrame) -> pd.DataFrame:
        self.given.append(candidates)
        return candidates.assign(match_score=candidates["item_id"].str.len().astype(float))

    def rank(self, candidates: pd.DataFrame) -> pd.DataFrame:
        return self.match(candidates).assign(score=lambda scored: scored["match_score"], rank=1)


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
    assert list(result["score"]) == [1.0, 3.0, 2.0]


def test_match_alone_can_be_requested(model: Any) -> None:
    assert "rank" not in model.predict(CONTEXT, candidates(), {"output": "match"})


def test_unknown_output_is_refused(model: Any) -> None:
    with pytest.raises(DataError, match=r"params\.output: expected rank or match, got 'top'\. Leave it out"):
        model.predict(CONTEXT, candidates(), {"output": "top"})


def test_another_store_is_another_model_loaded_once(model: Any, loader: Loader) -> None:
    for _ in range(2):
        model.predict(CONTEXT, candidates(), {"store": "s3://bucket/store"})
    assert loader.calls[1:] == [("folder/bundle", "s3://bucket/store", "cpu")]
    assert len(loader.models[1].given) == 2


def test_times_histories_and_the_index_reach_the_model_as_they_came(model: Any, loader: Loader) -> None:
    times = pd.to_datetime(["2024-01-01 12:00", "2024-01-02 12:00", None]).tz_localize("Asia/Tokyo")
    given = candidates(timestamp=times, history=[["x", "y"], [], ["z"]]).set_axis([1, 1, 0])
    result = model.predict(CONTEXT, given)
    pd.testing.assert_frame_equal(loader.models[0].given[0], given)
    pd.testing.assert_frame_equal(result[given.columns], given)


# The whole way


LEDGER = Ledger(
    protocol=Protocol(queries=2, catalogue=60, test_from="2026-01-01", candidates="catalogue"),
    rows=(),
    lift={"ndcg@10": Lift(0.2, 0.3, 0.1, (0.05, 0.15))},
    slices={},
)


def example() -> pl.DataFrame:
    """Candidates of known users, at times, with a text that the catalogue lacks."""
    trained = debian_model.trained_model()
    users = trained.events["user_id"].unique().sort()[:4]
    items = trained.items["item_id"][:3]
    frame = users.to_frame().join(items.to_frame(), how="cross")
    return frame.with_columns(timestamp=pl.lit(trained.events["timestamp"].max()), note=pl.int_range(pl.len()))


def test_registered_bundle_scores_as_a_pyfunc_what_it_scores_in_python(
    isolated_mlflow: IsolatedMlflow, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    candidates = example()
    with Tracker.start(tmp_path) as tracker:
        version = register(tracker, debian_model.trained_model().bundle, LEDGER, candidates.drop("note"))
    printed = capfd.readouterr()
    assert (printed.out, "INFO" in printed.err) == (
        "",
        False,
    )  # the bundle's recmem is another version, which may be printed

    expected = recmem.load("models:/recmem@challenger").rank(candidates)
    pyfunc = mlflow.pyfunc.load_model(f"models:/recmem/{version}")
    given = candidates.drop("note").to_pandas()
    result = pyfunc.predict(given)
    pd.testing.assert_frame_equal(result[given.columns], given)
    close(result["score"], expected["score"], "float32")
    assert result["rank"].to_list() == expected["rank"].to_list()
    assert "rank" not in pyfunc.predict(given, params={"output": "match"})

    saved = Path(mlflow.artifacts.download_artifacts(f"models:/recmem/{version}"))
    assert [path.name for path in saved.rglob("*") if path.suffix in (".pkl", ".pickle")] == []
    assert "recmem[minilm]==0" in (saved / "requirements.txt").read_text()
    signature = pyfunc.metadata.signature
    assert signature.inputs.required_input_names() == ["user_id", "item_id"]
    assert set(signature.outputs.input_names()) == set(result.columns)
    assert len(pyfunc.metadata.load_input_example(str(saved))) == 5
    tracked = MlflowClient().get_run(tracker.parent.run_id)
    assert tracked.data.metrics["lift/ndcg_at_10"] == 0.1
    assert [output.model_id for output in tracked.outputs.model_outputs] == [pyfunc.metadata.model_id]
