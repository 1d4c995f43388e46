"""How like the other candidates of its query an item is."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from feature_store.ragged import Ragged
from five_item_dataset import matcher
from recmem.matching import matcher as matcher_module
from recmem.matching.matcher import Matcher
from recmem.matching.shown_similarity import shown_pair_similarities


def test_each_candidate_is_compared_with_those_of_its_query_alone() -> None:
    unit = matcher().tables.unit.double().numpy()
    found = shown_pair_similarities(matcher(), Ragged.from_lists([[0, 1, 2], [], [3, 4]]))
    for rows, pairs in (([0, 1, 2], slice(0, 3)), ([3, 4], slice(3, 5))):
        expected = (unit[rows] @ unit[rows].T).mean(1)
        assert np.abs(found[pairs] - expected).max() < 1e-6


def test_the_order_of_candidates_changes_no_number() -> None:
    order = [[4, 1, 3, 0, 2], [0, 1, 2, 3, 4]]
    found = shown_pair_similarities(matcher(), Ragged.from_lists(order))
    assert found[:5][np.argsort(order[0])].tolist() == found[5:].tolist()


def test_without_candidates_there_is_nothing() -> None:
    assert shown_pair_similarities(matcher(), Ragged.from_lists([[]])).tolist() == []


def test_vectors_of_a_gpu_are_fetched_once_for_all_queries(monkeypatch: pytest.MonkeyPatch) -> None:
    candidates = Ragged.from_lists([[0, 1, 2], [], [3, 4]])
    expected = shown_pair_similarities(matcher(), candidates)
    fetched = []

    def sent(rows: torch.Tensor, device: torch.device) -> torch.Tensor:
        fetched.append(rows.tolist())
        return rows

    monkeypatch.setattr(Matcher, "device", torch.device("meta"))
    monkeypatch.setattr(matcher_module, "sent", sent)
    assert shown_pair_similarities(matcher(), candidates).tolist() == expected.tolist()
    assert fetched == [[0, 1, 2, 3, 4]]
