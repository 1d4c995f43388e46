"""A log whose right answer is known: two groups of users and items, which the texts reveal, though faintly.

Each text also has a style, which is stronger than its group and irrelevant: the untrained similarity follows the style.
"""

from __future__ import annotations

import functools

import numpy as np
import pytest
import torch
from torch import Tensor

from feature_store import EventLog
from feature_store.point_in_time.histories import Histories
from recmem.matching.match_module import MatchConfig, MatchModule
from recmem.matching.matcher import Matcher
from recmem.matching.user_memory import MemoryConfig
from recmem.serving.explain import match_parts
from slow_reference import Event
from strategies import event_log
from training.fitting.fit_match import MatchTrainingConfig, fit_match
from training.fitting.match_batches import BatchConfig, MatchBatches

N_ITEMS = 80
N_USERS = 60
DIM = 24
N_WARM = 60
"""The other items are cold: no user has interacted with them."""
N_VISITS = 8
STEPS = 250
GROUP = 0.5
STYLE = 1.0
NOISE = 0.3
MEMORY = MemoryConfig(recent=2)

group_of_item = np.arange(N_ITEMS) % 2
group_of_user = np.arange(N_USERS) % 2


@functools.cache
def vectors() -> Tensor:
    """Unit vectors: a direction for the group, a stronger one for one of four styles, and noise."""
    random = np.random.default_rng(0)
    directions = np.linalg.qr(random.normal(size=(DIM, DIM)))[0]
    style = random.integers(4, size=N_ITEMS)
    texts = GROUP * np.array([1, -1])[group_of_item][:, None] * directions[0] + STYLE * directions[1 + style]
    texts += NOISE * random.normal(size=(N_ITEMS, DIM)) / np.sqrt(DIM)
    return torch.nn.functional.normalize(torch.from_numpy(texts.astype(np.float32)), dim=1)


@functools.cache
def log() -> EventLog:
    """Every user interacts with an item of the own group at each visit."""
    random = np.random.default_rng(1)
    events = []
    for user in range(N_USERS):
        own = np.flatnonzero(group_of_item[:N_WARM] == group_of_user[user])
        chosen = random.permutation(own)[:N_VISITS]
        events += [Event(user, int(item), 10 * step + user) for step, item in enumerate(chosen)]
    return event_log(events)


def matcher(*, steps: int) -> Matcher:
    generator = torch.Generator().manual_seed(0)
    module = MatchModule(MatchConfig(dim=DIM, n_heads=2, head_dim=8), generator)
    config = MatchTrainingConfig(batch=BatchConfig(queries=32, negatives=40))
    batches = MatchBatches(log(), N_ITEMS, until=log().clock, memory=MEMORY, config=config.batch, seed=0)
    if steps:
        fit_match(module, vectors(), batches, steps=steps, config=config, generator=generator)
    return Matcher.of(module, vectors(), MEMORY)


trained = functools.cache(functools.partial(matcher, steps=STEPS))


def scores(matcher: Matcher) -> np.ndarray:
    """Match scores of all items for all users after the last visit; NaN for items that the user has."""
    users = np.arange(N_USERS)
    histories = Histories.as_of(log(), users, np.full(N_USERS, log().clock), 99)
    found = matcher.features(histories, np.arange(N_ITEMS))["match_raw"]
    found[histories.items.row_index, histories.items.values] = np.nan
    return found


def share_of_pairs_in_order(found: np.ndarray, *, cold: bool) -> float:
    """How often an unseen item of the own group stands above one of the other group: AUC, mean over users."""
    among = (np.arange(N_ITEMS) >= N_WARM) == cold
    shares = []
    for user in range(N_USERS):
        own = found[user][among & (group_of_item == group_of_user[user])]
        other = found[user][among & (group_of_item != group_of_user[user])]
        shares.append((own[~np.isnan(own)][:, None] > other[None]).mean())
    return float(np.mean(shares))


@pytest.mark.parametrize("cold", [False, True], ids=["warm", "cold"])
def test_unseen_items_of_the_own_group_come_first(cold: bool) -> None:
    assert share_of_pairs_in_order(scores(matcher(steps=0)), cold=cold) < 0.85
    assert share_of_pairs_in_order(scores(trained()), cold=cold) > 0.99


def test_every_users_first_items_are_of_the_own_group() -> None:
    first = np.argsort(-np.nan_to_num(scores(trained()), nan=-np.inf), axis=1)[:, :10]
    assert (group_of_item[first] == group_of_user[:, None]).all()


def test_a_user_without_events_gets_no_group() -> None:
    empty = Histories.as_of(log(), np.array([-1]), np.array([log().clock]), 99)
    found = trained().features(empty, np.arange(N_ITEMS))["match_raw"][0]
    cold = scores(trained())[:, N_WARM:]
    of_first = (group_of_item[N_WARM:] == 0)[None] == (group_of_user == 0)[:, None]
    own = cold[of_first].mean()
    other = cold[~of_first].mean()
    gap = found[group_of_item == 0].mean() - found[group_of_item == 1].mean()
    assert abs(gap) < (own - other) / 4


def test_score_of_an_item_of_the_own_group_comes_from_the_memory() -> None:
    own = int(np.flatnonzero(group_of_item[N_WARM:] == 0)[0]) + N_WARM
    histories = Histories.as_of(log(), np.array([0]), np.array([log().clock]), 99)
    prior, null, parts = match_parts(trained(), histories, np.array([own]))
    assert float(parts.sum()) > abs(float(prior[0] + null[0]))
