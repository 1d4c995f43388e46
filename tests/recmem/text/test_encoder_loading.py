"""Which tokenizers and models are taken from a folder, which are refused in words, and what is printed meanwhile."""

from __future__ import annotations

import json
import logging
import shutil
from pathlib import Path

import pytest
import torch
from transformers import AutoTokenizer
from transformers.utils import logging as transformers_logging

from recmem.text.encoder_loading import load_model, load_tokenizer
from tiny_encoder import DIM, tiny_folder


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A small encoder whose files a test may change."""
    shutil.copytree(tiny_folder(), tmp_path / "encoder")
    return tmp_path / "encoder"


def change_settings(folder: Path, name: str, changes: dict[str, object]) -> None:
    settings = json.loads((folder / name).read_text())
    (folder / name).write_text(json.dumps(settings | changes))


def load(folder: Path) -> None:
    load_tokenizer(folder)
    load_model(folder, dtype=torch.float32)


def test_a_model_and_its_tokenizer_are_loaded_in_the_dtype_that_was_asked_for(folder: Path) -> None:
    model = load_model(folder, dtype=torch.bfloat16)
    assert {weight.dtype for weight in model.parameters()} == {torch.bfloat16}
    assert len(load_tokenizer(folder)) == model.config.vocab_size


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"num_hidden_layers": 5}, r"got none for \d+, e\.g\. encoder\.layer\.3"),
        ({"hidden_size": 2 * DIM}, r"got others for \d+, e\.g\. embeddings\.LayerNorm"),
        ({"vocab_size": 5}, r"got others for 1, e\.g\. embeddings\.word_embeddings\.weight"),
        ({"model_type": "gpt2"}, r"got none for \d+, e\.g\. h\.0"),
    ],
)
def test_weights_of_another_configuration_are_refused(folder: Path, changes: dict[str, object], message: str) -> None:
    change_settings(folder, "config.json", changes)
    with pytest.raises(ValueError, match=rf"^encoder: expected weights of all layers of config\.json in .*, {message}"):
        load(folder)


@pytest.mark.parametrize(
    ("name", "changes"),
    [
        ("config.json", {"hidden_size": "many"}),
        ("config.json", {"num_attention_heads": 7}),
        ("config.json", {"hidden_act": "no such thing"}),
        ("config.json", {"model_type": "no such thing"}),
        ("tokenizer_config.json", {"tokenizer_class": "XLMRobertaTokenizer"}),
    ],
)
def test_an_encoder_that_transformers_cannot_load_is_refused_in_words(
    folder: Path, name: str, changes: dict[str, object]
) -> None:
    change_settings(folder, name, changes)
    with pytest.raises(
        ValueError, match=r"^encoder: expected a (model|tokenizer) that transformers can load in .*, got"
    ):
        load(folder)


def test_a_truncated_file_of_weights_is_refused_in_words(folder: Path) -> None:
    content = (folder / "model.safetensors").read_bytes()
    (folder / "model.safetensors").write_bytes(content[:2000])
    with pytest.raises(ValueError, match=r"^encoder: expected a model that transformers can load in .*got an error"):
        load(folder)


def test_a_folder_without_a_tokenizer_is_refused_and_not_read_with_one_that_knows_no_word(folder: Path) -> None:
    for name in ("tokenizer.json", "tokenizer_config.json", "vocab.txt"):
        (folder / name).unlink()
    made_up = AutoTokenizer.from_pretrained(folder)
    assert made_up(["curl"])["input_ids"] == made_up(["audio"])["input_ids"]
    with pytest.raises(ValueError, match=r"expected a tokenizer with a vocabulary in .*, got 5 special tokens alone"):
        load(folder)


def test_transformers_tables_are_not_shown_and_it_reports_as_before_afterwards(folder: Path) -> None:
    shown: list[logging.LogRecord] = []
    handler = logging.Handler()
    handler.emit = shown.append  # type: ignore[method-assign]
    logger = logging.getLogger("transformers")
    logger.addHandler(handler)
    transformers_logging.set_verbosity_info()
    try:
        change_settings(folder, "config.json", {"num_hidden_layers": 5})
        with pytest.raises(ValueError, match="expected weights of all layers"):
            load(folder)
        assert transformers_logging.get_verbosity() == transformers_logging.INFO
    finally:
        logger.removeHandler(handler)
        transformers_logging.set_verbosity_warning()
    assert shown == []
