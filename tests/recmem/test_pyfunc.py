"""The model as MLflow sees it: logged, registered and loaded again, without a pickle."""

from __future__ import annotations

import functools
import json
import shutil
import subprocess
import tempfile
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import mlflow
import numpy as np
import pandas as pd
import polars as pl
import pytest
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException
from mlflow.pyfunc.scoring_server import invocations

import debian_model
import recmem
from changed_bundles import rewrite
from conftest import IsolatedMlflow
from feature_store import DataError
from mlflow_model_server import MLFLOW, model_environment, posted, serving
from recmem.dataset.unmatched_rows import UnmatchedRows
from recmem.serving.model import Scored
from recmem.text.encoder_tuning import EncoderTuning, TuningKind
from tolerances import close
from training.evaluation.ledger import Ledger, Lift, Protocol
from training.tracking.registry import register, save_pyfunc
from training.tracking.tracker import Tracker
from tuned_bundle import write_tiny_tuned_bundle


class FakeModel:
    """Scores by the length of the item's id, and keeps the candidates that it was given."""

    def __init__(self) -> None:
        self.given: list[pd.DataFrame] = []

    def match_with_report(self, candidates: pd.DataFrame, *, explain: int) -> Scored[pd.DataFrame]:
        assert explain == 0
        self.given.append(candidates)
        frame = candidates.assign(match_score=candidates["item_id"].str.len().astype(float))
        return Scored(frame, UnmatchedRows(), np.ones(len(frame), bool), np.ones(len(frame), bool))

    def rank_with_report(self, candidates: pd.DataFrame, *, explain: int) -> Scored[pd.DataFrame]:
        scored = self.match_with_report(candidates, explain=explain)
        return replace(scored, frame=scored.frame.assign(score=lambda frame: frame["match_score"], rank=1))


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
    return loaded(CONTEXT)


def loaded(context: SimpleNamespace) -> Any:
    from recmem.pyfunc import PyfuncModel

    model = PyfuncModel()
    model.load_context(context)
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
    flags = ["unknown_user", "unknown_item"]
    assert list(result.columns) == ["user_id", "item_id", "title", "match_score", "score", "rank", *flags]
    assert list(result.index) == [7, 3, 5]
    assert list(result["item_id"]) == ["a", "bbb", "cc"]
    assert list(result["score"]) == [1.0, 3.0, 2.0]


def test_match_alone_can_be_requested(model: Any) -> None:
    assert "rank" not in model.predict(CONTEXT, candidates(), {"output": "match"})


def test_unknown_output_is_refused(model: Any) -> None:
    with pytest.raises(DataError, match=r"params\.output: expected rank, match or recommend, got 'top'\. Leave"):
        model.predict(CONTEXT, candidates(), {"output": "top"})


def test_another_store_that_the_operator_allows_is_another_model_loaded_once(loader: Loader) -> None:
    context = SimpleNamespace(
        artifacts=CONTEXT.artifacts, model_config={"device": "cpu", "stores": ["s3://bucket/store"]}
    )
    model = loaded(context)
    for store in ("s3://bucket/store", "s3://bucket/./store/"):
        model.predict(context, candidates(), {"store": store})
    assert loader.calls[1:] == [("folder/bundle", "s3://bucket/store", "cpu")]
    assert len(loader.models[1].given) == 2


def test_a_store_that_the_operator_does_not_allow_is_refused_and_not_loaded(model: Any, loader: Loader) -> None:
    with pytest.raises(
        DataError, match=r"params\.store: expected a store that this server allows, got 's3://bucket/x'"
    ):
        model.predict(CONTEXT, candidates(), {"store": "s3://bucket/x"})
    assert len(loader.calls) == 1


def test_a_moved_store_is_named_by_the_configuration_or_the_environment(
    loader: Loader, monkeypatch: pytest.MonkeyPatch
) -> None:
    def own_store(**config: Any) -> str | None:
        loaded(SimpleNamespace(artifacts=CONTEXT.artifacts, model_config=config))
        store: str | None = loader.calls[-1][1]
        return store

    assert own_store(store="") is None
    assert own_store(store="/moved") == "/moved"
    monkeypatch.setenv("RECMEM_STORE", "s3://bucket/moved")
    assert own_store() == "s3://bucket/moved"
    assert own_store(store="/moved") == "/moved"
    with pytest.raises(DataError, match="store: expected a path or URL, got 7"):
        own_store(store=7)


def test_other_stores_are_read_where_the_own_one_has_moved(loader: Loader) -> None:
    context = SimpleNamespace(
        artifacts=CONTEXT.artifacts, model_config={"device": "cpu", "store": "/moved", "stores": ["/other"]}
    )
    loaded(context).predict(context, candidates(), {"store": "/other"})
    assert [call[1] for call in loader.calls] == ["/moved", "/other"]


