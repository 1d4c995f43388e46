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


def features(shown: list[Showing], queries: list[tuple[int, int]]) -> dict[str, np.ndarray]:
    rows, at = np.array(queries, dtype=np.int64).T
    return ClickIndex.of(impression_frame(shown), ITEMS).features(rows, at)


def test_click_through_of_a_case_by_hand() -> None:
    shown = [Showing(0, 0, 1, 5, 1), Showing(0, 0, 2, 5, 0), Showing(1, 1, 1, 7, 0)]
    found = features(shown, [(1, 8), (1, 7), (1, 5), (4, 8)])
    average_at_8 = 2 / 23
    average_at_7 = 2 / 22
    average_at_5 = 1 / 20
    expected = [(1 + 20 * average_at_8) / 22, (1 + 20 * average_at_7) / 21, average_at_5, average_at_8]
    close(found["click_through"], expected, "float32")
    close(found["shown"], np.log1p([2, 1, 0, 0]), "float32")


def test_without_impressions_click_through_is_what_it_is_before_the_first() -> None:
    found = features([], [(0, 5), (4, 5)])
    before = features([Showing(0, 0, 0, 5, 1)], [(0, 5), (4, 5)])
    close(found["click_through"], [1 / 20, 1 / 20], "float32")
    close(found["shown"], [0, 0], "exact")
    assert all((found[name] == before[name]).all() for name in found)


def test_impressions_of_items_outside_the_catalogue_are_left_out() -> None:
    frame = impression_frame([Showing(0, 0, 4, 5, 1), Showing(0, 0, 1, 5, 0)])
    found = ClickIndex.of(frame, ITEMS.head(4)).features(np.array([1]), np.array([9]))
    close(found["click_through"], [20 / 21 / 21], "float32")


@FEWER
@given(showings(), QUERIES)
def test_click_through_is_that_of_the_oracle(shown: list[Showing], queries: list[tuple[int, int]]) -> None:
    found = features(shown, queries)
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
    known = features(shown, queries)
    for showings_of_log in (shown + later, shown + relabelled):
        found = features(showings_of_log, queries)
        for name, column in known.items():
            close(found[name], column, "exact")


def test_the_rows_of_an_impression_do_not_count_for_each_other() -> None:
    for label in (0, 1):
        shown = [Showing(0, 0, item, 5, label) for item in range(3)]
        close(features(shown, [(0, 5)])["click_through"], 1 / 20, "float32")
