"""The slots of a memory in words: what a person reads of each, be it an event or not."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from feature_store.point_in_time.further_slots import NO_TIME, FurtherSlots, SlotName
from feature_store.point_in_time.histories import Histories
from recmem.dataset.catalogue import Catalogue
from recmem.dataset.declared_slots import DECLARED
from recmem.dataset.fact_slots import KNOWLEDGE
from recmem.dataset.fact_words import relation_and_object
from recmem.dataset.not_clicked_slots import NOT_CLICKED
from recmem.matching import memory_kinds
from recmem.matching.consolidation import CONSOLIDATED
from recmem.matching.matcher import Matcher
from recmem.matching.memory_kinds import kind_names
from recmem.serving.phrases import PHRASES, Language, Phrases

PHRASED = (DECLARED, CONSOLIDATED, NOT_CLICKED)
"""Kinds whose slots a phrase names, which has its own quotes."""
_DAY_CHARS = 10
"""Of a time as ISO 8601: its date."""


@dataclass(frozen=True)
class DescribedSlot:
    """One slot of a memory."""

    row: int
    """The item's row in the catalogue, -1 for a slot that is no event."""
    item_id: object
    """None for a slot that is of no item."""
    title: str
    """The item's title, or what the slot is, in the language that was asked for."""
    kind: str
    """Name of the slot's memory kind."""
    age: int | None
    """Visits of the user since then; None for a slot that is no event."""
    time: int | None
    """When the event happened, or what the slot is was said or seen last, microseconds; None if that is not known."""

    @property
    def is_event(self) -> bool:
        """Whether the slot is an event."""
        return self.row >= 0


def described_slots(
    matcher: Matcher, catalogue: Catalogue, history: Histories, language: Language
) -> list[DescribedSlot]:
    """The slots of one history's memory in their order: what is no event, then the events, the newest last."""
    remembered = matcher.remembered(history)
    items = remembered.items.values
    ids = catalogue.ids.gather(items).to_list()
    values = zip(
        items.tolist(),
        ids,
        kind_names(remembered),
        remembered.recency.tolist(),
        remembered.times.tolist(),
        strict=True,
    )
    events = [
        DescribedSlot(row, item_id, catalogue.title(row), kind, age, time) for row, item_id, kind, age, time in values
    ]
    return [*_beside_events(remembered.further, catalogue, PHRASES[language]), *events]


def _beside_events(further: FurtherSlots | None, catalogue: Catalogue, phrases: Phrases) -> list[DescribedSlot]:
    if further is None:
        return []
    values = zip(further.texts.values.tolist(), further.kinds.tolist(), further.times.tolist(), strict=True)
    return [
        DescribedSlot(
            row=-1,
            item_id=catalogue.ids[-1 - text] if text < 0 else None,
            title=_title(_name_of(further, text), memory_kinds.KINDS[kind].name, catalogue, phrases),
            kind=memory_kinds.KINDS[kind].name,
            age=None,
            time=None if time == NO_TIME else time,
        )
        for text, kind, time in values
    ]


def newest_first(slots: Sequence[DescribedSlot]) -> list[int]:
    """The places of a memory's slots as people read them: events, newest first, then what is no event, likewise.

    Of one time are the interests of a row, which keep the order in which they were declared, and facts, the strongest
    first. What has no time comes last.
    """
    events = [place for place, slot in enumerate(slots) if slot.is_event]
    others = [place for place, slot in enumerate(slots) if not slot.is_event]

    def as_read(place: int) -> tuple[int, int]:
        slot = slots[place]
        time = NO_TIME if slot.time is None else slot.time
        return -time, place if slot.kind == DECLARED else -place

    return [*reversed(events), *sorted(others, key=as_read)]


def joined(titles: Sequence[str], phrases: Phrases) -> str:
    """The titles as one list; they are quoted already where the language does so."""
    first = titles[0]
    for second in titles[1:]:
        first = phrases.both.format(first=first, second=second)
    return first


def fact_named(words: str, phrases: Phrases) -> str:
    """A fact, "relation: object", as the language joins the two."""
    relation, thing = relation_and_object(words)
    return phrases.fact.format(relation=relation, thing=thing)


def _title(name: SlotName, kind: str, catalogue: Catalogue, phrases: Phrases) -> str:
    if kind == DECLARED:
        return phrases.interest.format(words=name.words)
    if kind == CONSOLIDATED:
        return _earlier_events(name, catalogue, phrases)
    if kind == KNOWLEDGE:
        return fact_named(name.words, phrases)
    if kind == NOT_CLICKED:
        return phrases.not_clicked.format(title=phrases.quoted.format(title=catalogue.title(name.items[0])))
    return name.words


def _name_of(further: FurtherSlots, text: int) -> SlotName:
    """The name of a slot's text, by the text's number; that of an item is its row."""
    return SlotName(items=(-1 - text,)) if text < 0 else further.names[text]


def _earlier_events(name: SlotName, catalogue: Catalogue, phrases: Phrases) -> str:
    titles = joined([phrases.quoted.format(title=catalogue.title(item)) for item in name.items], phrases)
    first, last = (str(np.datetime64(time, "us"))[:_DAY_CHARS] for time in (name.first, name.last))
    if name.n_events == 1:
        return phrases.earlier_event.format(day=last, titles=titles)
    span = phrases.day.format(day=last) if first == last else phrases.days.format(first=first, last=last)
    return phrases.earlier_events.format(n=name.n_events, span=span, titles=titles)
