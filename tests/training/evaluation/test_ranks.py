from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from tolerances import close
from training.evaluation import ranks as ranks_module
from training.evaluation.ranks import rank_of_positives, rank_of_rows

Arrays = tuple[NDArray[np.float64], NDArray[np.int64], NDArray[np.int64]]


def seeded(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


@st.composite
def ranked_queries(draw: st.DrawFn, *, tied: bool = True, labelled: bool = False) -> Arrays:
    """Scores, labels and offsets of a few queries; empty queries and many ties unless the arguments rule them out."""
    lengths = draw(st.lists(st.integers(2 if labelled else 0, 12), min_size=1, max_size=6))
    generator = seeded(draw(st.integers(0, 2**16)))
    n = sum(lengths)
    scores = generator.integers(0, 4, n).astype(float) if tied else generator.permutation(n).astype(float)
    labels = generator.integers(0, 2, n)
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    if labelled:
        labels[offsets[:-1]] = 0
        labels[offsets[:-1] + 1] = 1
    return scores, labels, offsets


def parts(offsets: NDArray[np.int64]) -> list[slice]:
    return [slice(a, b) for a, b in pairwise(offsets.tolist())]


def test_ranks_of_two_queries_worked_by_hand() -> None:
    scores = [0.9, 0.1, 0.5, 7.0, 8.0]
    labels = [0, 1, 1, 1, 0]
    ranks, offsets = rank_of_positives(scores, labels, np.array([0, 3, 5]))
    close(ranks, [3.0, 2.0, 2.0], "exact")
    close(offsets, [0, 2, 3], "exact")


def test_without_a_generator_tied_candidates_share_their_mean_rank() -> None:
    ranks, _ = rank_of_positives([2.0, 1.0, 1.0, 1.0], [0, 1, 0, 0], np.array([0, 4]))
    close(ranks, [3.0], "exact")


def test_with_a_generator_tied_candidates_are_ordered_at_random_and_evenly() -> None:
    n_queries = 4000
    scores = np.ones(4 * n_queries)
    labels = np.tile([1, 0, 0, 0], n_queries)
    ranks, _ = rank_of_positives(scores, labels, np.arange(n_queries + 1) * 4, generator=seeded())
    counts = np.bincount(ranks.astype(int), minlength=5)[1:]
    assert counts.sum() == n_queries
    assert (abs(counts - n_queries / 4) < 5 * math.sqrt(n_queries * 3 / 16)).all()


def test_tied_positives_of_a_query_get_different_places() -> None:
    ranks, _ = rank_of_positives(np.zeros(6), np.ones(6), np.array([0, 6]), generator=seeded())
    close(np.sort(ranks), np.arange(1, 7), "exact")


def test_a_row_that_was_not_retrieved_has_an_infinite_rank() -> None:
    ranks = rank_of_rows(np.array([0.2, 0.4]), np.array([0, 2]), np.array([-1, 0]))
    close(ranks, [np.inf, 2.0], "exact")


def test_ranks_do_not_depend_on_how_the_work_is_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    generator = seeded()
    scores = generator.integers(0, 9, 300).astype(float)
    labels = generator.integers(0, 2, 300)
    offsets = np.arange(0, 301, 20)
    whole = rank_of_positives(scores, labels, offsets, generator=seeded(1))[0]
    monkeypatch.setattr(ranks_module, "_PAIRS_AT_ONCE", 30)
    close(rank_of_positives(scores, labels, offsets, generator=seeded(1))[0], whole, "exact")


def test_infinite_scores_have_ranks() -> None:
    ranks, _ = rank_of_positives([np.inf, -np.inf, 0.0, -np.inf], [1, 1, 1, 0], np.array([0, 4]))
    close(ranks, [1.0, 3.5, 2.0], "exact")


def test_a_nan_score_is_refused() -> None:
    with pytest.raises(ValueError, match=r"scores: expected numbers, got NaN \(1 rows\)"):
        rank_of_positives([1.0, np.nan], [1, 0], np.array([0, 2]))


def test_offsets_that_do_not_cover_the_scores_are_refused() -> None:
    with pytest.raises(ValueError, match="offsets: expected rising values from 0 to 3, got 0 to 2"):
        rank_of_positives([1.0, 2.0, 3.0], [1, 0, 1], np.array([0, 2]))


@given(ranked_queries())
def test_mean_ranks_equal_a_slow_oracle(queries: Arrays) -> None:
    scores, labels, offsets = queries
    ranks, _ = rank_of_positives(scores, labels, offsets)
    expected = [
        1 + (scores[part] > score).sum() + ((scores[part] == score).sum() - 1) / 2
        for part in parts(offsets)
        for score in scores[part][labels[part] > 0]
    ]
    close(ranks, expected, "exact")


@given(ranked_queries(), st.integers(0, 99))
def test_random_ranks_lie_among_the_places_of_their_tie(queries: Arrays, seed: int) -> None:
    scores, labels, offsets = queries
    drawn, cuts = rank_of_positives(scores, labels, offsets, generator=seeded(seed))
    for part, ranked in zip(parts(offsets), parts(cuts), strict=True):
        own = scores[part][labels[part] > 0]
        above = (scores[part] > own[:, None]).sum(axis=1)
        not_below = (scores[part] >= own[:, None]).sum(axis=1)
        assert len(set(drawn[ranked])) == len(own)
        assert ((drawn[ranked] > above) & (drawn[ranked] <= not_below)).all()
