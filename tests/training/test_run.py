"""The encoder of a run: unusable ones are refused as data, and settings that contradict its files are warned of."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file, save_file

import small_training
from feature_store import DataError, Store
from recmem.text.encoder import EncoderConfig
from tiny_encoder import tiny_folder
from training.config import TrainingConfig
from training.pipeline import step_key_of
from training.progress import Silent
from training.run import Run, open_run
from training.tables import Tables


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A small encoder whose files a test may change."""
    shutil.copytree(tiny_folder(), tmp_path / "encoder")
    return tmp_path / "encoder"


def run_with(folder: Path, **settings: Any) -> Run:
    """A run over the small log, with this encoder."""
    if not (folder.parent / "store").exists():
        store = Store.create(folder.parent / "store")
        store.append_items(small_training.items())
        store.append_events(small_training.events())
    config = TrainingConfig(encoder=EncoderConfig(str(folder), **{"max_tokens": 32} | settings))
    return open_run(Tables(), folder.parent / "out", str(folder.parent / "store"), config, Silent())


def unknown_architecture(folder: Path) -> None:
    settings = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(settings | {"model_type": "unheard of"}))


def no_tokenizer(folder: Path) -> None:
    for path in folder.glob("*"):
        if path.name not in ("config.json", "model.safetensors"):
            path.unlink()


def no_folder(folder: Path) -> None:
    shutil.rmtree(folder)


def unreadable_tokenizer(folder: Path) -> None:
    (folder / "tokenizer.json").unlink()
    (folder / "tokenizer.json").mkdir()


@pytest.mark.parametrize(
    ("change", "settings", "message"),
    [
        (
            no_folder,
            {},
            r"^encoder: expected a local folder or a Hugging Face id that can be reached, got .*Without",
        ),
        (no_tokenizer, {}, r"^encoder: expected a tokenizer with a vocabulary in .*Save the tokenizer"),
        (unreadable_tokenizer, {}, r"^encoder\.tokenizer\.json: expected a file that can be read in .*Check its perm"),
        (unknown_architecture, {}, r"^encoder: expected a model that transformers can load in .*or give another one"),
        (None, {"max_tokens": 65}, r"^max_tokens: expected at most 64 for .*, got 65\. Lower it"),
        (
            None,
            {"text_prefix": "curl " * 40},
            r"^text_prefix: expected a prefix that leaves room .*Shorten it",
        ),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_an_encoder_that_cannot_be_used_is_refused_as_data(
    folder: Path, change: Callable[[Path], None] | None, settings: dict[str, Any], message: str
) -> None:
    run = run_with(folder, **settings)
    if change is not None:
        change(folder)
    with pytest.raises(DataError, match=message):
        _ = run.encoder
    with pytest.raises(DataError, match=message):  # as the step `tune` loads it
        run.load_encoder(dtype="float32")


def test_a_tokenizer_of_another_encoder_is_refused_when_a_text_has_such_a_token(folder: Path) -> None:
    run = run_with(folder)
    run.encoder.tokenizer.add_tokens(["development"])
    with pytest.raises(DataError, match=r"^encoder: expected a tokenizer of this encoder, which knows 96 tokens"):
        _ = run.training_data


def test_a_pooling_that_contradicts_the_encoders_files_is_among_the_warnings_of_a_run(folder: Path) -> None:
    (folder / "1_Pooling").mkdir()
    (folder / "1_Pooling" / "config.json").write_text(json.dumps({"pooling_mode": "cls"}))
    words = f"pooling: {folder} was saved with 'cls' and is used with 'mean'"
    assert [warning for warning in run_with(folder).training_data.warnings if warning.startswith(words)] != []
    assert run_with(folder, pooling="cls").training_data.warnings == ()


def test_another_encoder_in_the_same_folder_is_encoded_and_learned_from_anew(folder: Path) -> None:
    run = run_with(folder)
    keys = {step: step_key_of(run, step) for step in ("encode", "match")}
    assert step_key_of(run_with(folder), "encode") == keys["encode"]
    assert run.encoder_fingerprint == run.encoder.fingerprint
    weights = load_file(folder / "model.safetensors")
    save_file({name: weight * 1.01 for name, weight in weights.items()}, folder / "model.safetensors", {"format": "pt"})
    changed = run_with(folder)
    assert changed.encoder_fingerprint == changed.encoder.fingerprint != run.encoder_fingerprint
    assert step_key_of(changed, "encode") != keys["encode"]
    # The match module depends on the fingerprint that the step `encode` leaves.
    assert step_key_of(changed, "match") == keys["match"]
    (changed.folder("encode") / "texts.json").write_text(json.dumps({"fingerprint": changed.encoder_fingerprint}))
    assert step_key_of(changed, "match") != keys["match"]
