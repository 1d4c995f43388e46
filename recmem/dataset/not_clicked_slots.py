"""Items that were shown to a user and not clicked, as memory slots."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from feature_store.arrays import IntArray
from feature_store.point_in_time.further_slots import FurtherSlots
from feature_store.point_in_time.histories import Histories
from feature_store.ragged import Ragged
from recmem.matching.memory_kinds import place_of
from recmem.matching.user_memory import age_bucket

if TYPE_CHECKING:
    from recmem.dataset.dataset import Dataset

NOT_CLICKED = "not_clicked"
"""Name of the memory kind."""


def not_clicked_slots(dataset: Dataset, users: IntArray, times: IntArray, histories: Histories) -> FurtherSlots | None:
    """The items last shown to each user before its time and not clicked, `DatasetConfig.not_clicked_slots` at most.

    Items of positive events of the history are left out. A slot's age is the user's visits since it was shown. None
    where no impressions are known.
    """
    n_slots = dataset.config.not_clicked_slots
    if not n_slots or not len(dataset.not_clicked.items) or not len(histories):
        return None
    is_positive = histories.signs > 0
    n_positive = np.bincount(histories.items.row_index[is_positive], minlength=len(histories))
    taken = Ragged.from_lengths(histories.items.values[is_positive], n_positive)
    items, shown_at = dataset.not_clicked.newest(users, times, n_slots, taken)
    if not len(items.values):
        return None
    return FurtherSlots.of_items(
        items,
        ages=age_bucket(histories.visits_since(Ragged(shown_at, items.offsets))),
        kinds=np.full(len(shown_at), place_of(NOT_CLICKED)),
        times=shown_at,
    )
