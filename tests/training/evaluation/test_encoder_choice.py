from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

import training.evaluation.encoder_choice
from feature_store.ragged import Ragged
from five_item_dataset import dataset_of, matcher, unit_vectors
from recmem.matching.user_memory import MemoryConfig
from slow_reference import Event
from strategies import N_ITEMS
from tolerances import close
from training.evaluation.encoder_choice import FEWEST_QUERIES, EncoderChoice, HeldOutFigures, HeldOutPart
from training.evaluation.ledger import rounded
from training.queries import Queries

LOG = [
    Event(0, 0, 1), Event(1, 1, 1), Event(2, 0, 2), Event(2, 3, 2),
    Event(0, 1, 6), Event(1, 4, 7), Event(2, 4, 8), Event(0, 3, 12),
]  # fmt: skip


def part_of(log: list[Event] = LOG, *, begin: int = 5, end: int = 10, limit: int = 100) -> HeldOutPart:
    return HeldOutPart.between(dataset_of(log), begin, end, limit=limit, memory=MemoryConfig(recent=4), seed=0)


def test_queries_lie_in_the_part_and_items_without_earlier_events_are_cold() -> None:
    part = part_of()
    assert part.queries.times.tolist() == [6, 7, 8]
    assert part.queries.positives.values.tolist() == [1, 4, 4]
    # Item 4 has its first event at 7, within the part: it is cold for the query at 8 too.
    assert part.is_cold.tolist() == [False, True, True]
    assert len(part_of(limit=2).queries) == 2


@pytest.mark.parametrize("repeats", [False, True])
def test_items_that_users_have_had_come_last_unless_repeats_count(repeats: bool) -> None:
    log = [Event(0, 0, 1), Event(0, 1, 2), Event(1, 1, 1)]
    log += [Event(0, 0, 6), Event(0, 2, 6), Event(1, 1, 7), Event(1, 3, 7)]
    dataset = dataset_of(log)
    dataset = replace(dataset, config=replace(dataset.config, repeats=repeats))
    part = HeldOutPart.between(dataset, 5, 10, limit=9, memory=MemoryConfig(recent=4), seed=0)
    made = matcher()
    # Of the five items, the most similar to what was had last is that item itself.
    ranks = part.figures(made.module, unit_vectors()[:N_ITEMS]).ranks
    assert part.queries.positives.to_lists() == ([[0, 2], [1, 3]] if repeats else [[2], [3]])
    of_had = ranks[[0, 2]] if repeats else np.array([])
    assert (of_had < N_ITEMS).all()


def test_half_of_the_users_decide() -> None:
    log = [Event(0, 0, 1), Event(1, 1, 1), Event(2, 0, 1), *(Event(number % 3, 2, 6 + number) for number in range(3))]
    log += [Event(number % 3, item, 10 * item + number) for number in range(3) for item in (3, 4)]
    part = part_of(log, end=99)
    of_user = {user: set(part.decides[part.queries.users == user].tolist()) for user in range(3)}
    assert sorted(map(sorted, of_user.values())) == [[False], [True], [True]]


def test_both_halves_need_enough_queries() -> None:
    n = 2 * FEWEST_QUERIES
    queries = Queries(np.arange(n), np.arange(n), Ragged.from_lists([[0]] * n))
    for n_deciding, is_enough in ((FEWEST_QUERIES, True), (FEWEST_QUERIES - 1, False), (FEWEST_QUERIES + 1, False)):
        part = replace(part_of(), queries=queries, is_cold=np.zeros(n, bool), decides=np.arange(n) < n_deciding)
        assert part.is_enough == is_enough


def test_the_encoder_is_picked_by_the_other_half_and_the_decision_does_not_read_it() -> None:
    n = 80
    queries = Queries(np.arange(n), np.arange(6, 6 + n), Ragged.from_lists([[0]] * n))
    decides = np.arange(n) < n // 2
    part = replace(part_of(), queries=queries, is_cold=np.zeros(n, bool), decides=decides)
    frozen = HeldOutFigures(np.full(n, 11.0), np.full(n, 0.3))
    # The first is better where it picks and worse where it decides, the second the other way round.
    first = HeldOutFigures(frozen.ranks, frozen.ndcg + np.where(decides, -0.1, 0.2))
    second = HeldOutFigures(frozen.ranks, frozen.ndcg + np.where(decides, 0.1, -0.2))
    assert part.picked(frozen, [second, first]) == 1
    assert not part.decide(frozen, first).is_tuned
    choice = part.decide(frozen, second)
    assert choice.is_tuned
    assert choice.n_queries == n // 2
    close([choice.frozen_ndcg, choice.tuned_ndcg], [0.3, 0.4], "float64")


def test_an_encoder_that_buries_cold_items_is_picked_only_if_no_other_passes() -> None:
    n = 160
    queries = Queries(np.arange(n), np.arange(6, 6 + n), Ragged.from_lists([[0]] * n))
    decides = np.arange(n) >= n // 2
    part = replace(part_of(), queries=queries, is_cold=np.full(n, True), decides=decides)
    frozen = HeldOutFigures(np.full(n, 1.0), np.full(n, 0.3))
    buries = HeldOutFigures(np.full(n, 11.0), frozen.ndcg + 0.2)
    keeps = HeldOutFigures(frozen.ranks, frozen.ndcg + 0.1)
    assert part.picked(frozen, [buries, keeps]) == 1
    worse = HeldOutFigures(frozen.ranks, frozen.ndcg - 0.1)
    assert part.picked(frozen, [buries, worse]) == 0


