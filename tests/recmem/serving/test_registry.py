"""Where a model is found: in bundle folders, training runs and logged models."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
import time
import traceback
from collections.abc import Callable
from pathlib import Path

import mlflow
import polars as pl
import pytest
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException

import recmem
import s3_server
from changed_bundles import sign
from conftest import IsolatedMlflow
from debian_model import trained_model
from feature_store import DataError
from feature_store.atomic_files import ABANDONED_S
from recmem.serving.bundle import read_config
from recmem.serving.registry import bundle_at, registered_versions, tracking_at, version_at
from tests.soak import malformed_trees


@pytest.mark.parametrize("place", ["", "bundle", "artifacts/bundle"])
def test_the_bundle_is_found_in_a_run_and_in_a_logged_model(folder: Path, tmp_path: Path, place: str) -> None:
    target = tmp_path / "run" / place
    shutil.copytree(folder, target)
    with bundle_at(tmp_path / "run") as found:
        assert found == target
    assert target.is_dir()


def test_a_folder_without_a_bundle_is_refused(tmp_path: Path) -> None:
    expected = r"model: expected a folder with bundle\.json, got .*Give the folder OUT/bundle"
    with pytest.raises(DataError, match=expected), bundle_at(tmp_path):
        pass


@pytest.mark.parametrize("place", ["", "/bundle", "/artifacts/bundle"])
def test_a_bundle_on_an_object_store_is_copied_for_the_block(
    folder: Path, place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with s3_server.running() as s3:
        for name, value in s3.environment.items():
            monkeypatch.setenv(name, value)
        s3.put_folder(folder, f"runs/1{place}")
        s3.put("runs/1/report.html", b"long")
        with bundle_at(s3.url("runs/1")) as found:
            names = sorted(path.name for path in found.iterdir())
            assert names == sorted(path.name for path in folder.iterdir())
            assert all((found / name).read_bytes() == (folder / name).read_bytes() for name in names)
        assert not found.exists()
        with pytest.raises(DataError, match=r"model: expected a folder with bundle\.json, got 's3://shop/runs/2'"):
            recmem.load(s3.url("runs/2"))


def test_an_unregistered_model_is_refused(isolated_mlflow: IsolatedMlflow) -> None:
    expected = r"model: expected a model in MLflow's registry, got 'models:/recmem@champion'"
    with pytest.raises(DataError, match=expected), bundle_at("models:/recmem@champion"):
        pass


def test_a_database_without_its_driver_is_refused_in_words(
    isolated_mlflow: IsolatedMlflow, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_driver(**_: object) -> str:
        raise ModuleNotFoundError("No module named 'MySQLdb'")

    monkeypatch.setattr("mlflow.artifacts.download_artifacts", no_driver)
    mlflow.set_tracking_uri("mysql://u:secret@127.0.0.1:1/db")
    with pytest.raises(
        DataError, match=r"model: expected .*, got 'models:/recmem/1' \(No module named 'MySQLdb'\)"
    ) as refused:
        recmem.load("models:/recmem/1")
    assert "secret" not in str(refused.value)


def test_an_empty_registry_has_no_versions(isolated_mlflow: IsolatedMlflow) -> None:
    assert registered_versions() == {}


# Copies of downloaded models


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder for temporary files, empty."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


@pytest.fixture
def registered(isolated_mlflow: IsolatedMlflow) -> str:
    """The trained bundle as a registered model."""
    client = MlflowClient()
    run = client.create_run(isolated_mlflow.experiment_id)
    client.log_artifacts(run.info.run_id, str(trained_model().bundle), "model/artifacts/bundle")
    client.create_registered_model("recmem")
    client.create_model_version("recmem", f"{run.info.artifact_uri}/model", run_id=run.info.run_id)
    client.set_registered_model_alias("recmem", "champion", "1")
    return "models:/recmem@champion"


def test_the_copy_of_a_downloaded_model_is_removed(registered: str, temporary: Path) -> None:
    model = recmem.load(registered, store=trained_model().store, device="cpu")
    assert list(temporary.iterdir()) == []
    assert model.match(pl.DataFrame({"user_id": ["nobody"], "item_id": ["libssl-dev"]})).height == 1
    with bundle_at(registered) as folder:
        assert folder.is_relative_to(temporary)
        assert read_config(folder) == model.bundle.config
    assert list(temporary.iterdir()) == []
    # What was registered is not a copy.
    assert recmem.load(registered, store=trained_model().store, device="cpu").bundle.config == model.bundle.config


@pytest.mark.parametrize("damage", ["bundle.json", "match.safetensors"])
def test_the_copy_is_removed_when_the_model_is_refused(
    registered: str, temporary: Path, isolated_mlflow: IsolatedMlflow, damage: str
) -> None:
    (path,) = isolated_mlflow.artifact_root.rglob(damage)
    path.write_bytes(path.read_bytes()[:-10])
    with pytest.raises(DataError):
        recmem.load(registered, store=trained_model().store)
    assert list(temporary.iterdir()) == []
    with pytest.raises(DataError, match="expected a model in MLflow's registry"):
        recmem.load("models:/recmem/7")
    assert list(temporary.iterdir()) == []


def test_what_killed_processes_left_is_removed_after_a_day_and_nothing_else(
    registered: str, temporary: Path, tmp_path: Path
) -> None:
    kept = tmp_path / "kept"
    kept.mkdir()
    (kept / "file").touch()
    (temporary / "recmem-download-link").symlink_to(kept)
    # Named as `tempfile` does it: eight characters after the prefix. "old" is not of a download.
    names = ["recmem-download-0123_old", "recmem-download-0123_new", "recmem-download-old", "another-old"]
    for name in names:
        (temporary / name).mkdir()
        (temporary / name / "weights").touch()
    old = time.time() - 2 * ABANDONED_S
    for name in names:
        if name.endswith("old"):
            os.utime(temporary / name / "weights", (old, old))
            os.utime(temporary / name, (old, old))
    os.utime(kept / "file", (old, old))
    os.utime(kept, (old, old))
    with bundle_at(registered):
        pass
    assert sorted(path.name for path in temporary.iterdir()) == [
        "another-old",
        "recmem-download-0123_new",
        "recmem-download-link",
        "recmem-download-old",
    ]
    assert (kept / "file").exists()


# Secrets


@pytest.mark.parametrize("call", [registered_versions, lambda: recmem.load("models:/recmem@champion")])
def test_the_password_of_a_tracking_server_is_in_no_error(
    call: Callable[[], object], isolated_mlflow: IsolatedMlflow, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    mlflow.set_tracking_uri("http://me:hunter2@127.0.0.1:9")
    mlflow.set_registry_uri("http://me:hunter2@127.0.0.1:9")
    with pytest.raises(DataError) as refused:
        call()
    assert "127.0.0.1" in str(refused.value)
    assert "hunter2" not in "".join(traceback.format_exception(refused.value))


def test_the_version_of_an_alias_is_that_of_now(registered: str) -> None:
    assert version_at(registered) == "models:/recmem/1"
    again = register(trained_model().bundle)
    MlflowClient().set_registered_model_alias("recmem", "champion", again.rpartition("/")[2])
    assert version_at(registered) == again == "models:/recmem/2"


@pytest.mark.parametrize("source", ["models:/recmem/1", "runs/demo/bundle", "models:/m-0123"])
def test_what_is_no_alias_has_no_other_version(source: str) -> None:
    assert version_at(source) is None


def test_an_alias_that_the_registry_lacks_is_refused(registered: str) -> None:
    with pytest.raises(DataError, match="expected an alias in MLflow's registry, got 'models:/recmem@challenger'"):
        version_at("models:/recmem@challenger")


# What anybody may register


def register(folder: Path) -> str:
    """Registers the folder as a model's artifacts, as anyone with access to the registry can; its URI."""
    import mlflow
    from mlflow import MlflowClient

    with mlflow.start_run() as run:
        mlflow.log_artifacts(str(folder), "model/artifacts/bundle")
    client = MlflowClient()
    if not client.search_registered_models():
        client.create_registered_model("recmem")
    source = f"{run.info.artifact_uri}/model"
    version = client.create_model_version("recmem", source, run.info.run_id).version
    return f"models:/recmem/{version}"


