"""The slots of a memory in words: what a person reads of each, be it an event or not."""

from __future__ import annotations

from dataclasses import dataclass

from feature_store.point_in_time.further_slots import NO_TIME, FurtherSlots
from feature_store.point_in_time.histories import Histories
from recmem.dataset.catalogue import Catalogue
from recmem.matching import memory_kinds
from recmem.matching.matcher import Matcher
from recmem.matching.memory_kinds import kind_names


@dataclass(frozen=True)
class DescribedSlot:
    """One slot of a memory."""

    row: int
    """The item's row in the catalogue, -1 for a slot that is no event."""
    item_id: object
    """None for a slot that is no event."""
    title: str
    """The item's title, or what the slot is."""
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


def described_slots(matcher: Matcher, catalogue: Catalogue, history: Histories) -> list[DescribedSlot]:
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
    return [*_beside_events(remembered.further, catalogue), *events]


def _beside_events(further: FurtherSlots | None, catalogue: Catalogue) -> list[DescribedSlot]:
    if further is None:
        return []
    values = zip(further.texts.values.tolist(), further.kinds.tolist(), further.times.tolist(), strict=True)
    return [
        DescribedSlot(
            row=-1,
            item_id=None,
            title=_title(further, text, catalogue),
            kind=memory_kinds.KINDS[kind].name,
            age=None,
            time=None if time == NO_TIME else time,
        )
        for text, kind, time in values
    ]


def _title(further: FurtherSlots, text: int, catalogue: Catalogue) -> str:
    """The name of a text, with the titles of the items that it is named by."""
    items = further.named_by[text] if further.named_by else ()
    titles = " and ".join(catalogue.title(item) for item in items)
    return f"{further.names[text]} {titles}" if titles else further.names[text]
