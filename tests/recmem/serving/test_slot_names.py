from __future__ import annotations

import numpy as np
import pytest

from feature_store.point_in_time.histories import Histories
from five_item_dataset import catalogue, matcher
from further_slots import NAMES, NOTE, add_note_kind, notes
from recmem.serving.explain import match_parts, slot_reasons
from recmem.serving.slot_names import described_slots
from slow_reference import Event
from strategies import ITEMS, event_log
from tolerances import close


def test_a_memory_is_described_slot_by_slot(monkeypatch: pytest.MonkeyPatch) -> None:
    matcher.cache_clear()
    kind = add_note_kind(monkeypatch)
    made = matcher(recent=2)
    log = [Event(0, 4, 1), Event(0, 3, 2, "skip"), Event(0, 1, 5)]
    history = Histories.as_of(event_log(log), np.array([0]), np.array([9]), 99).beside(notes([[1, 0]], kind))
    slots = described_slots(made, catalogue(), history)
    assert [slot.title for slot in slots] == [NAMES[1], NAMES[0], "i3 (item 3)", "i1 (item 1)"]
    assert [slot.kind for slot in slots] == [NOTE, NOTE, "negative", "positive"]
    assert [slot.item_id for slot in slots] == [None, None, ITEMS[3], ITEMS[1]]
    assert [slot.age for slot in slots] == [None, None, 1, 0]
    assert [slot.time for slot in slots] == [1, None, 2, 5]
    assert [slot.is_event for slot in slots] == [False, False, True, True]

    prior, null, parts = match_parts(made, history, np.array([2]))
    reasons = slot_reasons(made, catalogue(), history, parts[:, 0])
    assert [reason.title for reason in reasons] == [slot.title for slot in reversed(slots)]
    score = made.features(history, np.array([2]))["match_raw"]
    total = prior + null + sum(reason.contribution for reason in reasons)
    close(np.asarray(total, np.float32), score[0], "explanation")
    assert all(reason.contribution for reason in reasons)
    matcher.cache_clear()
