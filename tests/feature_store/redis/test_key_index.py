from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from feature_store.redis.key_index import KeyIndex

KEYS = st.lists(st.tuples(st.integers(0, 3), st.integers(-2, 2)), unique=True, max_size=8)


@given(KEYS, st.data())
def test_every_key_is_found_at_its_position(keys: list[tuple[int, int]], data: st.DataObject) -> None:
    rows, times = (np.array([key[part] for key in keys], np.int64) for part in (0, 1))
    index = KeyIndex.of(rows, times)
    order = np.array(data.draw(st.permutations(range(len(keys)))), np.int64)
    assert index.find(rows[order], times[order]).tolist() == order.tolist()


@given(KEYS, st.integers(-3, 3))
def test_no_row_has_the_position_after_the_last(keys: list[tuple[int, int]], time: int) -> None:
    rows, times = (np.array([key[part] for key in keys], np.int64) for part in (0, 1))
    assert KeyIndex.of(rows, times).find(np.array([-1]), np.array([time])).tolist() == [len(keys)]


@pytest.mark.parametrize(("row", "time"), [(1, 7), (2, 5), (1, 4), (9, 9)])
def test_a_key_that_was_not_fetched_is_refused(row: int, time: int) -> None:
    index = KeyIndex.of(np.array([1, 2]), np.array([5, 7]))
    with pytest.raises(
        ValueError, match=r"^request: expected users, items and times that were fetched, got some that were not"
    ):
        index.find(np.array([1, row]), np.array([5, time]))
