"""The self-test: a bundle whose weights or ranker compute other scores than were stored is refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from changed_bundles import sign_files
from debian_model import trained_model
from feature_store import DataError
from feature_store.ragged import Ragged
from recmem.ranking.pair_features import PairFeatures
from recmem.serving.bundle import load_bundle
from recmem.serving.manifest import SELF_TEST, WEIGHTS
from recmem.serving.self_test import SELF_TEST_TOLERANCE, check_sample, check_self_test, self_test_sample


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


@pytest.mark.parametrize("name", ["match_scores", "rank_scores"])
def test_scores_may_differ_by_the_tolerance_and_no_more(folder: Path, name: str) -> None:
    sample = load_file(folder / SELF_TEST)
    save_file(sample | {name: sample[name] + 0.9 * SELF_TEST_TOLERANCE}, folder / SELF_TEST)
    sign_files(folder)
    load_bundle(folder)
    # Both parts of the tolerance, absolute and relative, are exceeded for every score.
    beyond = 2 * SELF_TEST_TOLERANCE * (1 + sample[name].abs())
    save_file(sample | {name: sample[name] + beyond}, folder / SELF_TEST)
    sign_files(folder)
    with pytest.raises(DataError, match=f"expected the stored {name} from the stored inputs, got differences of up to"):
        load_bundle(folder)


def changed_sample(folder: Path, change: Callable[[dict[str, torch.Tensor]], None]) -> None:
    sample = load_file(folder / SELF_TEST)
    change(sample)
    save_file({name: tensor.contiguous() for name, tensor in sample.items()}, folder / SELF_TEST)
    sign_files(folder)


@pytest.mark.parametrize("value", [-1, 10**9, 2**62, -(2**63)])
@pytest.mark.parametrize("place", [0, 1, -1])
def test_an_offset_beyond_the_pairs_is_refused_before_anything_follows_it(folder: Path, value: int, place: int) -> None:
    def change(sample: dict[str, torch.Tensor]) -> None:
        sample["pair_offsets"][place] = value

    changed_sample(folder, change)
    with pytest.raises(DataError, match=r"bundle\.offsets: expected non-decreasing numbers from 0 to \d+, got"):
        load_bundle(folder)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"vectors": torch.zeros(0, 384)}, "self_test: expected 1 to 32 texts and few pairs, got 0"),
        ({"vectors": torch.zeros(33, 384)}, "self_test: expected 1 to 32 texts and few pairs, got 33"),
        ({"vectors": torch.zeros(4, 12)}, r"self_test.vectors: expected torch.float32\[4, 384\], got .*\[4, 12\]"),
        ({"vectors": torch.tensor(1.0)}, "self_test: expected 1 to 32 texts"),
        ({"match_scores": torch.zeros(3, 3)}, "self_test.match_scores: expected torch.float32"),
        ({"rank_scores": torch.zeros(5)}, "self_test.rank_scores: expected torch.float64"),
        ({"pair_items": torch.zeros(2, dtype=torch.int64)}, "self_test.rank_scores: expected torch.float64.2.|offsets"),
        ({"pair_items": torch.zeros(10**6, dtype=torch.int64)}, "few pairs, got 32 and 1,000,000"),
        ({"pair.match_raw": torch.zeros(3)}, "self_test.pair.match_raw: expected torch.float32"),
        ({"pair.unheard_of": torch.zeros(3)}, "got 'pair.unheard_of' missing or too many"),
    ],
)  # fmt: skip
def test_arrays_that_do_not_fit_are_refused(folder: Path, changes: dict[str, torch.Tensor], words: str) -> None:
    changed_sample(folder, lambda sample: sample.update(changes))
    with pytest.raises(DataError, match=rf"^bundle\..*({words})"):
        load_bundle(folder)


@pytest.mark.parametrize("name", ["vectors", "match_scores", "rank_scores"])
def test_numbers_that_are_not_finite_are_refused(folder: Path, name: str) -> None:
    def change(sample: dict[str, torch.Tensor]) -> None:
        sample[name].view(-1)[3] = torch.nan

    changed_sample(folder, change)
    with pytest.raises(DataError, match=rf"self_test.{name}: expected finite numbers"):
        load_bundle(folder)


@pytest.mark.parametrize("name", ["pair_offsets", "pair_items", "vectors", "rank_scores", "pair.item_age"])
def test_a_missing_array_is_refused(folder: Path, name: str) -> None:
    def remove(sample: dict[str, torch.Tensor]) -> None:
        del sample[name]

    changed_sample(folder, remove)
    with pytest.raises(DataError, match=r"^bundle\.self_test.*: expected "):
        load_bundle(folder)


def test_a_self_test_that_would_take_hours_is_refused() -> None:
    bundle = load_bundle(trained_model().bundle)
    sample = load_file(trained_model().bundle / SELF_TEST)
    check_sample(sample, bundle.config.match, bundle.ranker.features, n_steps=1000)
    with pytest.raises(ValueError, match="self_test: expected 1 to 32 texts and few pairs"):
        check_sample(sample, bundle.config.match, bundle.ranker.features, n_steps=10**9)


@pytest.mark.parametrize(("n_copies", "n_stored"), [(2, 150), (400, 10_000)])
def test_only_as_many_queries_are_stored_as_a_load_should_score(n_copies: int, n_stored: int) -> None:
    bundle = load_bundle(trained_model().bundle)
    sample = load_file(trained_model().bundle / SELF_TEST)
    values = {name: sample[f"pair.{name}"].numpy() for name in bundle.ranker.features}
    pairs = PairFeatures(Ragged(sample["pair_items"].numpy(), sample["pair_offsets"].numpy()), values)
    stored = self_test_sample(bundle.module, bundle.ranker, sample["vectors"], PairFeatures.concat([pairs] * n_copies))
    assert len(pairs.candidates.values) == 75
    assert len(stored["pair_items"]) == len(stored["rank_scores"]) == n_stored
    assert stored["pair_offsets"][-1] == n_stored
    check_self_test(bundle.module, bundle.ranker, stored, where="")
