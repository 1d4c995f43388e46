from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

import training.evaluation.encoder_choice
from five_item_dataset import dataset_of, matcher
from recmem.matching.user_memory import MemoryConfig
from slow_reference import Event
from strategies import N_ITEMS
from tolerances import close
from training.evaluation.encoder_choice import EncoderChoice, HeldOutFigures, HeldOutPart

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
    assert not part.is_enough


def test_figures_are_those_of_ranking_by_hand() -> None:
    part = part_of()
    scorer = matcher()
    unit = scorer.tables.unit[:N_ITEMS].clone()
    figures = part.figures(scorer.module, unit)
    found = []
    for user, time, positive in zip(part.queries.users, part.queries.times, [1, 4, 4], strict=True):
        histories = part.dataset.histories(np.array([user]), np.array([time]), 4)
        scores = scorer.features(histories, np.arange(N_ITEMS))["match_raw"][0]
        seen = {event.item for event in LOG if event.user == user and event.time < time}
        rank = 1 + sum(scores[item] > scores[positive] for item in range(N_ITEMS) if item not in seen)
        found.append(1 / np.log2(1 + rank))
    close(figures.ndcg, found, "float64")
    assert figures.cold_recall == 1.0  # of five items all rank within ten
    close(figures.mean, np.mean(found), "float64")


def test_chunks_of_one_query_give_the_same_figures(monkeypatch: pytest.MonkeyPatch) -> None:
    part = part_of()
    unit = matcher().tables.unit[:N_ITEMS].clone()
    whole = part.figures(matcher().module, unit)
    monkeypatch.setattr(training.evaluation.encoder_choice, "CELLS", 1)
    close(part.figures(matcher().module, unit).ndcg, whole.ndcg, "exact")


def decided(gains: list[float], *, n_cold: int = 0, frozen_cold: float = 0.2, tuned_cold: float = 0.2) -> EncoderChoice:
    """The choice for queries of a user each, with a frozen figure of 0.3."""
    n = len(gains)
    part = part_of()
    queries = replace(part.queries, users=np.arange(n))
    is_cold = np.arange(n) < n_cold
    part = replace(part, queries=queries, is_cold=is_cold)
    frozen = np.full(n, 0.3)
    return part.choose(HeldOutFigures(frozen, frozen_cold), HeldOutFigures(frozen + np.array(gains), tuned_cold))


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


def test_a_gain_that_costs_cold_items_keeps_the_frozen_one_unless_they_are_few() -> None:
    gains = [0.1] * 40
    assert not decided(gains, n_cold=30, frozen_cold=0.2, tuned_cold=0.19).is_tuned
    assert "no events yet" in decided(gains, n_cold=30, frozen_cold=0.2, tuned_cold=0.19).why
    assert decided(gains, n_cold=30, frozen_cold=0.2, tuned_cold=0.2).is_tuned
    assert decided(gains, n_cold=9, frozen_cold=0.2, tuned_cold=0.0).is_tuned


def test_too_few_queries_decide_nothing() -> None:
    choice = part_of().too_small()
    assert not choice.is_tuned
    assert choice.why == "only 3 held-out queries could decide, fewer than 20"
    assert torch.tensor(choice.n_cold) == 2
