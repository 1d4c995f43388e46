"""The cost of a cascade: how many pairs the trees score in each pass, and what NDCG becomes."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from debian_model import trained_model
from recmem.ranking import ranker as ranker_module
from recmem.ranking.ranker import Blend
from tolerances import close
from training.evaluation.cascade_cost import CascadeCost, cascade_cost


def cost_of(*shares: float, blend_scale: float = 1.0) -> CascadeCost:
    """The cost for the test model; `blend_scale` below 1 leaves more of its order to the trees."""
    model = trained_model().model()
    ranker = model.bundle.ranker
    weights = {name: weight * blend_scale for name, weight in ranker.blend.weights.items()}
    model.bundle = replace(model.bundle, ranker=replace(ranker, blend=Blend(weights)))
    return cascade_cost(model, limit=20, generator=np.random.default_rng(0), shares=shares)


def test_a_cascade_that_drops_nothing_costs_nothing() -> None:
    found = cost_of(1.0)
    expected = (1.0, found.all_by_trees, (0.0, 0.0))
    assert [(cost.scored_by_trees, cost.figure, cost.ci95) for cost in found.costs] == [expected]


def test_fewer_pairs_for_the_trees_have_a_cost(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ranker_module, "MIN_TREE_CANDIDATES", 1)
    found = cost_of(0.5, 0.0, blend_scale=0.01)
    half, least = found.costs
    assert 1 > half.scored_by_trees > least.scored_by_trees > 0
    for cost in found.costs:
        close(cost.figure, found.all_by_trees + cost.difference, "float64")
        assert cost.ci95[0] <= cost.difference <= cost.ci95[1]
        assert cost.speed_up > 0
    assert least.figure != found.all_by_trees
