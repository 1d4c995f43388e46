"""The self-test: a bundle whose weights or ranker compute other scores than were stored is refused."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from safetensors.torch import load_file, save_file

from changed_bundles import sign_files
from feature_store import DataError
from recmem.serving.bundle import load_bundle
from recmem.serving.manifest import SELF_TEST, WEIGHTS
from recmem.serving.self_test import SELF_TEST_TOLERANCE


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
