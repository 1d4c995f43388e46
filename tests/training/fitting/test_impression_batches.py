"""What the match module learns from impressions, and which of them steps are drawn from."""

from __future__ import annotations

from typing import cast

import numpy as np
import pytest
import torch

from feature_store import EventLog
from feature_store.point_in_time.read_protocol import AsOf, Past
from feature_store.ragged import Ragged
from recmem.matching.match_module import MatchConfig, MatchModule
from recmem.matching.user_memory import MemoryConfig
from training.fitting.fit_match import MatchTrainingConfig, fit_match
from training.fitting.impression_batches import ImpressionBatches
from training.fitting.match_batches import Batch, BatchConfig, MatchBatches
from training.queries import ImpressionQueries

DIM = 8
N_ITEMS = 60
N_USERS = 30
N_SHOWN = 4
SPLIT = 1000
"""Impressions up to this time are learned from."""
MEMORY = MemoryConfig(recent=4)


def events() -> EventLog:
    """Every user has clicked six items, at random: clicks say nothing of what is clicked next."""
    generator = np.random.default_rng(0)
    items = np.concatenate([generator.choice(N_ITEMS, 6, replace=False) for _ in range(N_USERS)])
    users = np.repeat(np.arange(N_USERS), 6)
    times = np.tile(np.arange(6), N_USERS)
    return EventLog(users, items, times, times + 1, np.ones(len(items), np.int8), N_USERS)


def impressions(n: int = 240) -> ImpressionQueries:
    """Of four items that are shown, the one with the lowest number is clicked; texts tell the number."""
    generator = np.random.default_rng(1)
    shown = [generator.choice(N_ITEMS, N_SHOWN, replace=False) for _ in range(n)]
    labels = np.concatenate([items == items.min() for items in shown]).astype(np.int8)
    times = SPLIT - n // 2 + np.arange(n)
    return ImpressionQueries(generator.integers(N_USERS, size=n), times, Ragged.from_lists(shown), labels)


def texts() -> torch.Tensor:
    """Unit vectors of the items: random, but for one direction that falls with the item's number."""
    vectors = torch.randn((N_ITEMS, DIM), generator=torch.Generator().manual_seed(0))
    vectors[:, 0] = torch.linspace(3, -3, N_ITEMS)
    return torch.nn.functional.normalize(vectors, dim=1)


def batches(shown: ImpressionQueries, until: int = SPLIT, queries: int = 16, seed: int = 0) -> ImpressionBatches:
    return ImpressionBatches(shown, events(), until=until, memory=MEMORY, queries=queries, seed=seed)


def share_above(module: MatchModule, batch: Batch) -> float:
    """How often a clicked item scores above one that was shown beside it."""
    unit = texts()
    with torch.inference_mode():
        scores = module.eval()(module.tables(unit), batch.slots, batch.candidates)
    wins = [
        scores[row, batch.positives[row]] > scores[row, ~batch.excluded[row] & ~batch.positives[row]]
        for row in range(len(scores))
    ]
    return float(torch.cat(wins).float().mean())


def fitted(impressions_of: ImpressionBatches | None) -> MatchModule:
    generator = torch.Generator().manual_seed(0)
    module = MatchModule(MatchConfig(dim=DIM, n_heads=2, head_dim=4), generator)
    config = MatchTrainingConfig(impressions=1.0, dropout=0.0, batch=BatchConfig(queries=16, negatives=N_ITEMS))
    log = MatchBatches(events(), N_ITEMS, until=SPLIT, memory=MEMORY, config=config.batch, seed=0)
    fit_match(module, texts(), log, steps=300, config=config, generator=generator, impressions=impressions_of)
    return module


def test_what_clicks_do_not_tell_is_learned_from_what_was_shown_beside_them() -> None:
    shown = impressions()
    later = shown.take(np.flatnonzero(shown.times > SPLIT))
    unseen = batches(later, until=10 * SPLIT, queries=200).draw()
    assert share_above(fitted(None), unseen) < 0.65
    assert share_above(fitted(batches(shown)), unseen) > 0.8


def test_a_step_compares_what_each_impression_has_shown() -> None:
    shown = impressions(8)
    batch = batches(shown, until=10 * SPLIT, queries=50).draw()
    given = {frozenset(shown.candidates.row(row)): shown.candidates.row(row).min() for row in range(8)}
    for row in range(50):
        compared = batch.candidates[~batch.excluded[row]].tolist()
        assert batch.candidates[batch.positives[row]].tolist() == [given[frozenset(compared)]]
    assert not batch.log_draws.any()


def test_memories_are_those_before_the_impression() -> None:
    shown = ImpressionQueries(np.array([3]), np.array([3]), Ragged.from_lists([[0, 1]]), np.array([1, 0], np.int8))
    batch = batches(shown, queries=1).draw()
    log = events()
    before = log.item_rows[(log.user_rows == 3) & (log.times < 3)]
    assert batch.slots.rows.tolist() == before.tolist()


def test_nothing_is_drawn_from_later_impressions_or_from_those_without_a_comparison() -> None:
    of_user = np.arange(4)
    shown = ImpressionQueries(
        of_user,
        np.array([10, 11, 12, SPLIT + 1]),
        Ragged.from_lists([[0, 1], [2, 3], [4, 5], [6, 7]]),
        np.array([1, 0, 1, 1, 0, 0, 1, 0], np.int8),
    )
    drawn = batches(shown)
    assert drawn.n_examples == 1
    assert drawn.draw().candidates.tolist() == [0, 1]


@pytest.mark.parametrize("scale", [1.0, 8.0])
def test_clicks_weigh_as_their_impressions_do_whatever_the_scale(scale: float) -> None:
    """1 on average over all clicks, as over the log's positives: one loss counts the same beside the other."""
    shown = ImpressionQueries(
        np.array([0, 1]),
        np.array([10, 11]),
        Ragged.from_lists([[5, 2], [5, 2]]),
        np.array([1, 0, 0, 1], np.int8),
        weights=np.array([3.0, 9.0, 9.0, 1.0], np.float32) * np.float32(scale),
    )
    batch = batches(shown, queries=20).draw()
    assert batch.weights is not None
    of_clicks = batch.weights[batch.positives]
    clicked = batch.candidates.expand(20, 2)[batch.positives]
    assert of_clicks.tolist() == torch.where(clicked == 5, 1.5, 0.5).tolist()


def test_the_same_seed_draws_the_same_steps() -> None:
    first, second, other = (batches(impressions(), seed=seed).draw() for seed in (1, 1, 2))
    assert torch.equal(first.positives, second.positives)
    assert first.positives.shape != other.positives.shape or not torch.equal(first.positives, other.positives)


def test_an_impression_reads_as_many_events_as_a_memory_is_made_of() -> None:
    read: list[int | None] = []

    class Counted:
        def past(self, users: np.ndarray, times: np.ndarray, limit: int | None = None) -> Past:
            read.append(limit)
            return events().past(users, times, limit)

    memory = MemoryConfig(recent=1, consolidated=1)
    drawn = ImpressionBatches(impressions(), cast(AsOf, Counted()), until=SPLIT, memory=memory, queries=4, seed=0)
    drawn.draw()
    assert read == [memory.n_read()]
    assert memory.n_read() > memory.n_events
