from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from feature_store.point_in_time.further_slots import FurtherSlots, SlotName
from feature_store.point_in_time.histories import Histories
from feature_store.ragged import Ragged
from five_item_dataset import catalogue, matcher
from further_slots import NAMES, NOTE, add_note_kind, notes
from recmem.matching.memory_kinds import place_of
from recmem.matching.user_memory import MemoryConfig
from recmem.serving.explain import in_words, match_parts, slot_reasons
from recmem.serving.phrases import Language
from recmem.serving.slot_names import DescribedSlot, described_slots, newest_first
from slow_reference import Event
from strategies import ITEMS, event_log
from tolerances import close


def test_a_memory_is_described_slot_by_slot(monkeypatch: pytest.MonkeyPatch) -> None:
    matcher.cache_clear()
    kind = add_note_kind(monkeypatch)
    made = matcher(recent=2)
    log = [Event(0, 4, 1), Event(0, 3, 2, "skip"), Event(0, 1, 5)]
    history = Histories.as_of(event_log(log), np.array([0]), np.array([9]), 99).beside(notes([[1, 0]], kind))
    slots = described_slots(made, catalogue(), history, "en")
    assert [slot.title for slot in slots] == [NAMES[1], NAMES[0], "i3 (item 3)", "i1 (item 1)"]
    assert [slot.kind for slot in slots] == [NOTE, NOTE, "negative", "positive"]
    assert [slot.item_id for slot in slots] == [None, None, ITEMS[3], ITEMS[1]]
    assert [slot.age for slot in slots] == [None, None, 1, 0]
    assert [slot.time for slot in slots] == [1, None, 2, 5]
    assert [slot.is_event for slot in slots] == [False, False, True, True]

    prior, null, parts = match_parts(made, history, np.array([2]))
    reasons = slot_reasons(made, catalogue(), history, parts[:, 0], "en")
    assert [reason.title for reason in reasons] == [slots[place].title for place in newest_first(slots)]
    score = made.features(history, np.array([2]))["match_raw"]
    total = prior + null + sum(reason.contribution for reason in reasons)
    close(np.asarray(total, np.float32), score[0], "explanation")
    assert all(reason.contribution for reason in reasons)
    matcher.cache_clear()


DAY = 24 * 3600 * 10**6
KINDS = ("consolidated", "consolidated", "consolidated", "knowledge", "declared")


def further() -> FurtherSlots:
    """One query's slots of all kinds that are no events."""
    return FurtherSlots(
        texts=Ragged.from_lists([list(range(len(KINDS)))]),
        ages=np.zeros(len(KINDS), np.int64),
        kinds=np.array([place_of(kind) for kind in KINDS]),
        times=np.full(len(KINDS), DAY),
        vectors=np.eye(len(KINDS), 8, dtype=np.float32),
        names=[
            SlotName(n_events=37, first=DAY, last=400 * DAY, items=(3, 1)),
            SlotName(n_events=2, first=DAY, last=DAY + 1, items=(3,)),
            SlotName(n_events=1, first=DAY, last=DAY, items=(1,)),
            SlotName("author: B"),
            SlotName("jazz {0}"),
        ],
    )


@pytest.mark.parametrize(
    ("language", "titles"),
    [
        (
            "en",
            [
                "37 earlier events from 1970-01-02 to 1971-02-05 like i3 (item 3) and i1 (item 1)",
                "2 earlier events on 1970-01-02 like i3 (item 3)",
                "an earlier event on 1970-01-02: i1 (item 1)",
                "author: B",
                'the declared interest "jazz {0}"',
            ],
        ),
        (
            "de",
            [
                "„i3 (item 3)“ und „i1 (item 1)“ u. a. (37 frühere Ereignisse vom 1970-01-02 bis 1971-02-05)",
                "„i3 (item 3)“ u. a. (2 frühere Ereignisse am 1970-01-02)",
                "„i1 (item 1)“ (ein früheres Ereignis am 1970-01-02)",
                "author: B",
                "Interesse „jazz {0}“",
            ],
        ),
        (
            "zh",
            [
                "1970-01-02至1971-02-05的37条较早记录（如「i3 (item 3)」和「i1 (item 1)」）",
                "1970-01-02的2条较早记录（如「i3 (item 3)」）",
                "1970-01-02的较早记录「i1 (item 1)」",
                "author：B",
                "所填写的兴趣「jazz {0}」",
            ],
        ),
        (
            "ja",
            [
                "1970-01-02から1971-02-05までの以前の履歴37件（「i3 (item 3)」と「i1 (item 1)」など）",
                "1970-01-02の以前の履歴2件（「i3 (item 3)」など）",
                "1970-01-02の以前の履歴「i1 (item 1)」",
                "author：B",
                "登録された興味「jazz {0}」",
            ],
        ),
    ],
)
def test_what_is_no_event_is_named_in_the_language_of_reasons(language: Language, titles: list[str]) -> None:
    made = replace(matcher(recent=2), memory=MemoryConfig(recent=2, consolidated=3, knowledge=1))
    history = Histories.as_of(event_log([Event(0, 1, 5)]), np.array([0]), np.array([9]), 99).beside(further())
    slots = described_slots(made, catalogue(), history, language)
    assert [slot.title for slot in slots] == [*titles, "i1 (item 1)"]


def test_a_named_slot_has_its_own_quotes_in_a_reason() -> None:
    assert in_words(["Interesse „Jazz“", "A"], [2, 1], kinds=["declared", "positive"], language="de") == (
        "weil es zu Interesse „Jazz“ und „A“ passt"
    )
    interest = "所填写的兴趣「爵士乐」"
    # A quoted interest is not mentioned a second time.
    assert in_words([interest], [1.0], kinds=["declared"], interests=0.5, language="zh") == f"因为它与{interest}相关"


def slot(title: str, kind: str, time: int | None, row: int = -1) -> DescribedSlot:
    return DescribedSlot(row, None, title, kind, None, time)


def test_a_memory_is_listed_newest_first_and_interests_as_they_were_declared() -> None:
    slots = [
        slot("first interest", "declared", 5),
        slot("second interest", "declared", 5),
        slot("undated", "note", None),
        slot("weaker fact", "knowledge", 9),
        slot("stronger fact", "knowledge", 9),
        slot("older events", "consolidated", 1),
        slot("old", "positive", 3, row=0),
        slot("new", "positive", 9, row=1),
    ]
    assert [slots[place].title for place in newest_first(slots)] == [
        *("new", "old", "stronger fact", "weaker fact"),
        *("first interest", "second interest", "older events", "undated"),
    ]
