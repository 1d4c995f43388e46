"""The slices of a ledger as a report shows them: by metric, and none twice under two names."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from training.evaluation.ledger import Slice
from training.report.labels import slice_label

FEW_ITEMS = 20
"""Figures of positives on fewer distinct items than this may be due to what just these items are."""


@dataclass(frozen=True)
class SliceRow:
    """A slice, and the names of later slices that hold the same queries and positives."""

    name: str
    part: Slice
    same: tuple[str, ...] = ()

    @property
    def label(self) -> str:
        """Its name for people."""
        return slice_label(self.name)

    @property
    def note_on_same(self) -> str:
        """Which slices are not shown, since they are this one; "" if there are none."""
        labels = " and ".join(slice_label(name) for name in self.same)
        return f"{labels}: the same ones in this test" if labels else ""


def positives_text(part: Slice) -> str:
    """`273 positives of 11 items`; without the items in a ledger that does not tell them."""
    positives = _counted(part.positives or 0, "positive")
    return positives if part.items is None else f"{positives} of {_counted(part.items, 'item')}"


def has_few_items(part: Slice) -> bool:
    """Whether the interval over users, of many positives, hides that the items are few.

    With hardly more positives than items the users are few as well, and the interval is wide by itself.
    """
    if part.items is None or part.positives is None:
        return False
    return part.items < FEW_ITEMS and part.positives >= 2 * part.items


def few_items_sentence(slices: Mapping[str, Slice]) -> str:
    """Which slices rest on few items, and what their intervals do not tell; "" if none does."""
    few = [f"{row.label} ({positives_text(row.part)})" for row in distinct_slices(slices) if has_few_items(row.part)]
    if not few:
        return ""
    return f"On few items: {'; '.join(few)}. An interval is over users: it does not tell how other items would do."


def _counted(n: int, noun: str) -> str:
    return f"{n:,} {noun}" if n == 1 else f"{n:,} {noun}s"


def distinct_slices(slices: Mapping[str, Slice]) -> list[SliceRow]:
    """The slices in their order; one with the figures of an earlier one is named there.

    Figures of six digits with their counts and interval, all equal, are those of the same queries and positives: every
    item that is not cold is an older one, for example, if no item has come out since the test began.
    """
    rows: list[SliceRow] = []
    for name, part in slices.items():
        earlier = next((number for number, row in enumerate(rows) if row.part == part), None)
        if earlier is None:
            rows.append(SliceRow(name, part))
        else:
            row = rows[earlier]
            rows[earlier] = SliceRow(row.name, row.part, (*row.same, name))
    return rows


def slices_by_metric(slices: Mapping[str, Slice]) -> dict[str, list[SliceRow]]:
    """The distinct slices of each metric, in the order in which the metrics first appear."""
    rows = distinct_slices(slices)
    metrics = dict.fromkeys(row.part.metric for row in rows)
    return {metric: [row for row in rows if row.part.metric == metric] for metric in metrics}
