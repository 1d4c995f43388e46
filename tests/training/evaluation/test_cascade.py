"""The price of a cascade: what the trees see in each pass, and what it costs."""

from __future__ import annotations

import numpy as np
import pytest

from debian_model import trained_model
from recmem.ranking import ranker as ranker_module
from tolerances import close
from training.evaluation.cascade import Cascade, price_of_cascade


def priced(*shares: float) -> Cascade:
    return price_of_cascade(trained_model().model(), limit=20, generator=np.random.default_rng(0), shares=shares)


def test_a_cascade_that_drops_nothing_costs_nothing() -> None:
    found = priced(1.0)
    assert [(price.seen, price.figure, price.ci95) for price in found.prices] == [(1.0, found.whole, (0.0, 0.0))]


def test_what_the_trees_do_not_see_has_a_price(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ranker_module, "MIN_TREE_CANDIDATES", 1)
    found = priced(0.5, 0.0)
    half, least = found.prices
    assert 1 > half.seen > least.seen > 0
    for price in found.prices:
        close(price.figure, found.whole + price.difference, "float64")
        assert price.ci95[0] <= price.difference <= price.ci95[1]
    assert least.figure != found.whole
