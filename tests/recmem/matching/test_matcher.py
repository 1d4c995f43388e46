from __future__ import annotations

import copy
import pickle
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st

import slow_reference
from device_steps import steps_of_pair_columns
from feature_store.point_in_time.histories import Histories
from feature_store.ragged import Ragged
from five_item_dataset import N_TEXTS, matcher, unit_vectors
from recmem.kernels import PER_ITEM
from recmem.matching.consolidation import consolidated
from recmem.matching.matcher import MATCH_FEATURES, Matcher
from recmem.matching.text_search import SearchBackend
from recmem.matching.user_memory import MemoryConfig, Slots
from slow_reference import Event
from strategies import N_USERS, event_log, logs, times
from tolerances import close

EVERY_TEXT = np.arange(N_TEXTS)

LONG = [Event(0, item, time) for time, item in enumerate([3, 1, 4, 1, 0, 2, 3, 0])]
FEWER = settings(max_examples=40)  # the oracle takes its time


def histories(log: list[Event], time: int, limit: int = 99) -> Histories:
    return Histories.as_of(event_log(log), np.arange(N_USERS), np.full(N_USERS, time), limit)


@FEWER
@given(logs(), times())
def test_features_are_those_of_the_oracle(log: list[Event], time: int) -> None:
    made = matcher()
    remembered = histories(log, time).newest(made.memory.n_events)
    found = made.features(remembered, EVERY_TEXT)
    assert tuple(found) == MATCH_FEATURES
    slots = made.slots(remembered)
    bias, sign = (term.detach().double().numpy() for term in made.module.slot_terms(slots))
    names = (*PER_ITEM, "alpha", "gamma", "null_logit")
    tables = {name: getattr(made.tables, name).detach().double().numpy() for name in names}
    for user in range(N_USERS):
        mine = (slots.memory_index == user).numpy()
        memory = slots.rows.numpy()[mine].tolist()
        for item in EVERY_TEXT:
            expected = slow_reference.match(tables, memory, bias[mine], sign[mine], item, made.module.config.n_heads)
            close(found["match_raw"][user, item], expected.score, "float32")
            close(found["match_prior"][user, item], expected.prior, "float32")
            signs = remembered.signs[remembered.items.row_index == user].tolist()
            for name, similarity in slow_reference.similarities(tables["unit"], memory, signs, item).items():
                close(found[name][user, item], similarity, "float32")


@FEWER
@example(LONG, 12, 1, 1)
@example(LONG, 12, 2, 2)
@given(logs(), times(), st.integers(1, 2), st.integers(1, 2))
def test_a_candidate_sees_the_older_events_that_are_most_similar_to_it(
    log: list[Event], time: int, recent: int, retrieved: int
) -> None:
    made = matcher(recent, retrieved)
    remembered = histories(log, time)
    found = made.features(remembered, EVERY_TEXT)
    pairs = made.pair_features(remembered, Ragged.from_lists([EVERY_TEXT] * N_USERS))
    unit = made.tables.unit.double().numpy()
    for user in range(N_USERS):
        memory = remembered.take(np.array([user])).newest(made.memory.n_events)
        rows = memory.items.values
        older = rows[:-recent]
        is_newest = np.ones(len(rows[-recent:]), bool)
        for item in EVERY_TEXT:
            cosine = unit[older] @ unit[item]
            smallest_kept = np.sort(cosine)[-retrieved:].min(initial=np.inf)
            is_visible = np.r_[cosine >= smallest_kept, is_newest]
            # The same memory without what this candidate does not see, and without retrieval.
            whole = replace(made, memory=MemoryConfig(recent=9, negatives=True))
            alone = whole.features(memory.where(is_visible), np.array([item]))
            close(found["match_raw"][user, item], alone["match_raw"][0, 0], "float32")
            close(pairs["match_raw"].reshape(N_USERS, -1)[user, item], alone["match_raw"][0, 0], "float32")


@pytest.mark.parametrize("retrieved", [0, 1])
def test_features_of_a_device_are_those_of_the_cpu(device: torch.device, retrieved: int) -> None:
    here = matcher(2, retrieved)
    there = Matcher.of(copy.deepcopy(here.module).to(device), unit_vectors().to(device), here.memory)
    assert there.device.type == device.type
    remembered = histories(LONG, 12)
    candidates = Ragged.from_lists([EVERY_TEXT] * N_USERS)
    for name in MATCH_FEATURES:
        close(there.features(remembered, EVERY_TEXT)[name], here.features(remembered, EVERY_TEXT)[name], "float32")
        close(
            there.pair_features(remembered, candidates)[name],
            here.pair_features(remembered, candidates)[name],
            "float32",
        )


def test_on_a_gpu_the_pairs_of_a_request_are_one_copy_and_one_launch() -> None:
    pytest.importorskip("triton", reason="pip install 'recmem[triton]'")
    steps = steps_of_pair_columns(matcher(4), histories(LONG, 12), Ragged.from_lists([[0, 1], [3], []]))
    assert len(steps.copies) == 1
    assert steps.launches == ["kernel"]


