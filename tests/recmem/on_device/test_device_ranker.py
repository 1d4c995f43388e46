"""The ranker on a device scores as the one on the CPU, to the bit."""

from __future__ import annotations

import gc
import weakref

import pytest
import torch

from feature_store import DataError
from recmem.on_device.device_ranker import DeviceRanker
from recmem.on_device.segments import Segments
from recmem.ranking.pair_features import PairFeatures
from recmem.ranking.ranker import Blend, Ranker
from recmem.ranking.trees import Trees
from small_ranker import FEATURES, INPUTS, pairs, ranker
from tolerances import close


def scores(model: Ranker, data: PairFeatures, device: torch.device, *, trees_share: float = 1.0) -> torch.Tensor:
    features = {name: torch.from_numpy(column).to(device) for name, column in data.values.items()}
    queries = Segments.of(data.candidates, device)
    return DeviceRanker.of(model, device).scores(features, queries, trees_share=trees_share)


@pytest.mark.parametrize("share", [1.0, 0.0, 0.3, 0.7])
@pytest.mark.parametrize("lengths", [(5, 1, 80, 0, 100, 300), (0, 0), ()])
def test_scores_are_those_of_the_cpu(device: torch.device, share: float, lengths: tuple[int, ...]) -> None:
    data = pairs(lengths)
    close(scores(ranker(), data, device, trees_share=share), ranker().scores(data, trees_share=share), "exact")


def test_a_blend_alone_and_trees_alone(device: torch.device) -> None:
    trees_alone = Ranker(ranker().trees, Blend({}), FEATURES, INPUTS)
    close(scores(trees_alone, pairs(), device), trees_alone.scores(pairs()), "exact")
    blend = Blend({"match_raw_z": 0.1, "item_age_z": 1 / 3, "items.price_z": -0.7, "user_gap": 0.3})
    both = Ranker(ranker().trees, blend, FEATURES, INPUTS)
    close(scores(both, pairs(), device), both.scores(pairs()), "exact")


def test_equal_pairs_have_equal_scores(device: torch.device) -> None:
    data = pairs((40,))
    for column in data.values.values():
        column[20:] = column[:20]
    found = scores(ranker(), data, device)
    assert found[:20].equal(found[20:])


def test_a_missing_feature_is_refused(device: torch.device) -> None:
    data = pairs()
    del data.values["user_gap"]
    with pytest.raises(DataError, match=r"features: expected match_raw.*got none or another type for user_gap"):
        scores(ranker(), data, device)


def test_the_trees_of_a_ranker_are_put_on_a_device_once_and_go_with_it(device: torch.device) -> None:
    model = Ranker(Trees(ranker().trees.text), ranker().blend, FEATURES, INPUTS)
    kept = weakref.ref(DeviceRanker.of(model, device).trees)
    assert DeviceRanker.of(model, device).trees is kept()
    scores(model, pairs(), device)
    del model
    gc.collect()
    assert kept() is None