def test_a_configuration_that_is_no_list_of_stores_is_refused(loader: Loader) -> None:
    for stores in ("/data/store", ["/data/store", 7], [""]):
        context = SimpleNamespace(artifacts=CONTEXT.artifacts, model_config={"stores": stores})
        with pytest.raises(DataError, match=r"stores: expected a list of paths or URLs, got "):
            loaded(context)


def test_a_refused_request_is_the_clients_fault_to_a_server(model: Any) -> None:
    with pytest.raises(MlflowException) as refused:
        model.predict(CONTEXT, candidates(), {"output": "top"})
    assert refused.value.get_http_status_code() == 400


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
    assert signature.inputs.required_input_names() == ["user_id"]
    assert set(signature.outputs.input_names()) == set(result.columns)
    assert len(pyfunc.metadata.load_input_example(str(saved))) == 5
    tracked = MlflowClient().get_run(tracker.parent.run_id)
    assert tracked.data.metrics["lift/ndcg_at_10"] == 0.1
    assert [output.model_id for output in tracked.outputs.model_outputs] == [pyfunc.metadata.model_id]


@pytest.mark.parametrize(("kind", "extras"), [("last", ""), ("lora", ""), ("prefix", "[peft]")])
def test_a_tuned_bundle_is_served_from_the_registry_and_names_the_extra_that_serving_needs(
    isolated_mlflow: IsolatedMlflow, tmp_path: Path, kind: TuningKind, extras: str
) -> None:
    shutil.copytree(debian_model.trained_model().store, tmp_path / "store")
    write_tiny_tuned_bundle(tmp_path / "bundle", EncoderTuning(kind, layers=1, rank=4), store=tmp_path / "store")
    candidates = example().drop("note")
    unseen = pl.DataFrame({"user_id": ["curl"], "item_id": ["new"], "title": ["tls network library"]})
    with Tracker.start(tmp_path) as tracker:
        version = register(tracker, tmp_path / "bundle", LEDGER, candidates)
    expected = recmem.load(tmp_path / "bundle")
    shutil.rmtree(tmp_path / "bundle")
    pyfunc = mlflow.pyfunc.load_model(f"models:/recmem/{version}")
    close(pyfunc.predict(candidates.to_pandas())["score"], expected.rank(candidates)["score"], "float32")
    registered = recmem.load(f"models:/recmem/{version}")
    assert registered.bundle.config == expected.bundle.config
    assert registered.match(unseen).equals(expected.match(unseen))
    saved = Path(mlflow.artifacts.download_artifacts(f"models:/recmem/{version}"))
    assert f"recmem{extras}==0" in (saved / "requirements.txt").read_text()


# A model server's requests


@functools.cache
def served() -> Any:
    """The pyfunc that a server loads."""
    folder = Path(tempfile.mkdtemp(prefix="recmem-pyfunc-")) / "model"
    save_pyfunc(debian_model.trained_model().bundle, folder, example().drop("note"))
    return mlflow.pyfunc.load_model(str(folder))


def answer(body: object, content_type: str = "application/json") -> list[dict[str, Any]]:
    """What the server answers, parsed as strictly as a browser does."""
    text = body if isinstance(body, str | bytes) else json.dumps(body)
    response = invocations(text, content_type, served(), served().metadata.get_input_schema())
    assert response.status == 200
    records: list[dict[str, Any]] = json.loads(response.response, parse_constant=pytest.fail)["predictions"]
    return records


def refusal(body: object, content_type: str = "application/json") -> str:
    """The server's words to a request that it answers with status 400."""
    text = body if isinstance(body, str) else json.dumps(body)
    with pytest.raises(MlflowException) as refused:
        invocations(text, content_type, served(), served().metadata.get_input_schema())
    assert refused.value.get_http_status_code() == 400
    return str(refused.value.message)


def records() -> list[dict[str, Any]]:
    """Candidates of one user at a time: known items, a new one with a text, with and without a history."""
    known = example().head(3)
    user, time = str(known["user_id"][0]), known["timestamp"][0].isoformat()
    rows = [{"user_id": user, "item_id": item, "timestamp": time} for item in known["item_id"].to_list()]
    return [
        *rows,
        {"user_id": user, "item_id": "new", "title": "a library for images", "history": known["item_id"].to_list()},
    ]


COLUMNS = ("user_id", "item_id", "timestamp", "title", "history")
SCORES = ("score", "rank", "match_score")


def scores(answered: list[dict[str, Any]]) -> list[tuple[float, ...]]:
    return [tuple(round(record[name], 6) for name in SCORES) for record in answered]