def test_a_malformed_registered_model_is_refused_in_words(
    isolated_mlflow: IsolatedMlflow, folder: Path, temporary: Path
) -> None:
    model = malformed_trees.Model((folder / "ranker.txt").read_text())
    model.trees[0] = [line.replace("left_child=1", "left_child=0") for line in model.trees[0]]
    (folder / "ranker.txt").write_text(model.text())
    sign(folder)
    with pytest.raises(DataError, match=r"^bundle\.ranker\.txt: expected left_child and right_child of tree 0"):
        recmem.load(register(folder), store=trained_model().store)
    shutil.copy(trained_model().bundle / "ranker.txt", folder)
    (folder / "ranker.json").write_text(json.dumps({"version": 2}))
    sign(folder)
    with pytest.raises(DataError, match=r"^bundle\.ranker: expected the keys of RankerLayout"):
        recmem.load(register(folder), store=trained_model().store)
    assert list(temporary.iterdir()) == []


# Without a registry, or with a broken one


@pytest.mark.parametrize("look_up", [recmem.load, version_at])
def test_a_look_up_without_a_database_creates_none(
    look_up: Callable[[str], object], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.delenv("MLFLOW_REGISTRY_URI", raising=False)
    monkeypatch.chdir(tmp_path)
    uri = f"sqlite:///{tmp_path / 'mlflow.db'}"
    with tracking_at(uri), pytest.raises(DataError, match=r"tracking: .* got no database at .*Set MLFLOW_TRACKING_URI"):
        look_up("models:/recmem@champion")
    assert list(tmp_path.iterdir()) == []


def test_a_model_whose_versions_cannot_be_listed_is_named(
    isolated_mlflow: IsolatedMlflow, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = MlflowClient()
    for name in ("broken", "whole"):
        client.create_registered_model(name)
    client.create_model_version("whole", "file:///nowhere")
    search = MlflowClient.search_model_versions

    def partly(self: MlflowClient, filter_string: str, **options: object) -> object:
        if "broken" in filter_string:
            raise MlflowException("cannot be parsed")
        return search(self, filter_string, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(MlflowClient, "search_model_versions", partly)
    assert registered_versions() == {
        "models:/broken": "broken (its versions cannot be listed)",
        "models:/whole/1": "whole version 1",
    }


def test_models_beyond_the_first_page_are_found(
    isolated_mlflow: IsolatedMlflow, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = MlflowClient()
    for number in range(3):
        client.create_registered_model(f"model-{number}")
        client.create_model_version(f"model-{number}", "file:///nowhere")
    search = MlflowClient.search_registered_models

    def one_by_one(self: MlflowClient, page_token: str | None = None) -> object:
        return search(self, max_results=1, page_token=page_token)

    monkeypatch.setattr(MlflowClient, "search_registered_models", one_by_one)
    assert set(registered_versions()) == {f"models:/model-{number}/1" for number in range(3)}
