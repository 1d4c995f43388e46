"""Where a model is found: in bundle folders, training runs and logged models."""

from __future__ import annotations

import json
import shutil
import tempfile
from pathlib import Path

import pytest

import recmem
from changed_bundles import sign
from conftest import IsolatedMlflow
from debian_model import trained_model
from feature_store import DataError
from recmem.serving.manifest import FILES
from recmem.serving.registry import bundle_at, bundle_folder, registered_versions
from tests.soak import malformed_trees


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


def copies() -> set[Path]:
    return set(Path(tempfile.gettempdir()).glob("recmem-model-*"))


def test_a_registered_model_is_loaded_and_its_copy_removed(isolated_mlflow: IsolatedMlflow) -> None:
    uri = register(trained_model().bundle)
    before = copies()
    with bundle_at(uri) as folder:
        assert {path.name for path in folder.iterdir()} > set(FILES)
        assert len(copies() - before) == 1
    assert copies() == before
    candidates = trained_model().events.select("user_id", "item_id").head(5)
    loaded = recmem.load(uri, store=trained_model().store, device="cpu")
    assert loaded.rank(candidates).equals(trained_model().model().rank(candidates))
    assert copies() == before


def test_a_malformed_registered_model_is_refused_in_words(isolated_mlflow: IsolatedMlflow, folder: Path) -> None:
    model = malformed_trees.Model((folder / "ranker.txt").read_text())
    model.trees[0] = [line.replace("left_child=1", "left_child=0") for line in model.trees[0]]
    (folder / "ranker.txt").write_text(model.text())
    sign(folder)
    before = copies()
    with pytest.raises(DataError, match=r"^bundle\.ranker\.txt: expected left_child and right_child of tree 0"):
        recmem.load(register(folder), store=trained_model().store)
    shutil.copy(trained_model().bundle / "ranker.txt", folder)
    (folder / "ranker.json").write_text(json.dumps({"version": 2}))
    sign(folder)
    with pytest.raises(DataError, match=r"^bundle\.ranker: expected the keys of RankerLayout"):
        recmem.load(register(folder), store=trained_model().store)
    assert copies() == before
