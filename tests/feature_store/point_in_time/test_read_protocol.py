from __future__ import annotations

import numpy as np

from feature_store.point_in_time.read_protocol import END_OF_TIME, START_OF_TIME, Past
from feature_store.ragged import Ragged


def past(*rows: list[int]) -> Past:
    """Events of the given items; event n happened at 10 n, became known at 10 n + 1, and has the sign n % 3 - 1."""
    items = Ragged.from_lists(rows)
    number = np.arange(len(items.values), dtype=np.int64)
    return Past(items, times=10 * number, known=10 * number + 1, signs=(number % 3 - 1).astype(np.int8))


def test_some_events_keep_their_rows_and_what_belongs_to_them() -> None:
    found = past([7, 8], [9], [5]).only(np.array([1, 3]))
    assert found.items.to_lists() == [[8], [], [5]]
    assert found.times.tolist() == [10, 30]
    assert found.known.tolist() == [11, 31]
    assert found.signs.tolist() == [0, -1]
    assert past([7, 8], [9]).only(np.array([1])).items.to_lists() == [[8], []]


def test_parts_are_joined_row_after_row() -> None:
    joined = Past.concat([past([7, 8], []), past([9])])
    assert joined.items.to_lists() == [[7, 8], [], [9]]
    assert joined.times.tolist() == [0, 10, 0]
    assert joined.known.tolist() == [1, 11, 1]
    assert joined.signs.tolist() == [-1, 0, -1]


def test_the_ends_of_time_are_int64_and_beyond_every_stored_time() -> None:
    year = 366 * 86_400 * 10**6
    assert np.array([START_OF_TIME, END_OF_TIME]).dtype == np.int64
    assert START_OF_TIME < (1678 - 1970) * year < (2262 - 1970) * year < END_OF_TIME