def test_figures_are_those_of_ranking_by_hand() -> None:
    part = part_of()
    scorer = matcher()
    unit = unit_vectors()[:N_ITEMS]
    figures = part.figures(scorer.module, unit)
    ranks = []
    for user, time, positive in zip(part.queries.users, part.queries.times, [1, 4, 4], strict=True):
        histories = part.dataset.histories(np.array([user]), np.array([time]), 4)
        scores = scorer.features(histories, np.arange(N_ITEMS))["match_raw"][0]
        seen = {event.item for event in LOG if event.user == user and event.time < time}
        ranks.append(1 + sum(scores[item] > scores[positive] for item in range(N_ITEMS) if item not in seen))
    assert len(set(ranks)) > 1
    close(figures.ranks, np.array(ranks, np.float64), "exact")
    found = 1 / np.log2(1 + np.array(ranks))
    close(figures.ndcg, found, "float64")
    close(figures.mean(np.array([True, False, True])), found[[0, 2]].mean(), "float64")


def test_chunks_of_one_query_give_the_same_figures(monkeypatch: pytest.MonkeyPatch) -> None:
    part = part_of()
    unit = unit_vectors()[:N_ITEMS]
    whole = part.figures(matcher().module, unit)
    monkeypatch.setattr(training.evaluation.encoder_choice, "CELLS", 1)
    close(part.figures(matcher().module, unit).ndcg, whole.ndcg, "exact")


def decided(gains: list[float], *, n_cold: int = 0, frozen_finds: int = 0, tuned_finds: int = 0) -> EncoderChoice:
    """The choice for queries of a user and a positive each, with a frozen NDCG of 0.3.

    The first `n_cold` positives are cold. The frozen encoder finds the first `frozen_finds` of them, the tuned one the
    first `tuned_finds`.
    """
    n = len(gains)
    number = np.arange(n)
    queries = Queries(number, np.arange(6, 6 + n), Ragged.from_lists([[0]] * n))
    part = replace(part_of(), queries=queries, is_cold=number < n_cold, decides=np.full(n, True))
    frozen = HeldOutFigures(np.where(number < frozen_finds, 1.0, 11.0), np.full(n, 0.3))
    tuned = HeldOutFigures(np.where(number < tuned_finds, 10.0, 11.0), frozen.ndcg + np.array(gains))
    return part.decide(frozen, tuned)


def test_a_gain_beyond_doubt_keeps_the_tuned_encoder() -> None:
    choice = decided([0.1, 0.05, 0.08, 0.02] * 20)
    assert choice.is_tuned
    assert 0 < choice.low < choice.tuned_ndcg - choice.frozen_ndcg
    close([choice.frozen_ndcg, choice.tuned_ndcg], [0.3, 0.3625], "float64")


def test_a_gain_that_may_be_chance_a_loss_and_no_gain_keep_the_frozen_one() -> None:
    for gains in ([0.3, -0.28] * 10, [-0.1] * 40, [0.0] * 40):
        choice = decided(gains)
        assert not choice.is_tuned
        assert choice.why == "the gain is not beyond doubt"


def test_the_bound_is_one_sided_at_ninety_percent() -> None:
    # The mean of 100 users is 0.1 with a standard error of 0.07: 1.43 of them, between 1.28 (90%) and 1.64 (95%).
    gains = list(0.1 + 0.7 * np.array([-1, 1] * 50))
    choice = decided(gains)
    assert choice.is_tuned
    assert 0 < choice.low < 0.03


GAIN = [0.1] * 100
KEPT = "the gain is beyond doubt, and it does not find significantly fewer of the items without events"
BURIED = "it finds significantly fewer of the items that have no events yet"


@pytest.mark.parametrize(("frozen_finds", "tuned_finds", "is_tuned"), [(3, 2, True), (3, 0, True), (4, 0, False)])
def test_a_gain_may_cost_cold_items_that_chance_may_explain_and_no_more(
    frozen_finds: int, tuned_finds: int, is_tuned: bool
) -> None:
    # Without any gained, the upper end of the interval is below zero if fewer than 2.5% of the resamples draw none of
    # the users who lose one: (1 - 3/62)^62 is 4.6%, (1 - 4/62)^62 1.6%.
    choice = decided(GAIN, n_cold=62, frozen_finds=frozen_finds, tuned_finds=tuned_finds)
    assert choice.is_tuned == is_tuned
    assert choice.why == (KEPT if is_tuned else BURIED)
    assert choice.n_cold == 62
    assert (choice.frozen_cold, choice.tuned_cold) == (rounded(frozen_finds / 62), rounded(tuned_finds / 62))


def test_cold_items_that_are_found_more_often_do_not_make_up_for_a_doubtful_gain() -> None:
    choice = decided([0.3, -0.28] * 31, n_cold=62, frozen_finds=3, tuned_finds=40)
    assert not choice.is_tuned
    assert choice.why == "the gain is not beyond doubt"


def test_without_cold_items_the_gain_decides_alone() -> None:
    choice = decided(GAIN)
    assert choice.is_tuned
    assert (choice.n_cold, choice.frozen_cold, choice.tuned_cold) == (0, 0.0, 0.0)


def test_too_few_queries_decide_nothing() -> None:
    choice = part_of().too_small()
    assert not choice.is_tuned
    assert choice.why == "a half of the held-out users has fewer than 10 queries"
    assert choice.n_queries == part_of().decides.sum()
