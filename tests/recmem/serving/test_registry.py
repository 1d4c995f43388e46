"""Where a model is found: in bundle folders, training runs and logged models."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException

from conftest import IsolatedMlflow
from feature_store import DataError
from recmem.serving.registry import bundle_folder, registered_versions, tracking_at


@pytest.mark.parametrize("place", ["", "bundle", "artifacts/bundle"])
def test_the_bundle_is_found_in_a_run_and_in_a_logged_model(folder: Path, tmp_path: Path, place: str) -> None:
    target = tmp_path / "run" / place
    shutil.copytree(folder, target)
    assert bundle_folder(tmp_path / "run") == target


def test_a_folder_without_a_bundle_is_refused(tmp_path: Path) -> None:
    with pytest.raises(
        DataError, match=r"model: expected a folder with bundle\.json, got .*Give the folder OUT/bundle"
    ):
        bundle_folder(tmp_path)


def test_an_unregistered_model_is_refused(isolated_mlflow: IsolatedMlflow) -> None:
    with pytest.raises(DataError, match=r"model: expected a model in MLflow's registry, got 'models:/recmem@champion'"):
        bundle_folder("models:/recmem@champion")


def test_an_empty_registry_has_no_versions(isolated_mlflow: IsolatedMlflow) -> None:
    assert registered_versions() == {}


def test_loading_without_a_database_creates_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.delenv("MLFLOW_REGISTRY_URI", raising=False)
    monkeypatch.chdir(tmp_path)
    uri = f"sqlite:///{tmp_path / 'mlflow.db'}"
    with tracking_at(uri), pytest.raises(DataError, match=r"tracking: .* got no database at .*Set MLFLOW_TRACKING_URI"):
        bundle_folder("models:/recmem@champion")
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
