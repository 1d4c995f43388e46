from __future__ import annotations

from collections.abc import Collection, Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recmem.retrieval.interleave import RetrievalConfig, interleave

N_ITEMS = 6
ORDERS = st.permutations(range(N_ITEMS))
SOURCES = st.lists(st.lists(ORDERS, min_size=2, max_size=2), min_size=1, max_size=3)
SEEN = st.lists(st.sets(st.integers(0, N_ITEMS - 1)), min_size=2, max_size=2)


def as_sources(orders: list[list[list[int]]]) -> dict[str, np.ndarray]:
    """Scores without ties, from the rank of each item: [source][query][item]."""
    return {str(number): np.array(scores, dtype=np.float32) for number, scores in enumerate(orders)}


def excluded(seen: Sequence[Collection[int]], n_items: int = N_ITEMS) -> np.ndarray:
    """Seen items of each query as a mask."""
    return np.array([[item in items for item in range(n_items)] for items in seen])


def slow(orders: list[list[list[int]]], query: int, seen: set[int], n_candidates: int) -> list[int]:
    """Round by round, the next item of each source that is neither seen nor taken."""
    ranked = [
        sorted((item for item in range(N_ITEMS) if item not in seen), key=lambda item: -scores[query][item])
        for scores in orders
    ]
    taken: list[int] = []
    for place in range(min(n_candidates, N_ITEMS - len(seen))):
        taken += [row[place] for row in ranked if row[place] not in taken]
    return list(dict.fromkeys(taken))[:n_candidates]


def test_sources_are_interleaved_by_hand() -> None:
    sources = {
        "first": np.array([[9, 8, 7, 0, 0, 0]], np.float32),
        "second": np.array([[9, 0, 0, 8, 7, 6]], np.float32),
    }
    assert interleave(sources, excluded([[]]), 5).to_lists() == [[0, 1, 3, 2, 4]]
    assert interleave(sources, excluded([[0, 3]]), 3).to_lists() == [[1, 4, 2]]


def test_a_source_does_not_offer_items_with_a_score_of_minus_infinity() -> None:
    sources = {
        "first": np.array([[9, 8, 7, 6, 5, 4]], np.float32),
        "second": np.array([[-np.inf, -np.inf, -np.inf, -np.inf, 2, 1]], np.float32),
    }
    assert interleave(sources, excluded([[]]), 6).to_lists() == [[0, 4, 1, 5, 2, 3]]
    assert interleave(sources, excluded([[4]]), 3).to_lists() == [[0, 5, 1]]


@given(SOURCES, SEEN, st.integers(1, N_ITEMS + 2))
def test_candidates_are_those_of_the_slow_rounds(
    orders: list[list[list[int]]], seen: list[set[int]], n_candidates: int
) -> None:
    found = interleave(as_sources(orders), excluded(seen), n_candidates).to_lists()
    assert found == [slow(orders, query, seen[query], n_candidates) for query in range(2)]


@given(SOURCES, SEEN, st.integers(1, N_ITEMS))
def test_fewer_candidates_are_the_first_of_more(
    orders: list[list[list[int]]], seen: list[set[int]], n_candidates: int
) -> None:
    rows = excluded(seen)
    fewer, more = (interleave(as_sources(orders), rows, n).to_lists() for n in (n_candidates, N_ITEMS))
    assert fewer == [row[:n_candidates] for row in more]


@given(SOURCES)
def test_queries_of_a_batch_retrieve_as_single_ones(orders: list[list[list[int]]]) -> None:
    sources = as_sources(orders)
    whole = interleave(sources, excluded([[], []]), 4).to_lists()
    for query in range(2):
        single = {name: scores[query : query + 1] for name, scores in sources.items()}
        assert interleave(single, excluded([[]]), 4).to_lists() == whole[query : query + 1]


def test_negative_scores_are_not_taken_for_excluded_items() -> None:
    scores = {"only": np.array([[-3.0, -1.0, -2.0]], np.float32)}
    assert interleave(scores, excluded([[1]], n_items=3), 3).to_lists() == [[2, 0]]


def test_scores_are_left_as_they_are() -> None:
    scores = np.array([[3.0, 1.0, 2.0]], np.float32)
    interleave({"only": scores}, excluded([[0]], n_items=3), 3)
    assert scores.tolist() == [[3.0, 1.0, 2.0]]


def test_no_candidates_are_refused() -> None:
    with pytest.raises(
        ValueError, match=r"candidates: expected 1 to 1,000,000, got 0\. Give the number of items per query\."
    ):
        RetrievalConfig(candidates=0)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"whole_up_to": 0}, r"whole_up_to: expected 1 to 1,000,000,000,000, got 0"),
        ({"search": "near"}, r"search: expected one of exact, faiss, faiss-graph, got 'near'"),
    ],
)
def test_a_wrong_configuration_is_refused(change: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        RetrievalConfig(**change)  # type: ignore[arg-type]
