"""Where a model is found: in bundle folders, training runs and logged models."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from conftest import IsolatedMlflow
from feature_store import DataError
from recmem.serving.registry import bundle_folder, registered_versions


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
