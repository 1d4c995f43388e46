"""Z-scores and ranks within a query: by hand, against the slow reference, and one query never changes another."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import slow_reference
from feature_store.ragged import Ragged
from recmem.ranking.normalise import ranks, z_scores
from tolerances import close

VALUES = st.integers(-1000, 1000).map(lambda value: value / 8) | st.just(math.nan)
QUERIES = st.lists(st.lists(VALUES, max_size=6), max_size=5)


def scores(queries: list[list[float]]) -> list[list[float]]:
    offsets = Ragged.from_lists([[0] * len(query) for query in queries]).offsets
    flat = np.array([value for query in queries for value in query], dtype=np.float32)
    by_numpy = z_scores(np.stack([flat, -flat]), offsets, backend="numpy")
    close(z_scores(np.stack([flat, -flat]), offsets), by_numpy, "exact")
    close(by_numpy[1], -by_numpy[0], "exact")
    found = by_numpy[0].tolist()
    return [found[offsets[place] : offsets[place + 1]] for place in range(len(queries))]


def test_scores_of_a_case_by_hand() -> None:
    found = scores([[1.0, 3.0], [], [5.0, math.nan, 5.0], [0.0, 0.0, 3.0]])
    close(found[0], [-1.0, 1.0], "float32")
    close(found[2], [0.0, math.nan, 0.0], "exact")
    close(found[3], [-1 / math.sqrt(2), -1 / math.sqrt(2), math.sqrt(2)], "float32")


@given(QUERIES)
def test_scores_are_those_of_the_slow_reference(queries: list[list[float]]) -> None:
    for found, query in zip(scores(queries), queries, strict=True):
        close(found, slow_reference.z_scores(query), "float32")


@given(QUERIES)
def test_queries_of_a_batch_are_scored_as_single_ones(queries: list[list[float]]) -> None:
    for found, query in zip(scores(queries), queries, strict=True):
        close(found, scores([query])[0], "exact")


def test_a_query_of_large_numbers_does_not_change_the_others() -> None:
    small = [0.25, 0.5, 0.75]
    found = scores([[1e15, 3e15], small, [1.1e15, 1.1e15, 1.1e15]])
    close(found[1], scores([small])[0], "exact")
    close(found[2], [0.0, 0.0, 0.0], "exact")


@given(st.lists(VALUES, min_size=1, max_size=6), st.integers(-50, 50), st.integers(1, 20))
def test_scale_and_shift_of_a_query_do_not_matter(query: list[float], shift: int, factor: int) -> None:
    moved = [value * factor + shift for value in query]
    close(scores([moved])[0], scores([query])[0], "float32")


@given(
    st.lists(VALUES, min_size=1, max_size=6).flatmap(
        lambda query: st.tuples(st.just(query), st.permutations(range(len(query))))
    )
)
def test_permuting_candidates_permutes_scores(case: tuple[list[float], list[int]]) -> None:
    query, order = case
    in_order = scores([query])[0]
    close(scores([[query[place] for place in order]])[0], [in_order[place] for place in order], "float32")


def test_ranks_of_a_case_by_hand() -> None:
    scores = np.array([0.5, 2.0, 0.5, -1.0, 7.0, 3.0, 3.0, 9.0])
    query = np.array([0, 0, 0, 0, 2, 3, 3, 3])
    assert ranks(scores, query).tolist() == [2, 1, 2, 4, 1, 2, 2, 1]


@given(st.lists(st.lists(st.integers(-3, 3), max_size=6), max_size=5))
def test_a_rank_is_one_more_than_the_number_of_better_scores(queries: list[list[int]]) -> None:
    scores = np.array([score for query in queries for score in query], np.float64)
    query = np.repeat(np.arange(len(queries)), [len(scores_of_query) for scores_of_query in queries])
    expected = [1 + sum(better > score for better in of_query) for of_query in queries for score in of_query]
    assert ranks(scores, query.astype(np.int64)).tolist() == expected


@pytest.mark.parametrize("offsets", [[0, 5], [0, 2], [1, 3], [0, 4, 2, 3], [-1, 3], [0, 2**62, 3], []])
@pytest.mark.parametrize("backend", ["numpy", "auto"])
def test_offsets_beyond_the_rows_are_refused_before_anything_follows_them(offsets: list[int], backend: str) -> None:
    with pytest.raises(ValueError, match="offsets: expected non-decreasing numbers from 0 to 3, got others"):
        z_scores(np.ones((2, 3), np.float32), np.array(offsets, np.int64), backend=backend)
