"""PastQueries of histories in bulk, compiled by numba: one pass from each row's newest event back.

Arrays have no Python type here, so what numba compiles is left out of type checks.
"""

from __future__ import annotations

from typing import no_type_check

import numpy as np

from feature_store.arrays import IntArray
from feature_store.numba_cache import compiled


def moments_after(times: IntArray, offsets: IntArray) -> IntArray:
    """See `feature_store.point_in_time.histories`."""
    moments = np.empty(len(times), np.int64)
    _count(times, offsets, moments)
    return moments


@compiled(nogil=True)
@no_type_check
def _count(times, offsets, moments):
    for row in range(len(offsets) - 1):
        n_later = 0
        for place in range(offsets[row + 1] - 1, offsets[row] - 1, -1):
            if place + 1 < offsets[row + 1] and times[place] != times[place + 1]:
                n_later += 1
            moments[place] = n_later
