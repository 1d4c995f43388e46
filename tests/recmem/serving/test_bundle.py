"""The bundle: what is saved is loaded, exactly; what was changed, cut or comes from elsewhere is refused in words."""

from __future__ import annotations

import json
import pickletools
import shutil
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch
from safetensors.torch import load_file, save_file

from debian_model import trained_model
from feature_store import DataError
from feature_store.ragged import Ragged
from recmem.ranking.pair_features import PairFeatures
from recmem.serving.bundle import load_bundle, read_config, save_bundle
from recmem.serving.manifest import FILES, FORMAT_VERSION, MANIFEST, SELF_TEST, WEIGHTS, checksum, sha256_of
from recmem.serving.model import Model
from tolerances import close


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return Path(shutil.copytree(trained_model().bundle, tmp_path / "bundle"))


def rewrite(folder: Path, change: Callable[[dict[str, Any]], None], *, sign: bool = True) -> None:
    """Changes the manifest, and signs it as if recmem had written it."""
    manifest = json.loads((folder / MANIFEST).read_text())
    change(manifest)
    if sign:
        manifest["checksum"] = checksum(manifest)
    (folder / MANIFEST).write_text(json.dumps(manifest))


def sign_files(folder: Path) -> None:
    """Makes the checksums those of the files as they are."""
    rewrite(folder, lambda manifest: manifest.update(sha256={name: sha256_of(folder / name) for name in FILES}))


def in_version_2(folder: Path) -> None:
    """Rewrites the manifest as recmem 0.1 wrote it."""

    def rename(manifest: dict[str, Any]) -> None:
        config = manifest["config"]
        config["scene"] = config.pop("dataset")
        config["memory"]["searched"] = config["memory"].pop("retrieved_from")
        manifest["format_version"] = 2

    rewrite(folder, rename)


def a_sample() -> tuple[torch.Tensor, PairFeatures]:
    stored = load_file(trained_model().bundle / SELF_TEST)
    candidates = Ragged(stored["pair_items"].numpy(), stored["pair_offsets"].numpy())
    columns = {name.removeprefix("pair."): part.numpy() for name, part in stored.items() if name.startswith("pair.")}
    return stored["vectors"], PairFeatures(candidates, columns)


# Round trip


def test_configuration_comes_back_equal(tmp_path: Path) -> None:
    bundle = load_bundle(trained_model().bundle)
    vectors, pairs = a_sample()
    save_bundle(bundle, tmp_path / "again", sample_vectors=vectors, sample_pairs=pairs)
    assert load_bundle(tmp_path / "again").config == bundle.config
    assert type(bundle.config.dataset.covisitation.half_lives) is tuple


def test_weights_and_scores_come_back_exactly(tmp_path: Path) -> None:
    bundle = load_bundle(trained_model().bundle)
    vectors, pairs = a_sample()
    save_bundle(bundle, tmp_path / "again", sample_vectors=vectors, sample_pairs=pairs)
    again = load_bundle(tmp_path / "again")
    for name, weight in bundle.module.state_dict().items():
        close(again.module.state_dict()[name], weight, "exact")
    close(again.ranker.scores(pairs), bundle.ranker.scores(pairs), "exact")
    assert len(np.unique(bundle.ranker.scores(pairs))) > 10
    candidates = trained_model().events.select("user_id", "item_id", "timestamp").head(40)
    scored = [
        Model.load(at, store=trained_model().store).rank(candidates)
        for at in (trained_model().bundle, tmp_path / "again")
    ]
    assert scored[0].equals(scored[1])


def test_the_same_bundle_is_written_byte_for_byte(tmp_path: Path) -> None:
    bundle = load_bundle(trained_model().bundle)
    vectors, pairs = a_sample()
    for name in ("a", "b"):
        save_bundle(bundle, tmp_path / name, sample_vectors=vectors, sample_pairs=pairs)
    for name in (MANIFEST, *FILES):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


def test_a_bundle_takes_an_older_ones_place_and_leaves_nothing_beside_it(folder: Path) -> None:
    bundle = load_bundle(folder)
    vectors, pairs = a_sample()
    newer = replace(bundle, config=replace(bundle.config, created="2027-02-03T00:00:00+00:00"))
    save_bundle(newer, folder, sample_vectors=vectors, sample_pairs=pairs)
    assert load_bundle(folder).config.created == "2027-02-03T00:00:00+00:00"
    assert [path.name for path in folder.parent.iterdir()] == ["bundle"]


