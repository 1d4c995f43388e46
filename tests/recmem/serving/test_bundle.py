"""The bundle: what is saved is loaded, exactly; what was changed, cut or comes from elsewhere is refused in words."""

from __future__ import annotations

import json
import pickletools
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch
from safetensors.torch import load_file, save_file

from changed_bundles import rewrite, sign_files
from debian_model import trained_model
from feature_store import DataError
from feature_store.item_vectors import space_fingerprint
from feature_store.ragged import Ragged
from recmem.matching.match_module import MatchModule
from recmem.ranking.pair_features import PairFeatures
from recmem.serving.bundle import load_bundle, save_bundle
from recmem.serving.manifest import FILES, MANIFEST, SELF_TEST, WEIGHTS
from recmem.serving.model import Model
from tolerances import close


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


def test_a_bundle_of_before_memories_held_anything_but_events_is_read_and_scores_as_then(tmp_path: Path) -> None:
    now = load_bundle(trained_model().bundle)
    vectors, pairs = a_sample()
    weights = {name: now.module.state_dict()[name][:3] for name in ("kind", "sign")}
    module = MatchModule.from_weights(now.config.match, now.module.state_dict() | weights).eval()
    config = replace(now.config, memory=replace(now.config.memory, declared=False))
    save_bundle(replace(now, module=module, config=config), tmp_path, sample_vectors=vectors, sample_pairs=pairs)
    added = ("declared", "consolidated", "negatives")
    rewrite(tmp_path, lambda manifest: [manifest["config"]["memory"].pop(name) for name in added])
    before = load_bundle(tmp_path)
    assert before.module.n_kinds == 3
    assert before.config.memory == config.memory
    candidates = trained_model().events.select("user_id", "item_id", "timestamp").head(40)
    scored = [Model.load(at, store=trained_model().store).rank(candidates) for at in (trained_model().bundle, tmp_path)]
    assert scored[0].equals(scored[1])

    rewrite(tmp_path, lambda manifest: manifest["config"]["memory"].update(consolidated=4))
    with pytest.raises(
        DataError, match="expected weights of the memory's kind 'consolidated', got those of 3 other kinds"
    ):
        load_bundle(tmp_path)


def test_the_same_bundle_is_written_byte_for_byte(tmp_path: Path) -> None:
    bundle = load_bundle(trained_model().bundle)
    vectors, pairs = a_sample()
    for name in ("a", "b"):
        save_bundle(bundle, tmp_path / name, sample_vectors=vectors, sample_pairs=pairs)
    for name in (MANIFEST, *FILES):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


def test_a_bundle_of_vectors_is_held_to_their_fingerprint_and_needs_no_texts(folder: Path) -> None:
    bundle = load_bundle(folder)
    vectors, pairs = a_sample()
    right = space_fingerprint("clip", bundle.config.match.dim)
    config = replace(bundle.config, vectors="clip", fingerprint=right, text_columns=())
    save_bundle(replace(bundle, config=config), folder, sample_vectors=vectors, sample_pairs=pairs)
    assert load_bundle(folder).config.vectors == "clip"
    wrong = replace(config, vectors="dino")
    save_bundle(replace(bundle, config=wrong), folder, sample_vectors=vectors, sample_pairs=pairs)
    with pytest.raises(DataError, match=rf"config.fingerprint: expected [0-9a-f]{{16}} of vectors, got {right}"):
        load_bundle(folder)


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


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"unheard_of": 1}, r"bundle\.config: expected the keys of BundleConfig, got unknown keys \(unheard_of\) in "),
        (
            {"memory": {"recent": "many", "retrieved": 0, "retrieved_from": 150}},
            "config.memory.recent: expected int, got 'many'",
        ),
        (
            {"memory": {"recent": 0, "retrieved": 0, "retrieved_from": 150}},
            r"config\.memory\.recent: expected 1 to 200, got 0",
        ),
        ({"text_columns": "title"}, "config.text_columns: expected a list"),
        (
            {"fingerprint": "../../elsewhere"},
            "config.fingerprint: expected at most 64 letters, digits, - and _, got '../../elsewhere'",
        ),
        ({"fingerprint": "x" * 20_000}, "config.fingerprint: expected at most 64 letters"),
        ({"calibration": {"slope": -1.0, "intercept": 0.0}}, "slope >= 0"),
    ],
)
def test_a_configuration_of_another_version_is_refused(folder: Path, change: dict[str, object], words: str) -> None:
    rewrite(folder, lambda manifest: manifest["config"].update(change))
    with pytest.raises(DataError, match=words):
        load_bundle(folder)


