"""The interests that users have declared, as memory slots: usable before a user's first event."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from feature_store.arrays import IntArray
from feature_store.excerpts import excerpt
from feature_store.point_in_time.further_slots import FurtherSlots, SlotName
from feature_store.point_in_time.histories import Histories
from feature_store.ragged import Ragged
from recmem.matching.memory_kinds import place_of
from recmem.matching.user_memory import age_bucket

if TYPE_CHECKING:
    from recmem.dataset.dataset import Dataset

DECLARED = "declared"
"""Name of the memory kind."""
_SHOWN_CHARS = 80
"""Of an interest, in a reason."""


def declared_slots(dataset: Dataset, users: IntArray, times: IntArray, histories: Histories) -> FurtherSlots | None:
    """A slot for each interest in the row of the users table that holds for each user at its time; None without any.

    A slot's age is the user's visits since the interests were declared; 0 if that has no time.
    """
    if not dataset.config.interests:
        return None
    rows = dataset.profile_rows(users, times)
    interests = dataset.profiles.interest_parts(dataset.config.interests, rows)
    if not len(interests.values):
        return None
    distinct, texts = np.unique(interests.values, return_inverse=True)
    vectors = dataset.profiles.interests
    declared_at = dataset.profiles.times(rows)[interests.row_index]
    return FurtherSlots(
        texts=Ragged(texts.astype(np.int64), interests.offsets),
        ages=age_bucket(histories.visits_since(Ragged(declared_at, interests.offsets))),
        kinds=np.full(len(texts), place_of(DECLARED)),
        times=declared_at,
        vectors=vectors.vectors[distinct],
        names=[SlotName(excerpt(vectors.texts[row], _SHOWN_CHARS)) for row in distinct.tolist()],
    )