def test_a_folder_of_other_files_is_not_overwritten(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("dear")
    vectors, pairs = a_sample()
    with pytest.raises(DataError, match="got other files"):
        save_bundle(load_bundle(trained_model().bundle), tmp_path / "mine", sample_vectors=vectors, sample_pairs=pairs)
    assert (tmp_path / "mine" / "thesis.txt").read_text() == "dear"


def test_no_pickle_is_in_the_folder() -> None:
    names = sorted(path.name for path in trained_model().bundle.iterdir())
    assert names == sorted([MANIFEST, *FILES])
    for name in names:
        content = (trained_model().bundle / name).read_bytes()
        assert not content.startswith((b"\x80", b"PK"))  # a pickle, and the zip that torch.save makes of one
        with pytest.raises(ValueError, match=r"opcode|pickle|exhausted|expected|not enough"):
            list(pickletools.genops(content))


# Refusals


@pytest.mark.parametrize("name", FILES)
def test_a_changed_byte_is_refused(folder: Path, name: str) -> None:
    content = bytearray((folder / name).read_bytes())
    content[len(content) // 2] ^= 1
    (folder / name).write_bytes(content)
    with pytest.raises(DataError, match=f"expected {name} as it was written, got another content"):
        load_bundle(folder)


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("length", [-10, 0])
def test_a_truncated_or_emptied_file_is_refused(folder: Path, name: str, length: int) -> None:
    (folder / name).write_bytes((folder / name).read_bytes()[:length])
    with pytest.raises(DataError, match=f"expected {name} as it was written"):
        load_bundle(folder)


@pytest.mark.parametrize("name", FILES)
def test_a_longer_file_is_refused(folder: Path, name: str) -> None:
    with (folder / name).open("ab") as file:
        file.write(b"\n")
    with pytest.raises(DataError, match=f"expected {name} as it was written"):
        load_bundle(folder)


@pytest.mark.parametrize("name", [MANIFEST, *FILES])
def test_a_missing_file_is_refused(folder: Path, name: str) -> None:
    (folder / name).unlink()
    with pytest.raises(DataError, match=f"{name}.*, got none"):
        load_bundle(folder)


def test_a_folder_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"a folder with bundle.json, got none .* OUT/bundle"):
        load_bundle(tmp_path / "nowhere")


@pytest.mark.parametrize("text", ["", "{", "[]", "null", '{"config": {}}'])
def test_a_manifest_that_is_none_is_refused(folder: Path, text: str) -> None:
    (folder / MANIFEST).write_text(text)
    with pytest.raises(DataError, match="bundle: expected"):
        load_bundle(folder)


@pytest.mark.parametrize("found", [FORMAT_VERSION + 1, FORMAT_VERSION - 2, 0, "1", None])
def test_another_format_is_refused_with_what_to_do(folder: Path, found: object) -> None:
    rewrite(folder, lambda manifest: manifest.update(format_version=found))
    with pytest.raises(DataError, match=rf"expected format_version 3 or 2, got {found!r} .* train again"):
        load_bundle(folder)


def test_a_bundle_of_the_version_before_is_read(folder: Path) -> None:
    today = load_bundle(folder).config
    in_version_2(folder)
    assert load_bundle(folder).config == read_config(folder) == today


def test_an_unknown_key_in_a_bundle_of_the_version_before_is_refused(folder: Path) -> None:
    in_version_2(folder)
    rewrite(folder, lambda manifest: manifest["config"].update(unheard_of=1))
    with pytest.raises(DataError, match="difference in unheard_of"):
        load_bundle(folder)


def test_an_edited_configuration_is_refused(folder: Path) -> None:
    rewrite(folder, lambda manifest: manifest["config"].update(fingerprint="0" * 16), sign=False)
    with pytest.raises(DataError, match=r"expected bundle.json as it was written"):
        load_bundle(folder)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"unheard_of": 1}, "difference in unheard_of"),
        (
            {"memory": {"recent": "many", "retrieved": 0, "retrieved_from": 150}},
            "config.memory.recent: expected int, got 'many'",
        ),
        ({"memory": {"recent": 0, "retrieved": 0, "retrieved_from": 150}}, "recent: expected at least 1"),
        ({"text_columns": "title"}, "config.text_columns: expected a list"),
        ({"fingerprint": "../../elsewhere"}, "config.fingerprint: expected a short word, got '../../elsewhere'"),
        ({"fingerprint": "x" * 20_000}, "config.fingerprint: expected a short word"),
        ({"calibration": {"slope": -1.0, "intercept": 0.0}}, "slope >= 0"),
    ],
)
def test_a_configuration_of_another_version_is_refused(folder: Path, change: dict[str, object], words: str) -> None:
    rewrite(folder, lambda manifest: manifest["config"].update(change))
    with pytest.raises(DataError, match=words):
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