def test_missing_cells_of_a_request_come_back_as_null() -> None:
    answered = answer({"dataframe_records": records()})
    assert [record["title"] for record in answered] == [None, None, None, "a library for images"]
    assert [record["history"] is None for record in answered] == [True, True, True, False]
    assert answered[-1]["timestamp"] is None
    half = records()
    half[-1]["history"] = [None, *half[-1]["history"]]
    assert answer({"dataframe_records": half})[-1]["history"][0] is None


def test_numbers_of_the_result_stay_numbers_in_python() -> None:
    result = served().predict(pd.DataFrame(records()))
    assert all(result[name].dtype.kind in "if" for name in (*SCORES, "match_raw", "similarity_max"))
    assert result["title"].isna().tolist() == [True, True, True, False]


def test_all_json_formats_give_the_same_scores() -> None:
    rows = records()
    expected = scores(answer({"dataframe_records": rows}))
    cells = [[row.get(name) for name in COLUMNS] for row in rows]
    columns = {name: [row.get(name) for row in rows] for name in COLUMNS}
    assert scores(answer({"dataframe_split": {"columns": COLUMNS, "data": cells}})) == expected
    assert scores(answer({"inputs": rows})) == expected
    assert scores(answer({"inputs": columns})) == expected
    ids = [{name: row[name] for name in COLUMNS[:3]} for row in rows[:3]]
    expected = scores(answer({"dataframe_records": ids}))
    assert scores(answer({"instances": ids})) == expected
    # All columns are text: MLflow makes one row of lists of it.
    assert scores(answer({"inputs": {name: [row[name] for row in ids] for name in COLUMNS[:3]}})) == expected


def test_recommendations_reasons_and_flags_are_answered_in_json() -> None:
    user = records()[0]["user_id"]
    users = {"inputs": [{"user_id": user}, {"user_id": "nobody"}], "params": {"output": "recommend", "k": 2}}
    answered = answer(users)
    assert [(row["user_id"], row["unknown_user"]) for row in answered] == [
        *[(user, False)] * 2,
        *[("nobody", True)] * 2,
    ]
    explained = answer({"dataframe_records": records(), "params": {"explain": 1}})
    assert [row["unknown_item"] for row in explained] == [False, False, False, True]
    assert all(json.loads(row["reasons"])["score"] for row in explained)
    best = answer({"dataframe_records": records(), "params": {"k": 1}})
    assert [row["rank"] for row in best] == [1] * len(best)
    assert 0 < len(best) < len(records())


def test_csv_is_read_as_json_is_and_its_ids_stay_text() -> None:
    rows = records()[:3]
    lines = [",".join(str(row[name]) for name in COLUMNS[:3]) for row in rows]
    expected = scores(answer({"dataframe_records": rows}))
    assert scores(answer("\n".join([",".join(COLUMNS[:3]), *lines]), "text/csv")) == expected
    # Columns without a value, such as a history, are as absent.
    empty = [f"{line},," for line in lines]
    assert scores(answer("\n".join([",".join(COLUMNS), *empty]), "text/csv")) == expected
    assert [row["item_id"] for row in answer("user_id,item_id\n007,0010\n", "text/csv")] == ["0010"]


def test_a_history_in_csv_is_refused_in_words() -> None:
    assert "candidates.history: expected lists of item ids" in refusal("user_id,item_id,history\nu,i,i1\n", "text/csv")


def test_parquet_with_missing_times_and_histories_is_answered_in_json(tmp_path: Path) -> None:
    frame = pl.DataFrame(records(), schema={**dict.fromkeys(COLUMNS[:4], pl.String), "history": pl.List(pl.String)})
    frame.with_columns(pl.col("timestamp").str.to_datetime(time_zone="UTC")).write_parquet(tmp_path / "rows.parquet")
    answered = answer((tmp_path / "rows.parquet").read_bytes(), "application/vnd.apache.parquet")
    assert scores(answered) == scores(answer({"dataframe_records": records()}))
    assert [record["timestamp"] is None for record in answered] == [False, False, False, True]


