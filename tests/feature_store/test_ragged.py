import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from feature_store.ragged import Ragged

INT64 = st.integers(-(2**63), 2**63 - 1)
LISTS = st.lists(st.lists(INT64, max_size=5), max_size=8)


@st.composite
def lists_and_rows(draw: st.DrawFn) -> tuple[list[list[int]], list[int]]:
    lists = draw(st.lists(st.lists(INT64, max_size=5), min_size=1, max_size=8))
    return lists, draw(st.lists(st.integers(0, len(lists) - 1), max_size=12))


def flat(*values: int) -> np.ndarray:
    return np.array(values, dtype=np.int64)


def test_rows_lengths_and_row_index_of_a_case_by_hand() -> None:
    ragged = Ragged(values=flat(7, 8, 9), offsets=flat(0, 2, 2, 3))
    assert ragged.n_rows == len(ragged) == 3
    assert ragged.lengths.tolist() == [2, 0, 1]
    assert ragged.row_index.tolist() == [0, 0, 2]
    assert [ragged.row(row).tolist() for row in range(3)] == [[7, 8], [], [9]]


@given(LISTS)
def test_rows_are_the_lists_they_were_made_from(lists: list[list[int]]) -> None:
    ragged = Ragged.from_lists(lists)
    assert ragged.to_lists() == lists
    assert Ragged.from_lists(ragged.to_lists()) == ragged
    assert ragged.values.dtype == ragged.offsets.dtype == np.int64


@given(LISTS)
def test_every_value_knows_its_row(lists: list[list[int]]) -> None:
    ragged = Ragged.from_lists(lists)
    assert ragged.row_index.tolist() == [row for row, values in enumerate(lists) for _ in values]
    assert ragged.lengths.tolist() == [len(values) for values in lists]


@given(lists_and_rows())
def test_taking_rows_is_indexing_the_lists(case: tuple[list[list[int]], list[int]]) -> None:
    lists, rows = case
    assert Ragged.from_lists(lists).take(rows).to_lists() == [lists[row] for row in rows]


@given(lists_and_rows())
def test_an_array_beside_the_values_follows_the_rows(case: tuple[list[list[int]], list[int]]) -> None:
    lists, rows = case
    ragged = Ragged.from_lists(lists)
    beside = np.arange(len(ragged.values)) * 0.5
    taken = ragged.take(rows)
    expected = [beside[ragged.offsets[row] : ragged.offsets[row + 1]].tolist() for row in rows]
    got = beside[ragged.index_of(rows)]
    assert [got[a:b].tolist() for a, b in zip(taken.offsets[:-1], taken.offsets[1:], strict=True)] == expected


@given(st.lists(LISTS, max_size=4))
def test_concat_keeps_the_rows_of_each_part_in_order(parts: list[list[list[int]]]) -> None:
    joined = Ragged.concat([Ragged.from_lists(part) for part in parts])
    assert joined.to_lists() == [row for part in parts for row in part]


def test_ranges_count_up_to_their_end() -> None:
    assert Ragged.from_ranges(flat(5, 2, 7), flat(8, 2, 9)).to_lists() == [[5, 6, 7], [], [7, 8]]


@given(LISTS, st.integers(0, 5))
def test_the_newest_of_a_row_are_its_last_values(lists: list[list[int]], limit: int) -> None:
    ragged = Ragged.from_lists(lists)
    newest = [row[max(len(row) - limit, 0) :] for row in lists]
    assert ragged.newest(limit).to_lists() == newest
    assert ragged.values[ragged.newest_places(limit).values].tolist() == [value for row in newest for value in row]
    assert ragged.newest(None) == ragged


@given(st.lists(st.lists(st.integers(0, 9), max_size=5), max_size=8), st.sets(st.integers(0, 9)))
def test_a_row_contains_the_values_that_are_in_its_list(lists: list[list[int]], values: set[int]) -> None:
    wanted = sorted(values)
    found = Ragged.from_lists(lists).contains(np.array(wanted, np.int64))
    assert found.shape == (len(lists), len(wanted))
    assert found.tolist() == [[value in row for value in wanted] for row in lists]


def test_taking_no_row_and_taking_from_nothing() -> None:
    assert Ragged.from_lists([[1], [2]]).take([]).to_lists() == []
    assert Ragged.from_lists([]).take([]).to_lists() == []


def test_equality_is_of_values_and_rows() -> None:
    assert Ragged.from_lists([[1, 2]]) == Ragged.from_lists([[1, 2]])
    assert Ragged.from_lists([[1, 2]]) != Ragged.from_lists([[1], [2]])
    assert Ragged.from_lists([[1, 2]]) != Ragged.from_lists([[1, 3]])
    with pytest.raises(TypeError, match="unhashable"):
        hash(Ragged.from_lists([]))


@pytest.mark.parametrize("offsets", [(), (1, 3), (0, 2), (0, 4), (0, 2, 1, 3)], ids=str)
def test_offsets_that_do_not_cut_the_values_are_refused(offsets: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"offsets: expected non-decreasing numbers from 0 to 3, got \["):
        Ragged(flat(7, 8, 9), flat(*offsets))


def test_lengths_that_do_not_sum_to_the_values_are_refused() -> None:
    with pytest.raises(ValueError, match="offsets: expected non-decreasing numbers from 0 to 3"):
        Ragged.from_lengths(flat(7, 8, 9), flat(2, 2))


def test_other_dtypes_are_refused_by_name() -> None:
    with pytest.raises(ValueError, match=r"values: expected a flat int64 array, got int32\[2\]"):
        Ragged(np.array([1, 2], dtype=np.int32), flat(0, 2))
    with pytest.raises(ValueError, match=r"values: expected a flat int64 array, got int64\[1, 1\]"):
        Ragged(np.array([[1]]), flat(0, 1))


@pytest.mark.parametrize("row", [-1, 2])
def test_a_row_outside_is_refused_and_never_wraps_around(row: int) -> None:
    ragged = Ragged.from_lists([[1], [2]])
    message = rf"rows: expected 0 \.\. 1, got \[{row}\]"
    with pytest.raises(IndexError, match=message):
        ragged.take([0, row])
    with pytest.raises(IndexError, match=message):
        ragged.row(row)
