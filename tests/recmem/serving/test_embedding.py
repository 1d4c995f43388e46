"""A bundle with a tuned encoder: what is saved, what is read when, what is refused, and two bundles over one store."""

from __future__ import annotations

import shutil
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import torch
from safetensors.torch import load_file, save_file

from changed_bundles import rewrite, sign_files
from debian_model import encoder, trained_model
from feature_store import DataError
from recmem.serving.bundle import load_bundle
from recmem.serving.manifest import ENCODER, FILES, MANIFEST
from recmem.serving.model import Model
from recmem.text.encoder import TextEncoder
from recmem.text.encoder_tuning import EncoderTuning, tuned_fingerprint
from recmem.text.unit_vectors import exact_units
from tolerances import close
from tuned_bundle import DIM, learned, tuned_module, write_tuned_bundle

CANDIDATES = ["user_id", "item_id", "timestamp"]


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A folder with a tuned bundle and a copy of the store."""
    write_tuned_bundle(tmp_path / "bundle")
    shutil.copytree(trained_model().store, tmp_path / "store")
    return tmp_path


def model_in(place: Path, bundle: str = "bundle") -> Model:
    return Model.load(place / bundle, store=place / "store", device="cpu")


def test_what_was_learned_comes_back_exactly_in_half_the_space(place: Path) -> None:
    bundle = load_bundle(place / "bundle")
    assert set(bundle.tuned) == set(learned(0))
    for name, tensor in learned(0).items():
        close(bundle.tuned[name].float(), tensor, "exact")
    n_numbers = sum(tensor.numel() for tensor in learned(0).values())
    assert (place / "bundle" / ENCODER).stat().st_size < 2.1 * n_numbers
    assert sorted(path.name for path in (place / "bundle").iterdir()) == sorted([MANIFEST, *FILES, ENCODER])


def test_the_module_reads_both_spaces_and_cosines_stay_those_of_the_frozen_one(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    load = TextEncoder.load
    monkeypatch.setattr(TextEncoder, "load", lambda config, **_: load(config, device="cpu", dtype="float32"))
    model = model_in(place)
    texts = model.dataset.catalogue.texts
    frozen = exact_units(encoder().encode(texts).half().float())
    close((model.matcher.tables.unit.float() * frozen).sum(dim=1), torch.ones(len(texts)), "grid")
    assert model.matcher.tables.unit.shape == (len(texts), DIM)
    tuned = model.bundle.config.tuned_fingerprint
    assert (place / "store" / "vectors" / str(tuned)).is_dir()
    expected = tuned_module().tables(model._embedding.of_items(texts))  # of both spaces
    close(model.matcher.tables.value, expected.value.detach(), "float16")
    # The projections would be others without the tuned half.
    half = model._embedding.of_items(texts)
    half[:, DIM:] = 0
    assert (tuned_module().tables(half).value - expected.value).abs().max() > 0.01


def test_no_encoder_is_loaded_once_both_spaces_are_cached(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    candidates = trained_model().events.select(CANDIDATES).head(20)
    first = model_in(place).rank(candidates)

    def fail(*_: object, **__: object) -> None:
        raise AssertionError("the encoder was loaded")

    monkeypatch.setattr(TextEncoder, "load", fail)
    assert model_in(place).rank(candidates).equals(first)


def test_an_unseen_text_is_scored_as_the_same_text_of_an_item(place: Path) -> None:
    model = model_in(place)
    item = trained_model().items.row(0, named=True)
    texts = {name: item[name] for name in model.bundle.config.text_columns}
    user = trained_model().events["user_id"][0]
    known = model.match(pl.DataFrame([{"user_id": user, "item_id": item["item_id"]}]))
    unseen = model.match(pl.DataFrame([{"user_id": user, "item_id": "never seen", **texts}]))
    # Encoded in another batch: the last bits may differ, and with them a rounded cell.
    assert unseen["match_raw"][0] == pytest.approx(known["match_raw"][0], abs=0.02)


def test_two_bundles_of_one_store_serve_beside_each_other_while_one_encodes(place: Path) -> None:
    candidates = trained_model().events.select(CANDIDATES).head(20)
    old = model_in(place)
    before = old.rank(candidates)
    newer = write_tuned_bundle(place / "newer", seed=1)
    with ThreadPoolExecutor(1) as pool:
        loading = pool.submit(model_in, place, "newer")
        while True:
            assert old.rank(candidates).equals(before)
            assert model_in(place).rank(candidates).equals(before)
            if loading.done():
                break
    new = loading.result()
    assert not new.match(candidates).equals(old.match(candidates))
    folders = {path.name for path in (place / "store" / "vectors").iterdir() if path.is_dir()}
    assert {old.bundle.config.tuned_fingerprint, newer.config.tuned_fingerprint, newer.config.fingerprint} <= folders


def test_tensors_that_were_exchanged_are_refused_at_loading_even_if_all_vectors_are_cached(place: Path) -> None:
    model_in(place)
    tensors = load_file(place / "bundle" / ENCODER)
    name = min(tensors)
    save_file(tensors | {name: tensors[name] + 1}, place / "bundle" / ENCODER)
    sign_files(place / "bundle")
    words = rf"^bundle: expected {ENCODER} with fingerprint \w+, got \w+ in .*Copy the whole bundle folder again"
    with pytest.raises(DataError, match=words):
        model_in(place)


def test_numbers_that_no_encoder_can_use_are_refused_in_words(place: Path) -> None:
    tensors = {name: torch.full(part.shape, 3e38) for name, part in load_file(place / "bundle" / ENCODER).items()}
    save_file(tensors, place / "bundle" / ENCODER)
    sign_files(place / "bundle")
    name_tensors(place / "bundle")
    with pytest.raises(DataError, match=r"^encoder: expected finite vectors from the model's text encoder, got NaN"):
        model_in(place)


def name_tensors(folder: Path) -> None:
    """Gives the bundle the fingerprint of the tensors that it has."""

    def change(manifest: dict[str, Any]) -> None:
        config = manifest["config"]
        tuning = EncoderTuning(**config["tuning"])
        config["tuned_fingerprint"] = tuned_fingerprint(config["fingerprint"], tuning, load_file(folder / ENCODER))

    rewrite(folder, change)


def test_another_base_encoder_is_refused(place: Path) -> None:
    rewrite(place / "bundle", lambda manifest: manifest["config"].update(fingerprint="e" * 16))
    name_tensors(place / "bundle")
    with pytest.raises(DataError, match=r"^encoder: expected all-MiniLM-L6-v2 with fingerprint e{16} and 384 dimen"):
        model_in(place)


@pytest.mark.parametrize("value", [torch.nan, torch.inf])
def test_tensors_that_are_not_finite_are_refused_at_loading(place: Path, value: float) -> None:
    tensors = load_file(place / "bundle" / ENCODER)
    name = min(tensors)
    save_file(tensors | {name: torch.full_like(tensors[name], value)}, place / "bundle" / ENCODER)
    sign_files(place / "bundle")
    with pytest.raises(DataError, match=r"encoder\..*expected finite numbers, got NaN or infinity"):
        load_bundle(place / "bundle")


def test_tensors_of_other_types_are_refused_at_loading(place: Path) -> None:
    save_file({"weight": torch.ones(3, dtype=torch.int64)}, place / "bundle" / ENCODER)
    sign_files(place / "bundle")
    with pytest.raises(DataError, match=r"expected a dtype of F16, F32, got 'I64'"):
        load_bundle(place / "bundle")


def test_a_changed_or_missing_encoder_is_refused(place: Path) -> None:
    path = place / "bundle" / ENCODER
    content = path.read_bytes()
    path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    with pytest.raises(DataError, match=f"expected an unmodified {ENCODER}"):
        load_bundle(place / "bundle")
    path.unlink()
    with pytest.raises(DataError, match=f"expected the file {ENCODER}, got none"):
        load_bundle(place / "bundle")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"tuned_fingerprint": None}, r"config\.tuning, tuned_fingerprint: expected both or none"),
        ({"tuned_fingerprint": "../up"}, r"config\.tuned_fingerprint: expected at most 64 letters"),
        ({"tuning": {"kind": "magic", "layers": 1, "rank": 4}}, r"config\.tuning\.kind: expected one of"),
        ({"tuning": {"kind": "lora", "layers": 1, "rank": 10**9}}, r"config\.tuning\.rank: expected 1 to 4,096"),
        ({"match": {"dim": 768, "n_heads": 2, "head_dim": 8, "similarity_dim": 383}}, "similarity_dim: expected half"),
        ({"match": {"dim": 768, "n_heads": 2, "head_dim": 8, "similarity_dim": None}}, "similarity_dim: expected half"),
    ],
)
def test_a_configuration_whose_spaces_do_not_fit_is_refused(place: Path, change: dict[str, object], words: str) -> None:
    rewrite(place / "bundle", lambda manifest: manifest["config"].update(change))
    with pytest.raises(DataError, match=words):
        load_bundle(place / "bundle")


def test_a_frozen_bundle_may_not_bring_an_encoder(tmp_path: Path) -> None:
    shutil.copytree(trained_model().bundle, tmp_path / "bundle")
    save_file({"weight": torch.ones(3)}, tmp_path / "bundle" / ENCODER)
    sign_files(tmp_path / "bundle")
    with pytest.raises(DataError, match=r"expected checksums of .* in bundle\.json, got those of"):
        load_bundle(tmp_path / "bundle")


def test_a_bundle_from_before_tuning_is_read_as_before(tmp_path: Path) -> None:
    shutil.copytree(trained_model().bundle, tmp_path / "bundle")

    def without_new_settings(manifest: dict[str, dict[str, dict[str, object]]]) -> None:
        config = manifest["config"]
        del config["tuning"], config["tuned_fingerprint"]
        del config["match"]["similarity_dim"], config["encoder"]["text_prefix"]

    rewrite(tmp_path / "bundle", without_new_settings)
    assert load_bundle(tmp_path / "bundle").config == load_bundle(trained_model().bundle).config
    candidates = trained_model().events.select(CANDIDATES).head(20)
    older = Model.load(tmp_path / "bundle", store=trained_model().store, device="cpu")
    assert older.rank(candidates).equals(trained_model().model().rank(candidates))


def test_a_prefix_tuning_names_the_extra_only_when_a_text_must_be_encoded(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "peft", None)
    save_file({"prompt_encoder.default.embedding.weight": torch.ones(4, 4608)}, place / "bundle" / ENCODER)
    tuning = {"kind": "prefix", "layers": 1, "rank": 4}
    sign_files(place / "bundle")
    rewrite(place / "bundle", lambda manifest: manifest["config"].update(tuning=tuning))
    name_tensors(place / "bundle")
    assert load_bundle(place / "bundle").config.tuning == EncoderTuning("prefix", layers=1, rank=4)
    with pytest.raises(DataError, match=r"tuned text encoder cannot be used\. .*pip install 'recmem\[peft\]'"):
        model_in(place)