def test_weights_of_another_shape_are_refused(folder: Path) -> None:
    save_file({"alpha": torch.zeros(3)}, folder / WEIGHTS)
    sign_files(folder)
    with pytest.raises(DataError, match="weights and a ranker that fit its configuration"):
        load_bundle(folder)


def test_weights_of_another_number_of_memory_kinds_are_refused_in_words(folder: Path) -> None:
    weights = load_file(folder / WEIGHTS)
    repeated = {name: torch.cat([weights[name], weights[name][-1:]]) for name in ("kind", "sign")}
    save_file(weights | repeated, folder / WEIGHTS)
    sign_files(folder)
    words = (
        r"^bundle\.match\.kind: expected weights of \d memory kinds \(negative, neutral, positive, .*\), got \d in .*"
        r"train again\.$"
    )
    with pytest.raises(DataError, match=words):
        load_bundle(folder)


def test_a_claim_of_weights_without_end_is_refused_before_any_are_made(folder: Path) -> None:
    rewrite(folder, lambda manifest: manifest["config"]["match"].update(dim=10**18))
    with pytest.raises(
        DataError, match=r"query: expected weights of shape \(16, 1000000000000000000\), got \(16, 384\)"
    ):
        load_bundle(folder)


def test_a_missing_encoder_is_an_error_when_a_text_is_encoded(folder: Path, tmp_path: Path) -> None:
    rewrite(folder, lambda manifest: manifest["config"]["encoder"].update(name="x" * 5000))
    model = Model.load(folder, store=trained_model().store)
    unseen = pl.DataFrame({"user_id": ["a"], "item_id": ["none"], "description": ["a text that is not kept"]})
    with pytest.raises(DataError, match=r"^encoder: expected a local folder or a Hugging Face id"):
        model.match(unseen)


def test_the_space_of_another_encoder_is_refused_when_a_text_is_encoded(folder: Path, tmp_path: Path) -> None:
    rewrite(folder, lambda manifest: manifest["config"].update(fingerprint="0" * 16))
    with pytest.raises(DataError, match=r"encoder: expected .* with fingerprint 0000000000000000"):
        Model.load(folder, store=Path(shutil.copytree(trained_model().store, tmp_path / "store")))


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("x. y", r"^bundle\.config\.store_versions\.x\. y: expected int, got 'many' in "),
        ("\x1b[2J", r"^bundle\.config\.store_versions\.'\\x1b\[2J': expected int, got 'many' in "),
    ],
)
def test_any_name_in_a_bundle_leaves_the_error_in_its_form(folder: Path, name: str, words: str) -> None:
    rewrite(folder, lambda manifest: manifest["config"]["store_versions"].update({name: "many"}))
    with pytest.raises(DataError, match=words + r".*\. Load the bundle with the version"):
        load_bundle(folder)


def test_more_heads_than_memory_is_there_for_are_refused(folder: Path) -> None:
    rewrite(folder, lambda manifest: manifest["config"]["match"].update(n_heads=16_000_000, head_dim=1, dim=1))
    with pytest.raises(DataError, match=r"bundle\.config\.match\.n_heads: expected 1 to 1,024, got 16000000"):
        load_bundle(folder)


def test_a_ranker_that_names_inputs_to_control_a_terminal_is_refused_without_them(folder: Path) -> None:
    layout = json.loads((folder / "ranker.json").read_text())
    layout["inputs"][0] = "\x1b[2J"
    (folder / "ranker.json").write_text(json.dumps(layout))
    sign_files(folder)
    with pytest.raises(DataError, match=r"inputs of its own features, got \\x1b\[2J") as refused:
        load_bundle(folder)
    assert "\x1b" not in str(refused.value)
