"""Forgetting through recmem: a forgotten user scores as an unknown one, and the receipt counts what was removed."""

from __future__ import annotations

import json
import shutil
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

import polars as pl
import pytest
from mlflow import MlflowClient
from typer.testing import CliRunner

from debian_model import encoder, trained_model
from feature_store import DataError, Store
from recmem.cli.app import app
from recmem.forgetting import forget as forget_module
from recmem.forgetting.forget import forget_item, forget_user
from recmem.serving.bundle import read_config
from recmem.serving.manifest import MANIFEST, checksum
from recmem.serving.model import Model
from recmem.serving.registry import registered_versions
from recmem.text.vector_cache import VECTORS_FOLDER


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """A store of the test's own, beside no registry."""
    shutil.copytree(trained_model().store, tmp_path / "store")
    return Store.open(tmp_path / "store")


@pytest.fixture(autouse=True)
def no_registry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(forget_module, "registered_versions", dict)


def a_user() -> str:
    return str(trained_model().events["user_id"].mode()[0])


def n_vectors(store: Store) -> int:
    parts = Path(store.path, VECTORS_FOLDER, encoder().fingerprint).glob("part-*.parquet")
    return sum(pl.read_parquet(part).height for part in parts)


def test_a_forgotten_user_is_a_stranger(store: Store) -> None:
    user = a_user()
    items = trained_model().items["item_id"]
    before = Model.load(trained_model().bundle, store=store)
    assert before.memory(user).height > 5
    receipt = forget_user(store, user)
    assert receipt.rows["events"] == trained_model().events.filter(pl.col("user_id") == user).height
    assert (receipt.vectors, receipt.models, receipt.note) == (0, (), "")
    model = Model.load(trained_model().bundle, store=store)
    candidates = pl.DataFrame({"user_id": [user] * len(items), "item_id": items})
    forgotten = model.rank(candidates)
    stranger = model.rank(candidates.with_columns(user_id=pl.lit("nobody-at-all")))
    assert forgotten.drop("user_id").equals(stranger.drop("user_id"))
    assert model.recommend([user], k=5).drop("user_id").equals(model.recommend(["nobody-at-all"], k=5).drop("user_id"))
    assert model.memory(user).is_empty()


def test_an_item_takes_its_vector_along_unless_another_has_its_text(store: Store) -> None:
    first, second, third = trained_model().items["item_id"].head(3).to_list()
    twin = store.items().filter(pl.col("item_id") == second).with_columns(item_id=pl.lit("its-twin"))
    store.append_items(twin)
    n_before = n_vectors(store)
    assert forget_item(store, first).vectors == 1
    assert forget_item(store, second).vectors == 0
    assert n_vectors(store) == n_before - 1
    assert not {first, second} & set(store.items()["item_id"]) | ({first, second} & set(store.events()["item_id"]))
    assert third in store.items()["item_id"]


