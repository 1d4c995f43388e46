"""The manifest: a folder that is incomplete, changed or of another format is refused, with what to do."""

from __future__ import annotations

import json
import shutil
from dataclasses import asdict
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from changed_bundles import in_version_2, rewrite
from debian_model import trained_model
from feature_store import DataError
from recmem.serving.bundle import load_bundle, read_config
from recmem.serving.manifest import FILES, FORMAT_VERSION, MANIFEST, WEIGHTS
from recmem.serving.model import Model


@pytest.mark.parametrize("name", FILES)
def test_a_changed_byte_is_refused(folder: Path, name: str) -> None:
    content = bytearray((folder / name).read_bytes())
    content[len(content) // 2] ^= 1
    (folder / name).write_bytes(content)
    with pytest.raises(DataError, match=f"expected an unmodified {name}, got one whose checksum does not match"):
        load_bundle(folder)


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("length", [-10, 0])
def test_a_truncated_or_emptied_file_is_refused(folder: Path, name: str, length: int) -> None:
    (folder / name).write_bytes((folder / name).read_bytes()[:length])
    with pytest.raises(DataError, match=f"expected an unmodified {name}"):
        load_bundle(folder)


@pytest.mark.parametrize("name", FILES)
def test_a_longer_file_is_refused(folder: Path, name: str) -> None:
    with (folder / name).open("ab") as file:
        file.write(b"\n")
    with pytest.raises(DataError, match=f"expected an unmodified {name}"):
        load_bundle(folder)


@pytest.mark.parametrize("name", [MANIFEST, *FILES])
def test_a_missing_file_is_refused(folder: Path, name: str) -> None:
    (folder / name).unlink()
    with pytest.raises(DataError, match=f"{name}.*, got none"):
        load_bundle(folder)


def test_a_folder_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"the file bundle.json, got none .* OUT/bundle"):
        load_bundle(tmp_path / "nowhere")


@pytest.mark.parametrize("text", ["", "{", "[]", "null", '{"config": {}}'])
def test_a_broken_manifest_is_refused(folder: Path, text: str) -> None:
    (folder / MANIFEST).write_text(text)
    with pytest.raises(DataError, match="bundle: expected"):
        load_bundle(folder)


@pytest.mark.parametrize("found", [FORMAT_VERSION + 1, FORMAT_VERSION - 2, 0, "1", None])
def test_another_format_is_refused_with_what_to_do(folder: Path, found: object) -> None:
    rewrite(folder, lambda manifest: manifest.update(format_version=found))
    with pytest.raises(DataError, match=rf"expected format_version 3 or 2, got {found!r} .* train again"):
        load_bundle(folder)


def test_a_bundle_of_the_version_before_is_read(folder: Path) -> None:
    candidates = trained_model().events.select("user_id", "item_id", "timestamp").head(20)
    today = load_bundle(folder).config
    scored = Model.load(folder, store=trained_model().store, device="cpu").rank(candidates)
    in_version_2(folder)
    assert load_bundle(folder).config == read_config(folder) == today
    assert Model.load(folder, store=trained_model().store, device="cpu").rank(candidates).equals(scored)


def test_a_bundle_of_before_judges_events_as_it_was_trained(folder: Path) -> None:
    def as_before(manifest: dict[str, Any]) -> None:
        signals = manifest["config"]["dataset"]["signals"]
        for name in ("positive_events", "common_names", "unnamed"):
            del signals[name]
        for name in ("candidate_features", "user_features", "interests"):
            del manifest["config"]["dataset"][name]
        del manifest["config"]["vectors"]
        del manifest["config"]["language"]
        signals["negative_events"] = ["skip", "return", "dislike", "hide"]

    candidates = trained_model().events.select("user_id", "item_id", "timestamp").head(20)
    scored = Model.load(folder, store=trained_model().store, device="cpu").rank(candidates)
    rewrite(folder, as_before)
    signals = load_bundle(folder).config.dataset.signals
    events = pl.DataFrame({"event": ["depends", "skip", "refund", "Skip", "view"], "value": [None] * 5})
    assert signals.signs(events).tolist() == [1, -1, 1, 1, 1]
    # The log's events are dependencies, ratings and skips, which both judge alike.
    assert Model.load(folder, store=trained_model().store, device="cpu").rank(candidates).equals(scored)


def test_a_bundle_without_a_list_of_names_judges_by_the_first(folder: Path) -> None:
    def without_list(manifest: dict[str, Any]) -> None:
        del manifest["config"]["dataset"]["signals"]["name_list"]

    rewrite(folder, without_list)
    signals = load_bundle(folder).config.dataset.signals
    events = pl.DataFrame({"event": ["click", "remove", "refund", "viewItem"], "value": [None] * 4})
    assert signals.signs(events).tolist() == [1, 0, -1, 0]


def test_an_unknown_key_in_a_bundle_of_the_version_before_is_refused(folder: Path) -> None:
    in_version_2(folder)
    rewrite(folder, lambda manifest: manifest["config"].update(unheard_of=1))
    with pytest.raises(
        DataError, match=r"bundle\.config: expected the keys of BundleConfig, got unknown keys \(unheard_of\) in "
    ):
        load_bundle(folder)


def test_an_edited_configuration_is_refused(folder: Path) -> None:
    rewrite(folder, lambda manifest: manifest["config"].update(fingerprint="0" * 16), sign=False)
    with pytest.raises(DataError, match=r"expected an unmodified bundle.json"):
        load_bundle(folder)


def test_a_listed_path_that_leads_outside_is_refused(folder: Path) -> None:
    rewrite(folder, lambda manifest: manifest["sha256"].update({"../secret": "0"}))
    with pytest.raises(DataError, match=r"checksums of match.safetensors"):
        load_bundle(folder)


def test_a_link_that_leads_outside_is_refused(folder: Path) -> None:
    outside = folder.parent / "elsewhere"
    shutil.move(folder / WEIGHTS, outside)
    (folder / WEIGHTS).symlink_to(outside)
    with pytest.raises(DataError, match="a link that leads outside"):
        load_bundle(folder)


def test_the_manifest_holds_the_whole_configuration() -> None:
    config = load_bundle(trained_model().bundle).config
    manifest = json.loads((trained_model().bundle / MANIFEST).read_text())
    assert manifest["config"] == json.loads(json.dumps(asdict(config)))


@pytest.mark.parametrize(
    ("text", "cause"),
    [
        ('{"format_version": 3, "format_version": 3}', "the key 'format_version' twice"),
        ('{"format_version": NaN}', "NaN, which is not finite"),
        ("[" * 100_000, "maximum recursion depth exceeded"),
        ('{"format_version": ' + "9" * 9000 + "}", "does not fit into 64 bits"),
        ('{"\\udfff": 1}', "surrogates not allowed"),
    ],
)
def test_a_manifest_that_is_not_plain_json_is_refused(folder: Path, text: str, cause: str) -> None:
    (folder / MANIFEST).write_text(text)
    with pytest.raises(DataError, match=rf"bundle: expected JSON in bundle.json, got invalid text \(.*{cause}"):
        load_bundle(folder)


@pytest.mark.parametrize("found", [True, 3.0, [3], {"3": 3}, "x" * 10_000])
def test_a_format_of_another_type_is_refused(folder: Path, found: object) -> None:
    rewrite(folder, lambda manifest: manifest.update(format_version=found))
    with pytest.raises(DataError, match="expected format_version 3 or 2, got") as refused:
        load_bundle(folder)
    assert len(str(refused.value)) < 500
