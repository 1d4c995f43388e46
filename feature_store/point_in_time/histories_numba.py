"""The recency of histories in bulk, compiled by numba: one pass over each row, from its newest event back.

Arrays have no Python type inside compiled functions, so these are left out of type checks.
"""

from __future__ import annotations

from typing import no_type_check

import numpy as np

from feature_store.arrays import IntArray
from feature_store.numba_cache import compiled


def visits_after(times: IntArray, offsets: IntArray) -> IntArray:
    """How many visits follow each event in its row: int64[event]. See `feature_store.point_in_time.histories`."""
    n_after = np.empty(len(times), np.int64)
    _count(times, offsets, n_after)
    return n_after


@compiled(nogil=True)
@no_type_check
def _count(times, offsets, n_after):
    for row in range(len(offsets) - 1):
        n_later = 0
        for place in range(offsets[row + 1] - 1, offsets[row] - 1, -1):
            # A change of time to the event after it begins another visit.
            if place + 1 < offsets[row + 1] and times[place] != times[place + 1]:
                n_later += 1
            n_after[place] = n_later
