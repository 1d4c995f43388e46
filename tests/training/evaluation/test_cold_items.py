from __future__ import annotations

import numpy as np
import pytest

from feature_store.ragged import Ragged
from slow_reference import Event
from strategies import event_log
from tolerances import close
from training.evaluation.cold_items import buries_cold_items, cold_positives, cold_recall
from training.evaluation.ledger import Slice, rounded
from training.queries import Queries

N = 62


def queries_of(users: list[int]) -> Queries:
    """A query with one positive for each user named."""
    n = len(users)
    return Queries(np.array(users), np.arange(n), Ragged.from_lists([[0]] * n))


def recall_of(users: list[int], without: list[float], with_: list[float]) -> Slice:
    """Of these ranks of cold positives, one per query."""
    is_cold = np.ones(len(users), dtype=bool)
    ranks = np.array(without), np.array(with_)
    found = cold_recall(queries_of(users), is_cold, *ranks, generator=np.random.default_rng(0))
    assert found is not None
    return found


def test_an_item_is_cold_until_its_first_event_and_what_happens_at_the_begin_is_before_it() -> None:
    log = event_log([Event(0, 1, 3), Event(1, 2, 5), Event(1, 3, 6)])
    queries = Queries(np.array([0, 1]), np.array([8, 9]), Ragged.from_lists([[1, 2], [2, 3, 4]]))
    assert cold_positives(log, queries, np.array([5, 5])).tolist() == [False, False, False, True, True]
    # Each query by the begin of its own part.
    assert cold_positives(log, queries, np.array([4, 6])).tolist() == [False, True, False, False, True]


def test_recall_is_the_share_of_cold_positives_that_rank_within_ten() -> None:
    queries = Queries(np.array([0, 1, 2]), np.arange(3), Ragged.from_lists([[0, 1], [2], [2, 4]]))
    is_cold = np.array([True, False, True, True, True])
    without = np.array([10.0, 1.0, 11.0, np.inf, 2.0])
    with_ = np.array([11.0, 1.0, 1.0, 3.0, 2.0])
    found = cold_recall(queries, is_cold, without, with_, generator=np.random.default_rng(0))
    assert found is not None
    close([found.without, found.with_], [2 / 4, 3 / 4], "exact")
    assert (found.queries, found.positives, found.items, found.metric) == (3, 4, 3, "recall@10")
    assert found.ci95[0] < 0 < found.ci95[1]


def test_without_cold_positives_there_is_no_figure_and_nothing_is_buried() -> None:
    is_cold = np.zeros(2, dtype=bool)
    ranks = np.array([1.0, 1.0]), np.array([50.0, 50.0])
    found = cold_recall(queries_of([0, 1]), is_cold, *ranks, generator=np.random.default_rng(0))
    assert found is None
    assert not buries_cold_items(found)


@pytest.mark.parametrize(
    ("n_lost", "n_gained", "buries"),
    [
        (1, 0, False),
        (3, 0, False),  # (1 - 3/62)^62 = 4.6% of the resamples draw no user who loses one: more than 2.5%
        (4, 0, True),  # (1 - 4/62)^62 = 1.6%
        (8, 3, False),  # -5 by a standard error of sqrt(11) = 3.3
        (12, 3, True),  # -9 by sqrt(15) = 3.9
        (0, 5, False),
    ],
)
def test_a_loss_buries_cold_items_if_it_is_significant(n_lost: int, n_gained: int, buries: bool) -> None:
    # 20 of 62 are found without the change; of them the first are lost, and of the others the last are gained.
    without = np.where(np.arange(N) < 20, 1.0, 20.0)
    with_ = without.copy()
    with_[:n_lost] = 20.0
    with_[N - n_gained :] = 1.0
    found = recall_of(list(range(N)), without.tolist(), with_.tolist())
    assert (found.without, found.with_) == (rounded(20 / N), rounded((20 - n_lost + n_gained) / N))
    assert buries_cold_items(found) == buries


def test_what_one_user_loses_is_not_significant_however_much_it_is() -> None:
    # Half of the positives are one user's; 37% of the resamples of 32 users do not draw that one.
    users = [0] * 31 + list(range(1, 32))
    lost = [1.0] * 31 + [20.0] * 31
    found = recall_of(users, lost, [20.0] * 62)
    close(found.difference, -0.5, "exact")
    assert not buries_cold_items(found)


def test_a_query_weighs_as_many_positives_as_are_cold_in_it() -> None:
    # One user gains 30 of 30, twenty users lose their only one: more are found, though nearly all queries lose.
    queries = Queries(np.arange(21), np.arange(21), Ragged.from_lists([[0] * 30, *[[0]] * 20]))
    without = np.array([20.0] * 30 + [1.0] * 20)
    with_ = np.array([1.0] * 30 + [20.0] * 20)
    found = cold_recall(queries, np.ones(50, dtype=bool), without, with_, generator=np.random.default_rng(0))
    assert found is not None
    close([found.without, found.with_], [20 / 50, 30 / 50], "exact")
    assert not buries_cold_items(found)