@FEWER
@given(logs(), times(), st.integers(1, 4))
def test_only_the_newest_events_are_remembered(log: list[Event], time: int, recent: int) -> None:
    found = matcher(recent).features(histories(log, time), EVERY_TEXT)
    cut = matcher(recent).features(histories(log, time, limit=recent), EVERY_TEXT)
    for name in MATCH_FEATURES:
        close(found[name], cut[name], "exact")


@FEWER
@given(logs(), times())
def test_an_empty_memory_has_a_defined_score(log: list[Event], time: int) -> None:
    remembered = histories(log, time)
    found = matcher().features(remembered, EVERY_TEXT)
    tables = matcher().tables
    for user in np.flatnonzero(remembered.items.lengths == 0):
        close(found["match_raw"][user], (tables.prior + tables.null_value.sum(1)), "float32")
        assert not any(found[name][user].any() for name in MATCH_FEATURES if name.startswith("similarity"))


def test_texts_come_after_the_items_and_leave_their_scores_alone() -> None:
    whole = matcher()
    unit = whole.tables.unit
    known = N_TEXTS - 2
    grown = Matcher.of(whole.module, unit[:known], whole.memory).with_texts(unit[known:])
    remembered = histories([Event(0, 1, 1), Event(0, 4, 2), Event(1, 2, 1)], 9)
    for name, column in whole.features(remembered, EVERY_TEXT).items():
        close(grown.features(remembered, EVERY_TEXT)[name], column, "float32")
    assert whole.with_texts(unit[:0]) is whole


def test_tables_follow_the_module() -> None:
    made = matcher()
    rolled = Matcher.of(made.module, torch.roll(made.tables.unit, 1, dims=0), MemoryConfig(recent=4, negatives=True))
    remembered = histories([], 9)
    prior = rolled.features(remembered, EVERY_TEXT)["match_prior"]
    close(prior, np.roll(made.features(remembered, EVERY_TEXT)["match_prior"], 1, axis=1), "float32")
    assert not rolled.tables.query.requires_grad


def test_vectors_on_the_host_are_those_of_the_device(device: torch.device) -> None:
    here = matcher()
    there = Matcher.of(copy.deepcopy(here.module).to(device), unit_vectors().to(device), here.memory)
    table, rows = there.unit_on_host(np.array([3, 0, 3]))
    close(table[rows], here.tables.unit[[3, 0, 3]], "exact")


@pytest.mark.parametrize("backend", ["exact", "faiss", "faiss-graph"])
def test_the_nearest_texts_are_those_of_the_largest_cosine(backend: SearchBackend) -> None:
    made = matcher()
    found = made.nearest_to(made.tables.unit[[3, 0]], N_TEXTS + 1, backend)
    cosine = (made.tables.unit @ made.tables.unit.T).double().numpy()
    assert found.tolist() == np.argsort(-cosine[[3, 0]], axis=1).tolist()
    assert made.nearest_to(made.tables.unit[[3]], 1, backend).tolist() == [[3]]


@pytest.mark.parametrize("backend", ["exact", "faiss", "faiss-graph"])
def test_a_matcher_that_has_searched_can_go_to_another_process(backend: SearchBackend) -> None:
    made = matcher()
    found = made.nearest_to(made.tables.unit[[3]], 2, backend)
    copied = pickle.loads(pickle.dumps(made))
    assert torch.equal(copied.tables.value, made.tables.value)
    assert copied.nearest_to(made.tables.unit[[3]], 2, backend).tolist() == found.tolist()


def test_texts_that_are_added_are_searched_too() -> None:
    made = matcher()
    before = made.nearest_to(made.tables.unit[[3]], 9, "exact")
    grown = made.with_texts(made.tables.unit[3:4])
    assert grown.nearest_to(grown.tables.unit[[3]], 2, "exact").tolist() == [[3, N_TEXTS]]
    assert made.nearest_to(made.tables.unit[[3]], 9, "exact").tolist() == before.tolist()


@FEWER
@example(LONG, 12)
@given(logs(), times())
def test_consolidated_slots_count_alike_in_scoring_and_in_training(log: list[Event], time: int) -> None:
    memory = MemoryConfig(recent=2, negatives=True, consolidated=2)
    made = replace(matcher(), memory=memory)
    found = histories(log, time)
    whole = made.features(found, EVERY_TEXT)
    pairs = made.pair_features(found, Ragged.from_lists([EVERY_TEXT.tolist()] * N_USERS))
    for name in MATCH_FEATURES:
        close(pairs[name].reshape(N_USERS, N_TEXTS), whole[name], "float32")
    # As in a training step, which gives the module the slots' own texts as rows of its input.
    slots = Slots.of(consolidated(found, memory, made.tables.unit), memory)
    tables, slots, rows = made.placed(slots, torch.from_numpy(EVERY_TEXT))
    with torch.inference_mode():
        close(made.module(tables, slots, rows).numpy(), whole["match_raw"], "float32")
    older = np.bincount(found.items.row_index, minlength=N_USERS) > memory.recent
    if (older & (np.bincount(found.items.row_index[found.signs >= 0], minlength=N_USERS) > memory.recent)).any():
        plain = replace(made, memory=MemoryConfig(recent=2, negatives=True)).features(found, EVERY_TEXT)
        assert (plain["match_raw"] != whole["match_raw"]).any()
