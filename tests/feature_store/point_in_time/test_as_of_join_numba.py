from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

pytest.importorskip("numba", reason="pip install 'recmem[numba]'")

from feature_store.point_in_time.as_of_join_numba import ends_of, order_by_key


def flat(*values: int) -> np.ndarray:
    return np.array(values, dtype=np.int64)


@given(st.lists(st.integers(0, 5)))
def test_rows_are_sorted_by_key_and_keep_their_order_within_it(keys: list[int]) -> None:
    begins = np.append(0, np.cumsum(np.bincount(flat(*keys), minlength=6)))
    before = begins.copy()
    assert order_by_key(flat(*keys), begins).tolist() == sorted(range(len(keys)), key=lambda row: keys[row])
    assert np.array_equal(begins, before)


def test_ends_by_hand() -> None:
    # Key 0 has rows known at 3 and 5, key 1 has none, key 2 has one known at 4.
    begins = flat(0, 2, 2, 3)
    known = flat(3, 5, 4)
    ends = ends_of(begins, known, keys=flat(0, 0, 0, 1, 2, 2), times=flat(2, 3, 9, 9, 3, 4))
    assert ends.tolist() == [0, 1, 2, 2, 2, 3]


def test_an_unknown_key_has_an_empty_range() -> None:
    begins = flat(0, 2, 3)
    known = flat(3, 5, 4)
    assert ends_of(begins, known, keys=flat(-1, 2, 9), times=flat(9, 9, 9)).tolist() == [0, 3, 3]
