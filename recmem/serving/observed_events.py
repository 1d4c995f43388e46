"""Events that a model observes: checked as the store does, and what became of them as a receipt."""

from __future__ import annotations

from dataclasses import dataclass

import polars as pl

from feature_store import Receipt
from feature_store.schema import EVENTS
from feature_store.table_checks import Checked, check_table
from feature_store.warnings.unread_columns import unread_columns
from recmem.dataset.dataset import Dataset
from recmem.serving.frames import column_names, to_polars

EVENT_COLUMNS = tuple(column.name for column in EVENTS.columns)


@dataclass(frozen=True, eq=False)
class ReadEvents:
    """The caller's events, each valid or with a reason why not."""

    checked: Checked
    warnings: tuple[str, ...]

    @classmethod
    def of(cls, events: object, dataset: Dataset, *, keeps_unmatched: bool) -> ReadEvents:
        """Reads a frame of events. `keeps_unmatched`: events of unknown items are kept, with a warning."""
        frame = to_polars(events, EVENTS.name, wanted=EVENT_COLUMNS)
        ids = {name: dataset.events.schema[name] for name in ("user_id", "item_id")}
        checked = check_table(frame, EVENTS, stored=ids, signals=dataset.config.signals)
        unmatched = _unmatched(checked.kept["item_id"], dataset) if keeps_unmatched else []
        return cls(checked, (*checked.warnings, *_unread(events), *unmatched))

    def receipt(self, n_new: int, n_duplicate: int, refused: dict[str, int]) -> Receipt:
        """What became of them; `refused` are further reasons, of the shared memories. No table has changed."""
        n_in = len(self.checked.frame)
        reasons: dict[str, int] = dict(self.checked.reasons()["reason"].value_counts(sort=True).iter_rows())
        return Receipt(
            table=EVENTS.name,
            n_in=n_in,
            n_new=n_new,
            n_duplicate=n_duplicate,
            n_rejected=n_in - n_new - n_duplicate,
            version=None,
            reasons=reasons | refused,
            warnings=self.warnings,
        )


def _unmatched(ids: pl.Series, dataset: Dataset) -> list[str]:
    """What to say about events of items that the store lacks."""
    unmatched = ids.filter(dataset.catalogue.rows(ids) < 0)
    if unmatched.is_empty():
        return []
    return [
        f"item_id: {len(unmatched):,} of {len(ids):,} rows are unmatched: the items that were loaded lack theirs, "
        f"such as {unmatched[0]!r}. They count in a model that is loaded when the store has the items."
    ]


def _unread(events: object) -> list[str]:
    """What to say about columns that were not converted, because events have no such columns."""
    return [] if isinstance(events, pl.DataFrame) else unread_columns(column_names(events), EVENT_COLUMNS, EVENTS.name)