@pytest.mark.parametrize(("user", "named"), [(a_user(), ("recmem version 1 (champion)",)), ("nobody", ())])
def test_models_that_were_trained_on_the_user_are_named(
    store: Store, user: str, named: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    trained = replace(read_config(trained_model().bundle), store=store.path, store_versions=store.versions())
    elsewhere = replace(trained, store="/somewhere/else")
    configs = {"models:/recmem/1": trained, "models:/recmem/2": elsewhere}
    names = {"models:/recmem/1": "recmem version 1 (champion)", "models:/recmem/2": "recmem version 2"}
    monkeypatch.setattr(forget_module, "registered_versions", lambda: names)
    monkeypatch.setattr(forget_module, "bundle_at", nullcontext)
    monkeypatch.setattr(forget_module, "read_config", lambda uri: configs[uri])
    assert forget_user(store, user).models == named
    # Now it cannot be known: the versions are gone.
    assert forget_user(store, user).models == (
        "recmem version 1 (champion), perhaps (the table versions that it was trained on are gone)",
    )


def test_models_that_knew_an_item_without_events_are_named(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    before = replace(read_config(trained_model().bundle), store=store.path, store_versions=store.versions())
    store.append_items(pl.DataFrame({"item_id": ["never-used"], "title": ["a library that nobody has used"]}))
    configs = {"before": before, "after": replace(before, store_versions=store.versions())}
    monkeypatch.setattr(forget_module, "registered_versions", lambda: {uri: uri for uri in configs})
    monkeypatch.setattr(forget_module, "bundle_at", nullcontext)
    monkeypatch.setattr(forget_module, "read_config", lambda uri: configs[uri])
    assert forget_item(store, "never-used").models == ("after",)


def test_models_are_found_by_another_path_of_the_same_store(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A command run in a sibling folder names the store as `../store`; a link may lead to it too."""
    (tmp_path / "sibling").mkdir()
    (tmp_path / "link").symlink_to(store.path)
    trained = replace(read_config(trained_model().bundle), store_versions=store.versions())
    paths = (store.path, str(tmp_path / "link"), None, "s3://bucket/store")
    configs = {f"models:/recmem/{number}": replace(trained, store=path) for number, path in enumerate(paths)}
    monkeypatch.setattr(forget_module, "registered_versions", lambda: {uri: uri for uri in configs})
    monkeypatch.setattr(forget_module, "bundle_at", nullcontext)
    monkeypatch.setattr(forget_module, "read_config", lambda uri: configs[uri])
    opened = Store.open(tmp_path / "sibling" / ".." / "store")
    assert forget_user(opened, a_user()).models == ("models:/recmem/0", "models:/recmem/1")


def test_an_unreachable_registry_does_not_stop_forgetting(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    def down() -> dict[str, str]:
        raise DataError("tracking: expected MLflow's registry, got an error (refused). Check --tracking.")

    monkeypatch.setattr(forget_module, "registered_versions", down)
    receipt = forget_user(store, a_user())
    assert receipt.rows["events"] > 0
    assert receipt.note.startswith("tracking: expected MLflow's registry")


def test_the_command_asks_first_and_leaves_a_receipt_without_the_id(store: Store, tmp_path: Path) -> None:
    def run(*more: str, answer: str = "") -> tuple[int, str]:
        result = CliRunner().invoke(app, ["forget", "--store", store.path, *more], input=answer)
        return result.exit_code, result.output

    assert run()[0] == 2
    assert run("--user", "a", "--item", "b")[0] == 2
    code, _ = run("--user", a_user(), answer="n\n")
    assert (code, a_user() in store.events()["user_id"]) == (1, True)
    code, words = run("--user", a_user(), "--yes", "--out", str(tmp_path / "receipt.json"))
    assert code == 0
    assert "events: " in words
    receipt = (tmp_path / "receipt.json").read_text()
    assert json.loads(receipt)["rows"]["events"] > 0
    assert a_user() not in receipt + words
    assert f"Wrote the receipt to {tmp_path / 'receipt.json'}." in words


def forget(store: Store, *arguments: str, answer: str = "") -> tuple[int, str]:
    """Runs `recmem forget` as a user without settings for MLflow: exit code, and what is printed."""
    result = CliRunner().invoke(app, ["forget", "--store", store.path, *arguments], input=answer)
    return result.exit_code, result.output


def test_the_question_names_the_id_and_the_store(store: Store) -> None:
    _, words = forget(store, "--item", "libpng-dev", answer="n\n")
    assert f"Delete the item 'libpng-dev' and all old table versions from {store.path}?" in words


def test_an_id_that_no_row_contains_is_named(store: Store) -> None:
    code, words = forget(store, "--user", "nobody-at-all", "--yes")
    assert (code, "No rows contain the user 'nobody-at-all'." in words) == (0, True)


@pytest.mark.parametrize(
    ("arguments", "got"), [((), "neither"), (("--user", "a", "--item", "b"), "both")], ids=["neither", "both"]
)
def test_one_of_user_and_item_is_required(store: Store, arguments: tuple[str, ...], got: str) -> None:
    code, words = forget(store, *arguments)
    assert code == 2
    assert f"Error: --user, --item: expected one of them, got {got}." in words


def test_a_missing_tracking_database_is_reported_and_not_created(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(forget_module, "registered_versions", registered_versions)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.delenv("MLFLOW_REGISTRY_URI", raising=False)
    working_folder = tmp_path / "working-folder"
    working_folder.mkdir()
    monkeypatch.chdir(working_folder)
    code, words = forget(store, "--user", a_user(), "--yes")
    assert code == 0
    missing = Path(store.path).with_name("mlflow.db")
    assert f"No models were checked: tracking: expected MLflow's registry, got no database at '{missing}'." in words
    assert "with --tracking, or with MLFLOW_TRACKING_URI set" in words
    assert "INFO" not in words
    assert list(working_folder.iterdir()) == []
    assert not missing.exists()
    assert a_user() not in store.events()["user_id"]


def test_registered_models_of_the_given_database_are_named(
    store: Store, tmp_path: Path, mlflow_template: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(forget_module, "registered_versions", registered_versions)
    monkeypatch.delenv("MLFLOW_REGISTRY_URI", raising=False)
    uri = f"sqlite:///{shutil.copy(mlflow_template, tmp_path / 'elsewhere.db')}"
    client = MlflowClient(tracking_uri=uri, registry_uri=uri)
    client.create_registered_model("recmem")
    client.create_model_version("recmem", trained_on(store, tmp_path).as_uri())
    _, words = forget(store, "--user", a_user(), "--yes", "--tracking", uri)
    assert "Trained on this data: recmem version 1. Retrain, then delete that version." in words


def trained_on(store: Store, folder: Path) -> Path:
    """A copy of the model's bundle that says it was trained on the store as it is now."""
    bundle = folder / "bundle"
    shutil.copytree(trained_model().bundle, bundle)
    manifest = json.loads((bundle / MANIFEST).read_text())
    manifest["config"] |= {"store": store.path, "store_versions": store.versions()}
    manifest["checksum"] = checksum(manifest)
    (bundle / MANIFEST).write_text(json.dumps(manifest))
    return bundle


def test_one_unreadable_model_is_named_and_the_others_are_looked_at(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    trained = replace(read_config(trained_model().bundle), store=store.path, store_versions=store.versions())
    names = {"models:/odd/1": "odd version 1", "models:/recmem/1": "recmem version 1"}

    def config_of(uri: str) -> object:
        if "odd" in uri:
            raise KeyError("encoder")
        return trained

    monkeypatch.setattr(forget_module, "registered_versions", lambda: names)
    monkeypatch.setattr(forget_module, "bundle_at", nullcontext)
    monkeypatch.setattr(forget_module, "read_config", config_of)
    receipt = forget_user(store, a_user())
    assert receipt.models == ("odd version 1, perhaps (it cannot be read: 'encoder')", "recmem version 1")
    assert receipt.registered_models == "2 checked"


def test_the_receipt_shows_that_no_registry_was_searched(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(forget_module, "registered_versions", registered_versions)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    _, words = forget(store, "--user", a_user(), "--yes", "--out", str(tmp_path / "receipt.json"))
    assert "registered models: not checked, no tracking database given." in words
    receipt = json.loads((tmp_path / "receipt.json").read_text())
    assert receipt["registered_models"] == "not checked, no tracking database given"
    assert not list(tmp_path.rglob("mlflow.db"))


def test_rows_of_others_that_mention_the_id_are_counted(store: Store) -> None:
    title = pl.DataFrame({"item_id": ["curl-doc"], "title": ["documentation of the-forgotten-one"]})
    store.append_items(title)
    _, words = forget(store, "--item", "the-forgotten-one", "--yes")
    assert "items.title: 1 rows of others mention the id and stay." in words
