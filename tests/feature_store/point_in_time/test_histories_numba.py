from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("numba", reason="pip install 'recmem[numba]'")

from feature_store.point_in_time.histories_numba import visits_after


def test_visits_are_counted_back_from_the_newest_event_of_each_row() -> None:
    # Two rows and an empty one; the first row ends with the time at which the last one begins.
    times = np.array([1, 4, 4, 9, 9, 7, 7], np.int64)
    offsets = np.array([0, 4, 4, 7], np.int64)
    assert visits_after(times, offsets).tolist() == [2, 1, 1, 0, 1, 0, 0]


def test_no_event_has_no_visits() -> None:
    nothing = np.empty(0, np.int64)
    assert visits_after(nothing, np.zeros(3, np.int64)).tolist() == []
