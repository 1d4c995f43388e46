"""What a scored frame comes back with: how many of its rows the store could not match."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Generic

from feature_store.arrays import BoolArray
from feature_store.timestamps import iso_time
from recmem.dataset.unmatched_rows import UnmatchedRows
from recmem.serving.frames import FrameT


@dataclass(frozen=True, eq=False)
class Scored(Generic[FrameT]):
    """The frame of one call, and how many of its rows the store could not match."""

    frame: FrameT
    unmatched: UnmatchedRows
    """Rows that were scored with less than the full information: unknown users and items, and the like."""
    user_is_known: BoolArray
    """bool[row], of `recommend` bool[user]: the store knows the user, or a history came with the row."""
    item_is_known: BoolArray
    """bool[row]: the store has the item."""
    lacks_features: BoolArray | None = None
    """bool[row]: a feature of your own counts as missing in the row; None if none is read, as by `match`."""
    n_in_sample: int = 0
    """Rows from before `bundle.config.learned_until`: the model has learned from their time, so that their scores tell
    what happened then. For training rows of a ranker of your own, use `recmem.training_features`."""


def in_sample_text(n_rows: int, learned_until: int) -> str:
    """What to say about rows whose time a model has learned from."""
    rows = "1 row is" if n_rows == 1 else f"{n_rows:,} rows are"
    return (
        f"{rows} in sample: the model has learned from all events up to {iso_time(learned_until)}. To fit a ranker on "
        "such rows, get their match features from recmem.training_features or `recmem features`."
    )
