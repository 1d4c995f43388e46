"""Scores of memories with texts that are in no item table, held against a table that has these texts too."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
import torch
from hypothesis import given, settings

from device_steps import steps_of_pair_columns
from feature_store.point_in_time.histories import Histories
from feature_store.ragged import Ragged
from five_item_dataset import matcher
from further_slots import add_note_kind, notes
from recmem.kernels import PER_ITEM
from recmem.matching.gathered_tables import gathered
from recmem.matching.match_module import MatchConfig, MatchModule
from recmem.matching.matcher import Matcher
from recmem.matching.rounded_tables import exact_module
from recmem.matching.user_memory import MemoryConfig, Slots
from slow_reference import Event
from strategies import N_USERS, event_log, logs, times
from tolerances import close

BESIDE = [[0, 2], [], [1]]
EVERY_TEXT = np.arange(7)


@pytest.fixture
def note_kind(monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    matcher.cache_clear()
    yield add_note_kind(monkeypatch)
    matcher.cache_clear()


def histories(log: list[Event], time: int) -> Histories:
    return Histories.as_of(event_log(log), np.arange(N_USERS), np.full(N_USERS, time), 99)


def over_one_table(made: Matcher, slots: Slots) -> torch.Tensor:
    """The scores where the slots' own texts are rows of the item table."""
    assert slots.own is not None
    n_items = len(made.tables.unit)
    table = made.with_texts(slots.own)
    rows = torch.where(slots.rows < 0, n_items - 1 - slots.rows, slots.rows)
    with torch.inference_mode():
        return made.module(table.tables, slots.moved_to(rows), torch.arange(n_items))


LOG = [Event(0, 3, 1), Event(0, 1, 2), Event(1, 2, 2), Event(0, 4, 3), Event(0, 2, 4), Event(0, 0, 5)]


@pytest.mark.parametrize("retrieved", [0, 1])
def test_scores_are_those_over_a_table_that_has_the_texts(note_kind: int, retrieved: int) -> None:
    made = matcher(2, retrieved)
    remembered = histories(LOG, 9).beside(notes(BESIDE, note_kind))
    expected = over_one_table(made, made.slots(remembered))
    close(made.features(remembered, EVERY_TEXT)["match_raw"], expected.numpy(), "float32")
    pairs = made.pair_features(remembered, Ragged.from_lists([EVERY_TEXT] * N_USERS))
    close(pairs["match_raw"].reshape(N_USERS, -1), expected.numpy(), "float32")


def test_without_such_texts_the_tables_are_the_matchers_own(note_kind: int) -> None:
    made = matcher()
    slots = made.slots(histories(LOG, 9).beside(notes([[], [], []], note_kind)))
    candidates = torch.from_numpy(EVERY_TEXT)
    tables, placed, rows = made.placed(slots, candidates)
    assert tables is made.tables
    assert placed is slots
    assert rows is candidates


@settings(max_examples=30)
@given(logs(), times())
def test_text_similarities_are_of_events_alone(log: list[Event], time: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        matcher.cache_clear()
        kind = add_note_kind(patch)
        made = matcher()
        events = histories(log, time)
        with_notes = events.beside(notes(BESIDE, kind))
        everything = Ragged.from_lists([EVERY_TEXT] * N_USERS)
        for plain, further in [
            (made.features(events, EVERY_TEXT), made.features(with_notes, EVERY_TEXT)),
            (made.pair_features(events, everything), made.pair_features(with_notes, everything)),
        ]:
            for name in ("match_prior", "similarity_max", "similarity_mean", "similarity_top3", "similarity_last"):
                close(plain[name], further[name], "exact")
            assert np.abs(plain["match_raw"] - further["match_raw"]).max() > 0
    matcher.cache_clear()


def test_on_a_gpu_nothing_waits_for_such_texts(note_kind: int) -> None:
    pytest.importorskip("triton", reason="pip install 'recmem[triton]'")
    remembered = histories(LOG, 9).beside(notes(BESIDE, note_kind))
    # Whatever needs a number of the device's raises there.
    steps = steps_of_pair_columns(matcher(4), remembered, Ragged.from_lists([EVERY_TEXT] * N_USERS))
    # The texts' vectors, the rows that are read of the tables, and the request.
    assert len(steps.copies) == 3
    assert steps.launches[-1] == "kernel"


def test_a_texts_row_is_the_same_in_any_batch(note_kind: int) -> None:
    made = matcher()
    exact = exact_module(made.module)
    rows = torch.arange(3)
    alone = [
        gathered(made.tables, exact, made.slots(histories([], 9).beside(notes([[text], [], []], note_kind))), rows)[0]
        for text in range(3)
    ]
    together = gathered(
        made.tables, exact, made.slots(histories([], 9).beside(notes([[0, 1, 2], [], []], note_kind))), rows
    )[0]
    for name in PER_ITEM:
        # Of the rows of own texts, the last text comes first.
        close(
            torch.cat([getattr(tables, name)[:1] for tables in reversed(alone)]), getattr(together, name)[:3], "exact"
        )


def test_a_tuned_encoders_numbers_are_zeros_in_such_texts(note_kind: int) -> None:
    config = MatchConfig(dim=16, n_heads=2, head_dim=3, similarity_dim=8)
    module = MatchModule(config, torch.Generator().manual_seed(0)).eval()
    items = torch.ones(4, 16)
    made = Matcher.of(module, items, MemoryConfig())
    beside = notes([[1]], note_kind)
    slots = Slots.of(histories([], 9).take(np.array([0])).beside(beside), MemoryConfig())
    tables, _, _ = made.placed(slots, torch.tensor([2]))
    vector = torch.cat([torch.from_numpy(beside.vectors[1]), torch.zeros(8)])
    close(tables.unit[0], vector[:8], "exact")
    exact = exact_module(module)
    close(tables.key[0], (exact.key @ vector.double() + exact.key_bias).half(), "exact")
