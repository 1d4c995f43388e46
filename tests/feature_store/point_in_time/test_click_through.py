from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

import slow_reference
from feature_store.point_in_time.click_through import ClickIndex
from slow_reference import Showing
from strategies import ITEMS, LAST_TIME, N_ITEMS, impression_frame, showings, times
from tolerances import close

FEWER = settings(max_examples=50)  # each builds frames
QUERIES = st.lists(st.tuples(st.integers(0, N_ITEMS), times()), min_size=1, max_size=6)


def columns(shown: list[Showing], queries: list[tuple[int, int]]) -> dict[str, np.ndarray]:
    rows, moments = np.array(queries, dtype=np.int64).T
    return ClickIndex.of(impression_frame(shown), ITEMS).features(rows, moments)


def test_click_through_of_a_case_by_hand() -> None:
    shown = [Showing(0, 0, 1, 5, 1), Showing(0, 0, 2, 5, 0), Showing(1, 1, 1, 7, 0)]
    found = columns(shown, [(1, 8), (1, 7), (1, 5), (4, 8)])
    average_at_8, average_at_7, average_at_5 = 2 / 23, 2 / 22, 1 / 20
    expected = [(1 + 20 * average_at_8) / 22, (1 + 20 * average_at_7) / 21, average_at_5, average_at_8]
    close(found["click_through"], expected, "float32")
    close(found["shown"], np.log1p([2, 1, 0, 0]), "float32")


def test_without_impressions_click_through_is_that_before_the_first() -> None:
    found, before = columns([], [(0, 5), (4, 5)]), columns([Showing(0, 0, 0, 5, 1)], [(0, 5), (4, 5)])
    close(found["click_through"], [1 / 20, 1 / 20], "float32")
    close(found["shown"], [0, 0], "exact")
    assert all((found[name] == before[name]).all() for name in found)


def test_showings_of_items_outside_the_catalogue_are_left_out() -> None:
    frame = impression_frame([Showing(0, 0, 4, 5, 1), Showing(0, 0, 1, 5, 0)])
    found = ClickIndex.of(frame, ITEMS.head(4)).features(np.array([1]), np.array([9]))
    close(found["click_through"], [20 / 21 / 21], "float32")


@FEWER
@given(showings(), QUERIES)
def test_click_through_is_that_of_the_oracle(shown: list[Showing], queries: list[tuple[int, int]]) -> None:
    found = columns(shown, queries)
    for place, (item, time) in enumerate(queries):
        expected = slow_reference.click_counters(shown, item, time)
        assert expected.keys() == found.keys()
        for name, column in found.items():
            close(column[place], expected[name], "float32")


@FEWER
@given(showings().filter(bool), showings(from_time=LAST_TIME, first_impression=9), st.integers(0, 1))
def test_labels_of_later_impressions_change_no_click_through(
    shown: list[Showing], later: list[Showing], label: int
) -> None:
    queries = [(item, LAST_TIME) for item in range(N_ITEMS)]
    relabelled = [Showing(row.impression, row.user, row.item, row.time, label) for row in later]
    known = columns(shown, queries)
    for other in (shown + later, shown + relabelled):
        found = columns(other, queries)
        for name, column in known.items():
            close(found[name], column, "exact")


def test_rows_of_one_impression_never_see_each_others_labels() -> None:
    for label in (0, 1):
        shown = [Showing(0, 0, item, 5, label) for item in range(3)]
        close(columns(shown, [(0, 5)])["click_through"], 1 / 20, "float32")
