"""What forgetting reaches beside the store: a unique user and item, planted in everything that a training leaves."""

from __future__ import annotations

import shutil
from pathlib import Path

import polars as pl
import pytest
from typer.testing import CliRunner

from debian_model import encoder, trained_model
from feature_store import Store
from recmem.cli.app import app
from recmem.forgetting import forget as forget_module
from recmem.forgetting.forget import forget_item, forget_user
from recmem.forgetting.run_files import files_with, forget_in_runs, run_beside
from recmem.text.vector_cache import BASE_VECTORS, VectorCache, cached_texts

USER = "planted-user-zq88"
ITEM = "planted-item-xq77"
TEXT = "a planted zebrawood library"


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of a training: its store, and files of every kind that one leaves, with the ids in some."""
    monkeypatch.setattr(forget_module, "registered_versions", dict)
    folder = tmp_path / "run"
    shutil.copytree(trained_model().store, folder / "store")
    store = Store.open(folder / "store")
    store.append_items(pl.DataFrame({"item_id": [ITEM], "title": [TEXT]}))
    store.append_events(pl.DataFrame({"user_id": [USER], "item_id": [ITEM], "timestamp": ["2026-01-01"]}))
    for name in ("ingest", "report", "match"):
        (folder / "work" / name).mkdir(parents=True)
    for name in ("report.html", "work/report/report.html"):
        (folder / name).write_text(f"<p>{ITEM}</p>")
    (folder / "input_example.json").write_text(f'{{"user_id": "{USER}", "item_id": "{ITEM}"}}')
    pl.DataFrame({"user": [USER]}).write_parquet(folder / "work" / "figures.parquet")
    (folder / "work" / "match" / "base.0.safetensors").write_bytes(b"numbers")
    (folder / "ledger.json").write_text("{}")
    for place in (folder / "store" / "vectors", folder / BASE_VECTORS):
        VectorCache(place, encoder().fingerprint, encoder().dim).get_or_encode([TEXT, "another text"], encoder())
    return folder


def texts_of(run: Path) -> list[str]:
    return cached_texts(run / BASE_VECTORS, [TEXT, "another text"])


def test_the_folder_of_a_training_is_known_by_what_it_has_begun(run: Path, tmp_path: Path) -> None:
    assert run_beside(Store.open(run / "store")) == run
    elsewhere = Store.create(tmp_path / "elsewhere" / "store")
    (tmp_path / "elsewhere" / "work").mkdir()
    assert run_beside(elsewhere) is None
    (tmp_path / "elsewhere" / "match_folds").mkdir()  # of `recmem features`
    assert run_beside(elsewhere) == tmp_path / "elsewhere"


def test_a_forgotten_item_leaves_no_vector_and_files_with_its_id_are_listed(run: Path) -> None:
    receipt = forget_item(Store.open(run / "store"), ITEM, runs=[run])
    assert receipt.vectors == 2
    assert texts_of(run) == ["another text"]
    names = ["input_example.json", "report.html", "work/report/report.html"]
    assert receipt.files == tuple(str(run / name) for name in names)


def test_a_forgotten_user_is_looked_for_in_bytes_and_in_parquet(run: Path) -> None:
    store = Store.open(run / "store")
    receipt = forget_user(store, USER, runs=[run])
    assert receipt.files == (str(run / "input_example.json"), str(run / "work/figures.parquet"))
    assert USER not in receipt.to_json()
    # What is left are the files that were listed: nothing else under the folder holds the id.
    for name in receipt.files:
        Path(name).unlink()
    left = [path for path in run.rglob("*") if path.is_file() and USER.encode() in path.read_bytes()]
    assert left == []
    assert files_with([run], store, USER) == []


def test_without_a_training_nothing_beside_the_store_is_touched(run: Path) -> None:
    receipt = forget_item(Store.open(run / "store"), ITEM)
    assert (receipt.vectors, receipt.files) == (1, ())
    assert texts_of(run) == [TEXT, "another text"]
    assert forget_in_runs([run], []) == 0


def test_the_command_finds_the_training_by_itself_or_is_given_others(run: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    shutil.copytree(run / "work", other / "work")
    arguments = ["forget", "--store", str(run / "store"), "--item", ITEM, "--yes"]
    refused = CliRunner().invoke(app, [*arguments, "--run", str(tmp_path / "absent")])
    assert refused.exit_code == 2
    assert "--run: expected the folder OUT of a training, got" in refused.output
    done = CliRunner().invoke(app, [*arguments, "--run", str(other)])
    assert done.exit_code == 0
    assert "text vectors: 3 deleted." in done.output
    for path in (run / "report.html", other / "work/report/report.html"):
        assert f"Holds the id and stays: {path}." in done.output
    assert texts_of(run) == texts_of(other) == ["another text"]