def test_weights_of_another_shape_are_refused(folder: Path) -> None:
    save_file({"alpha": torch.zeros(3)}, folder / WEIGHTS)
    sign_files(folder)
    with pytest.raises(DataError, match="weights and ranker of its own configuration"):
        load_bundle(folder)


def test_weights_of_another_number_of_memory_kinds_are_refused_in_words(folder: Path) -> None:
    weights = load_file(folder / WEIGHTS)
    repeated = {name: torch.cat([weights[name], weights[name][-1:]]) for name in ("kind", "sign")}
    save_file(weights | repeated, folder / WEIGHTS)
    sign_files(folder)
    words = r"got 4 memory kinds, where recmem\.matching\.memory_kinds has 3 \(negative, neutral, positive\) in "
    with pytest.raises(DataError, match=words):
        load_bundle(folder)


def test_a_claim_of_weights_without_end_is_refused_before_any_are_made(folder: Path) -> None:
    rewrite(folder, lambda manifest: manifest["config"]["match"].update(dim=10**18))
    with pytest.raises(DataError, match=r"query: expected a shape of \(16, 1000000000000000000\), got \(16, 384\)"):
        load_bundle(folder)


def test_an_encoder_that_is_not_there_is_told_when_a_text_is_encoded(folder: Path, tmp_path: Path) -> None:
    rewrite(folder, lambda manifest: manifest["config"]["encoder"].update(name="x" * 5000))
    model = Model.load(folder, store=trained_model().store)
    unseen = pl.DataFrame({"user_id": ["a"], "item_id": ["none"], "description": ["a text that is not kept"]})
    with pytest.raises(DataError, match=r"encoder\.name: expected a local folder or a Hugging Face id"):
        model.match(unseen)


def test_other_weights_fail_the_self_test(folder: Path) -> None:
    weights = load_file(folder / WEIGHTS)
    save_file(weights | {"prior": weights["prior"] + 0.01}, folder / WEIGHTS)
    sign_files(folder)
    with pytest.raises(DataError, match="expected the stored match_scores from the stored inputs"):
        load_bundle(folder)


def test_every_weight_counts_in_the_self_test(folder: Path) -> None:
    weights = load_file(folder / WEIGHTS)
    for name, weight in weights.items():
        save_file(weights | {name: weight + 0.5}, folder / WEIGHTS)
        sign_files(folder)
        with pytest.raises(DataError, match="stored match_scores"):
            load_bundle(folder)


def test_another_ranker_fails_the_self_test(folder: Path) -> None:
    layout = json.loads((folder / "ranker.json").read_text())
    layout["blend"] = {name: weight + 0.1 for name, weight in layout["blend"].items()}
    (folder / "ranker.json").write_text(json.dumps(layout))
    sign_files(folder)
    with pytest.raises(DataError, match="expected the stored rank_scores from the stored inputs"):
        load_bundle(folder)


def test_the_space_of_another_encoder_is_refused_when_a_text_is_encoded(folder: Path, tmp_path: Path) -> None:
    rewrite(folder, lambda manifest: manifest["config"].update(fingerprint="0" * 16))
    with pytest.raises(DataError, match=r"encoder: expected .* with fingerprint 0000000000000000"):
        Model.load(folder, store=Path(shutil.copytree(trained_model().store, tmp_path / "store")))


def test_the_manifest_tells_everything_of_the_configuration() -> None:
    config = load_bundle(trained_model().bundle).config
    manifest = json.loads((trained_model().bundle / MANIFEST).read_text())
    assert manifest["config"] == json.loads(json.dumps(asdict(config)))
