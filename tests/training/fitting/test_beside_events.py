from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch

from feature_store.ragged import Ragged
from five_item_dataset import dataset_of
from recmem.matching import memory_kinds
from recmem.matching.user_memory import MemoryConfig, Slots
from recmem.text.unit_vectors import exact_units
from slow_reference import Event
from tolerances import close
from training.fitting.beside_events import EVERY, NEIGHBOURS, beside_events, middles

DECLARED = memory_kinds.place_of("declared")
UNIT = exact_units(torch.randn((5, 8), generator=torch.Generator().manual_seed(3)))
N_QUERIES = 8 * EVERY


def test_without_interests_steps_are_drawn_as_before() -> None:
    dataset = dataset_of([Event(0, 3, 1)])
    assert beside_events(dataset, UNIT, MemoryConfig(declared=False), seed=0) is None
    users = np.array([0, 0])
    times = np.array([9, 9])
    histories = dataset.histories(users, times, 99)
    wanted = Ragged.from_lists([[1], [2]])
    described = replace(dataset, config=replace(dataset.config, interests="interests"))
    for each, memory in ((dataset, MemoryConfig()), (described, MemoryConfig(declared=False, consolidated=1))):
        beside = beside_events(each, UNIT, memory, seed=0)
        assert beside is not None
        assert beside(users, times, histories, wanted) is histories


def test_older_events_are_consolidated_in_training_too() -> None:
    dataset = dataset_of([Event(0, 3, 1), Event(0, 1, 2), Event(0, 2, 3)])
    memory = MemoryConfig(recent=1, consolidated=1)
    beside = beside_events(dataset, UNIT, memory, seed=0)
    assert beside is not None
    histories = dataset.histories(np.array([0]), np.array([9]), memory.n_read())
    found = beside(np.array([0]), np.array([9]), histories, Ragged.from_lists([[4]])).further
    assert found is not None
    close(found.vectors, exact_units(UNIT[[1, 3]].sum(0, keepdim=True)), "exact")


def test_some_queries_get_an_interest_that_is_made_and_half_of_these_lose_their_events() -> None:
    dataset = dataset_of([Event(0, 3, 1), Event(0, 1, 2), Event(1, 2, 2)])
    dataset = replace(dataset, config=replace(dataset.config, interests="interests"))
    users = np.arange(N_QUERIES) % 2
    times = np.full(N_QUERIES, 9)
    histories = dataset.histories(users, times, 99)
    wanted = Ragged.from_lists([[query % 5] for query in range(N_QUERIES)])
    beside = beside_events(dataset, UNIT, MemoryConfig(), seed=0)
    assert beside is not None
    found = beside(users, times, histories, wanted)
    assert found.further is not None
    n_made = found.further.texts.lengths
    assert sorted(n_made.tolist()) == [0] * (N_QUERIES - 8) + [1] * 8
    lost = found.items.lengths < histories.items.lengths
    assert (int(lost.sum()), bool((n_made[lost] == 1).all()), int(found.items.lengths[lost].sum())) == (4, True, 0)
    slots = Slots.of(found, MemoryConfig())
    is_made = slots.kinds == DECLARED
    assert int(is_made.sum()) == 8
    assert slots.own is not None
    targets = wanted.values[slots.memory_index[is_made].numpy()]
    close(slots.own[-1 - slots.rows[is_made]], middles(UNIT, torch.from_numpy(targets)), "exact")


def test_queries_that_lose_their_events_lose_what_was_made_of_these_too() -> None:
    dataset = dataset_of([Event(0, 3, 1), Event(0, 1, 2), Event(0, 2, 3)])
    dataset = replace(dataset, config=replace(dataset.config, interests="interests"))
    users = np.zeros(N_QUERIES, np.int64)
    memory = MemoryConfig(recent=1, consolidated=1)
    beside = beside_events(dataset, UNIT, memory, seed=0)
    assert beside is not None
    histories = dataset.histories(users, np.full(N_QUERIES, 9), memory.n_read())
    found = beside(users, np.full(N_QUERIES, 9), histories, Ragged.from_lists([[4]] * N_QUERIES))
    assert found.further is not None
    consolidated = found.further.kinds == memory_kinds.place_of("consolidated")
    has_slot = np.bincount(found.further.texts.row_index[consolidated], minlength=N_QUERIES)
    assert has_slot.tolist() == (found.items.lengths > 0).astype(int).tolist()
    assert int((found.items.lengths == 0).sum()) == 4


def test_a_made_interest_is_the_middle_of_the_nearest_texts_without_the_items_own() -> None:
    assert NEIGHBOURS >= 4
    others = UNIT[[0, 1, 3, 4]].double().mean(0)
    close(middles(UNIT, torch.tensor([2]))[0], exact_units(others[None])[0].float(), "exact")
