from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from feature_store.point_in_time.histories import Histories
from feature_store.ragged import Ragged
from five_item_dataset import catalogue
from recmem.matching.consolidation import consolidated
from recmem.matching.match_module import MatchConfig, MatchModule
from recmem.matching.matcher import Matcher
from recmem.matching.memory_kinds import place_of
from recmem.matching.user_memory import MemoryConfig, Slots, age_bucket
from recmem.serving.slot_names import described_slots
from recmem.text.unit_vectors import exact_units
from slow_reference import Event
from strategies import N_USERS, event_log, logs, times
from tolerances import close

KIND = place_of("consolidated")
DAY = 24 * 3600 * 10**6
JAZZ, SWING, TEA, COFFEE, ROCK = range(5)
UNIT = exact_units(torch.tensor([[9.0, 1, 0], [9, 0, 1], [0, 9, 1], [1, 9, 0], [0, 0, 1]]))
"""Two themes of two texts each, and a text of its own."""


def history(*events: tuple[int, int, str]) -> Histories:
    """One user's events, each a visit: item, day, name."""
    return Histories(
        items=Ragged.from_lists([[item for item, _, _ in events]]),
        times=np.array([day * DAY for _, day, _ in events]),
        signs=np.array([-1 if name == "skip" else 1 for _, _, name in events], np.int8),
        recency=np.arange(len(events))[::-1].copy(),
    )


LONG = history(
    (JAZZ, 1, ""), (TEA, 2, ""), (SWING, 3, ""), (ROCK, 4, "skip"), (COFFEE, 5, ""), (JAZZ, 6, ""), (ROCK, 7, "")
)


def middle(*items: int) -> torch.Tensor:
    """The middle of these items' texts."""
    return exact_units(UNIT[list(items)].sum(0, keepdim=True))[0]


def test_older_events_become_a_slot_for_each_theme() -> None:
    memory = MemoryConfig(recent=1, consolidated=2)
    found = consolidated(LONG, memory, UNIT).further
    assert found is not None
    # Music twice on the first and sixth day, drinks until the fifth; what was skipped is in neither.
    close(found.vectors[found.texts.values[0]], middle(TEA, COFFEE).numpy(), "exact")
    close(found.vectors[found.texts.values[1]], middle(JAZZ, JAZZ, SWING).numpy(), "exact")
    assert found.kinds.tolist() == [KIND, KIND]
    assert found.times.tolist() == [5 * DAY, 6 * DAY]
    assert found.ages.tolist() == age_bucket(np.array([3, 4])).tolist()  # the middle of 2 and 5, and of 1, 4 and 6
    spans = [(name.n_events, name.first, name.last) for name in found.names]
    assert spans == [(2, 2 * DAY, 5 * DAY), (3, 1 * DAY, 6 * DAY)]
    assert [set(name.items) for name in found.names] == [{TEA, COFFEE}, {JAZZ, SWING}]


def test_an_event_that_is_remembered_is_not_consolidated() -> None:
    found = consolidated(LONG, MemoryConfig(recent=4, consolidated=9, negatives=False), UNIT).further
    assert found is not None
    # Without the skip, the newest four are swing, coffee, jazz and rock.
    assert sorted(name.items[0] for name in found.names) == [JAZZ, TEA]
    with_skip = consolidated(LONG, MemoryConfig(recent=4, consolidated=9, negatives=True), UNIT).further
    assert with_skip is not None
    assert sorted(name.items[0] for name in with_skip.names) == [JAZZ, SWING, TEA]


def test_a_memory_that_forgets_nothing_has_no_such_slots() -> None:
    assert consolidated(LONG, MemoryConfig(recent=1), UNIT) is LONG
    assert consolidated(LONG, MemoryConfig(recent=7, consolidated=2), UNIT) is LONG
    skipped = history((ROCK, 4, "skip"), (JAZZ, 6, ""))
    assert consolidated(skipped, MemoryConfig(recent=1, consolidated=2), UNIT) is skipped


@settings(max_examples=40)
@given(logs(), times(), st.integers(1, 2), st.integers(1, 3))
def test_a_history_gives_the_same_slots_alone_and_among_others(
    log: list[Event], time: int, recent: int, n_slots: int
) -> None:
    memory = MemoryConfig(recent=recent, consolidated=n_slots, negatives=True)
    histories = Histories.as_of(event_log(log), np.arange(N_USERS), np.full(N_USERS, time), 99)
    together = Slots.of(consolidated(histories, memory, UNIT), memory)
    for user in range(N_USERS):
        own = histories.take(np.array([user]))
        alone = Slots.of(consolidated(own, memory, UNIT), memory)
        mine = together.memory_index == user
        assert together.ages[mine].tolist() == alone.ages.tolist()
        assert together.kinds[mine].tolist() == alone.kinds.tolist()
        close(together.vectors_of(UNIT, together.rows[mine]), alone.vectors_of(UNIT, alone.rows), "exact")
        n_older = max(int((own.signs >= 0)[: max(len(own.signs) - recent, 0)].sum()), 0)
        n_found = int((alone.kinds == KIND).sum())
        assert (n_found > 0) == (n_older > 0)
        assert n_found <= min(n_slots, n_older)


def test_such_slots_count_in_scores_and_are_described() -> None:
    module = MatchModule(MatchConfig(dim=3, n_heads=2, head_dim=3), torch.Generator().manual_seed(0)).eval()
    made = Matcher.of(module, UNIT, MemoryConfig(recent=1, consolidated=2))
    plain = Matcher.of(module, UNIT, MemoryConfig(recent=1))
    everything = np.arange(5)
    found = made.features(LONG, everything)["match_raw"]
    before = plain.features(LONG, everything)["match_raw"]
    assert (found[0, [JAZZ, SWING, TEA, COFFEE]] > before[0, [JAZZ, SWING, TEA, COFFEE]]).all()
    pairs = made.pair_features(LONG, Ragged.from_lists([everything]))["match_raw"]
    close(pairs, found[0], "float32")
    slots = described_slots(made, catalogue(), LONG, "en")
    assert [slot.kind for slot in slots] == ["consolidated", "consolidated", "positive"]
    assert slots[1].title.startswith("3 earlier events from 1970-01-02 to 1970-01-07 like i")
    assert slots[1].title.count("(item ") == 2


@pytest.mark.parametrize("negatives", [True, False])
def test_negative_events_are_signed_slots_or_left_out(negatives: bool) -> None:
    slots = Slots.of(LONG, MemoryConfig(recent=3, negatives=negatives))
    assert slots.rows.tolist() == [COFFEE, JAZZ, ROCK]
    four = Slots.of(LONG, MemoryConfig(recent=4, negatives=negatives))
    assert four.rows.tolist() == [ROCK if negatives else SWING, COFFEE, JAZZ, ROCK]
    assert (0 in four.kinds.tolist()) == negatives