USER = {"user_id": "u", "item_id": "i"}


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({"dataframe_records": [{"item_id": "i"}]}, "Model is missing inputs ['user_id']"),
        ({"dataframe_records": [{"user_id": "u"}]}, "candidates.item_id: expected the column, got none"),
        ({"dataframe_records": [USER], "params": {"k": -1}}, "params.k: expected a whole number from 1, got -1"),
        ({"dataframe_records": [USER], "params": {"k": "2"}}, "Invalid parameters found"),
        ({"dataframe_records": [USER], "params": {"explain": 99}}, "params.explain: expected 0 to 20, got 99"),
        ({"dataframe_records": [{**USER, "user_id": None}, USER]}, "candidates.user_id: expected an id, got null"),
        ({"inputs": [{**USER, "user_id": None}, USER]}, "candidates.user_id: expected an id, got null"),
        ({"instances": [{**USER, "item_id": None}, USER]}, "candidates.item_id: expected an id, got null"),
        (
            {"dataframe_records": [{**USER, "user_id": {"id": 1}}]},
            "candidates.user_id: expected ids as text or integers",
        ),
        (
            {"dataframe_records": [{**USER, "user_id": ["a", "b"]}]},
            "candidates.user_id: expected ids as text or integers",
        ),
        ({"dataframe_records": [{**USER, "user_id": 10**30}]}, "expected whole numbers of 64 bits, got a larger one"),
        (
            {"dataframe_records": [{**USER, "user_id": 1}, USER]},
            "candidates: expected one type in a column, got several",
        ),
        ({"dataframe_records": [{**USER, "timestamp": "soon"}]}, "candidates.timestamp: expected a time"),
        ({"dataframe_records": [{**USER, "history": "i1"}]}, "candidates.history: expected lists of item ids"),
        (
            {"inputs": {"user_id": ["u"], "item_id": ["i", "j"]}},
            "expected columns of one length, got user_id 1, item_id 2",
        ),
        (
            {"dataframe_split": {"columns": ["user_id", "user_id", "item_id"], "data": [["u", "v", "i"]] * 2}},
            "expected every column once, got user_id twice",
        ),
        (
            {"dataframe_records": [USER], "params": {"output": "top"}},
            "params.output: expected rank, match or recommend, got 'top'",
        ),
        ({"dataframe_records": [USER], "params": {"output": 7}}, "Invalid parameters found"),
        ({"dataframe_records": [USER], "params": {"store": "/etc"}}, "params.store: expected a store that this server"),
        ({"dataframe_records": []}, "Model is missing inputs"),
        ("{", "valid JSON"),
    ],
)
def test_a_malformed_request_is_refused_in_words(body: object, words: str) -> None:
    assert words in refusal(body)


# MLflow's own commands


@pytest.fixture
def moved(tmp_path: Path) -> tuple[Path, dict[str, str]]:
    """A saved model whose store has moved since, and an environment that says where to."""
    trained = debian_model.trained_model()
    shutil.copytree(trained.store, tmp_path / "before")
    shutil.copytree(trained.bundle, tmp_path / "bundle")
    rewrite(tmp_path / "bundle", lambda manifest: manifest["config"].update(store=str(tmp_path / "before")))
    save_pyfunc(tmp_path / "bundle", tmp_path / "model", example().drop("note"))
    (tmp_path / "before").rename(tmp_path / "after")
    return tmp_path / "model", model_environment(tmp_path / "after")


def test_mlflow_serves_a_model_whose_store_has_moved(moved: tuple[Path, dict[str, str]], tmp_path: Path) -> None:
    model, environment = moved
    expected = scores(answer({"dataframe_records": records()}))
    with serving(model, environment, tmp_path / "log") as address:
        found = posted(address, {"dataframe_records": records(), "params": {"explain": 1}})
        assert scores(found) == expected
        assert [row["title"] for row in found] == [None, None, None, "a library for images"]
        assert [row["unknown_item"] for row in found] == [False, False, False, True]
        best = posted(address, {"inputs": [{"user_id": "nobody"}], "params": {"output": "recommend", "k": 3}})
        assert [(row["rank"], row["unknown_user"]) for row in best] == [(1, True), (2, True), (3, True)]


def test_mlflow_predicts_json_alone_on_standard_output(moved: tuple[Path, dict[str, str]], tmp_path: Path) -> None:
    model, environment = moved
    (tmp_path / "rows.json").write_text(json.dumps({"dataframe_records": records()}))
    command = [*MLFLOW, "predict", "-m", str(model), "--env-manager", "local", "-t", "json", "-i", "rows.json"]
    done = subprocess.run(command, env=environment, cwd=tmp_path, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    found = json.loads(done.stdout, parse_constant=pytest.fail)["predictions"]
    assert scores(found) == scores(answer({"dataframe_records": records()}))
    del environment["RECMEM_STORE"]
    done = subprocess.run(command, env=environment, cwd=tmp_path, capture_output=True, check=False)
    assert done.returncode != 0
    assert b"store: expected the store that the model was trained on, got none at" in done.stderr
    assert b"RECMEM_STORE" in done.stderr


def test_a_moved_store_is_named_when_the_model_is_loaded(moved: tuple[Path, dict[str, str]], tmp_path: Path) -> None:
    model, _ = moved
    pyfunc = mlflow.pyfunc.load_model(str(model), model_config={"store": str(tmp_path / "after")})
    result = pyfunc.predict(pd.DataFrame(records()))
    assert scores(result.to_dict(orient="records")) == scores(answer({"dataframe_records": records()}))
