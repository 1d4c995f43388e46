"""What a training and the commands after it leave: files and folders whose rights follow the umask."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest
from mlflow import MlflowClient
from safetensors.torch import load_file

import small_training
from command_line import DONE, REFUSED, Outcome, write_candidates
from conftest import IsolatedMlflow
from counting_encoder import DIM, FINGERPRINT, CountingEncoder
from debian_model import trained_model
from feature_store import Store
from feature_store.atomic_files import write_text_atomically
from feature_store.ragged import Ragged
from recmem.ranking.pair_features import PairFeatures
from recmem.serving.bundle import load_bundle, save_bundle
from recmem.serving.manifest import SELF_TEST
from recmem.text.vector_cache import VectorCache

COPIED_BY_MLFLOW = "pyfunc.py"
"""Has the rights that the installation gave it."""


@pytest.fixture(params=[0o022, 0o027, 0o002], ids=oct)
def umask(request: pytest.FixtureRequest) -> Iterator[int]:
    before = os.umask(request.param)
    yield request.param
    os.umask(before)


LOOK_UPS = [
    ("versions",),
    ("versions", "--tracking", "{folder}/no-run"),
    ("versions", "--tracking", "sqlite:///{folder}/mlflow.db"),
    ("promote", "1"),
    ("rollback", "--tracking", "{folder}/no-run"),
    ("explain", "--model", "models:/recmem@champion", "--user", "curl", "--item", "libssl-dev"),
    ("score", "--model", "models:/recmem/1", "--candidates", "{candidates}", "--out", "{folder}/scores.parquet"),
]


@pytest.mark.parametrize("look_up", LOOK_UPS, ids=" ".join)
def test_a_look_up_where_nothing_was_tracked_leaves_no_database(
    look_up: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("MLFLOW_TRACKING_URI", "MLFLOW_REGISTRY_URI"):
        monkeypatch.delenv(name, raising=False)
    candidates = write_candidates(tmp_path)
    monkeypatch.chdir(tmp_path)
    before = set(tmp_path.rglob("*"))
    outcome = Outcome(*(word.format(folder=tmp_path, candidates=candidates) for word in look_up))
    assert outcome.code == REFUSED, outcome.err
    assert set(tmp_path.rglob("*")) == before


def test_a_training_whose_tables_are_refused_leaves_no_store_and_a_run_that_failed(
    tmp_path: Path, isolated_mlflow: IsolatedMlflow
) -> None:
    items, events = small_training.write_tables(tmp_path / "tables")
    outcome = Outcome("train", "--items", events, "--events", items, "--out", tmp_path / "run")
    assert outcome.code == REFUSED
    assert not (tmp_path / "run" / "store").exists()
    client = MlflowClient(isolated_mlflow.tracking_uri)
    runs = client.search_runs([isolated_mlflow.experiment_id])
    assert {run.info.status for run in runs} == {"FAILED"}


def wrong(folder: Path, umask: int) -> dict[str, str]:
    """Files and folders below the folder whose rights are not those of the umask."""
    found = {}
    for path in folder.rglob("*"):
        rights = stat.S_IMODE(path.stat().st_mode)
        expected = (0o777 if path.is_dir() else 0o666) & ~umask
        if rights != expected and path.name != COPIED_BY_MLFLOW:
            found[str(path.relative_to(folder))] = oct(rights)
    return found


def test_everything_that_a_training_leaves_follows_the_umask() -> None:
    umask = os.umask(0)
    os.umask(umask)
    run = small_training.trained() / "run"
    # Weights are in both bundles, in those of `evaluate`, `refit` and `calibrate`, in `match`, in the registered model,
    # and in the measured model beside it.
    assert len({path.parent for path in run.rglob("*.safetensors")}) == 8
    assert wrong(run, umask) == {}


def test_a_bundle_follows_the_umask(umask: int, tmp_path: Path) -> None:
    folder = trained_model().bundle
    stored = load_file(folder / SELF_TEST)
    columns = {name.removeprefix("pair."): part.numpy() for name, part in stored.items() if name.startswith("pair.")}
    candidates = Ragged(stored["pair_items"].numpy(), stored["pair_offsets"].numpy())
    save_bundle(
        load_bundle(folder),
        tmp_path / "bundle",
        sample_vectors=stored["vectors"],
        sample_pairs=PairFeatures(candidates, columns),
    )
    assert {path.name for path in (tmp_path / "bundle").iterdir()} == {path.name for path in folder.iterdir()}
    assert wrong(tmp_path, umask) == {}


def test_a_store_its_vectors_and_written_texts_follow_the_umask(umask: int, tmp_path: Path) -> None:
    store = Store.create(tmp_path / "store")
    store.append_items(small_training.items())
    store.append_events(small_training.events())
    store.forget_user("curl")
    VectorCache(tmp_path / "vectors", FINGERPRINT, DIM).get_or_encode(["a", "b"], CountingEncoder())
    write_text_atomically(tmp_path / "text.json", "{}")
    assert len(list(tmp_path.rglob("*.parquet"))) > 2
    assert wrong(tmp_path, umask) == {}


def test_scores_follow_the_umask(umask: int, tmp_path: Path) -> None:
    bundle = small_training.trained() / "run" / "bundle"
    scores = tmp_path / "scores.parquet"
    candidates = write_candidates(tmp_path)
    # Chunks smaller than the file: the rows go through files of their own.
    options = ("--model", bundle, "--candidates", candidates, "--out", scores, "--chunk-rows", 20)
    outcome = Outcome("score", *options)
    assert outcome.code == DONE, outcome.err
    assert wrong(tmp_path, umask) == {}
