"""What a user was shown and did not click: strictly before a time, each item once, clicked ones left out."""

from __future__ import annotations

import numpy as np
import polars as pl

from feature_store.point_in_time.not_clicked import NotClicked
from feature_store.ragged import Ragged

USERS = pl.Series(["a", "b", "c"])
ITEMS = pl.Series(["i0", "i1", "i2", "i3"])
ROWS = [
    # user, item, time, label
    ("a", "i0", 10, 0),
    ("a", "i1", 10, 0),
    ("a", "i2", 10, 1),
    ("a", "unknown", 20, 0),
    ("a", "i0", 20, 0),
    ("a", "i2", 20, 0),
    ("b", "i1", 20, 0),
    ("a", "i1", 30, 1),
    ("a", "i3", 30, 0),
]
IMPRESSIONS = pl.DataFrame(ROWS, schema=["user_id", "item_id", "timestamp", "label"], orient="row").with_columns(
    pl.from_epoch("timestamp", time_unit="us").dt.replace_time_zone("UTC")
)
INDEX = NotClicked.of(IMPRESSIONS, USERS, ITEMS)
NOTHING = Ragged.from_lists([[]])


def newest(user: int, time: int, n_items: int = 9, taken: Ragged = NOTHING) -> tuple[list[int], list[int]]:
    items, times = INDEX.newest(np.array([user]), np.array([time]), n_items, taken)
    return items.row(0).tolist(), times.tolist()


def test_an_impression_is_known_only_after_its_time() -> None:
    assert newest(0, 10) == ([], [])
    assert newest(0, 11) == ([0, 1], [10, 10])


def test_an_item_that_is_shown_often_counts_once_as_of_the_last_time() -> None:
    assert newest(0, 21) == ([1, 0], [10, 20])


def test_what_was_clicked_before_the_time_is_left_out_in_all_impressions() -> None:
    # Item 2 was clicked at 10 and shown again at 20; item 1 was clicked at 30.
    assert newest(0, 31) == ([0, 3], [20, 30])


def test_items_that_the_user_took_otherwise_are_left_out() -> None:
    assert newest(0, 31, taken=Ragged.from_lists([[3]])) == ([0], [20])


def test_the_newest_are_kept() -> None:
    assert newest(0, 31, n_items=1) == ([3], [30])


def test_the_order_of_rows_does_not_matter() -> None:
    for shuffled in (IMPRESSIONS.reverse(), IMPRESSIONS.sort("item_id")):
        index = NotClicked.of(shuffled, USERS, ITEMS)
        for n_items in (1, 2):
            found = index.newest(np.array([0]), np.array([11]), n_items, NOTHING)[0]
            assert found == INDEX.newest(np.array([0]), np.array([11]), n_items, NOTHING)[0]


def test_of_one_time_the_first_positions_are_kept_and_unknown_ones_go_first() -> None:
    at_once = IMPRESSIONS.head(2).with_columns(position=pl.Series([0, 1]))
    unknown = at_once.with_columns(position=pl.Series([1, None], dtype=pl.Int64))
    for shown in (at_once, at_once.reverse(), unknown):
        items, _ = NotClicked.of(shown, USERS, ITEMS).newest(np.array([0]), np.array([11]), 1, NOTHING)
        assert items.to_lists() == [[0]]


def test_queries_of_several_users_do_not_mix_and_unknown_users_have_none() -> None:
    users = np.array([1, -1, 2, 0])
    items, times = INDEX.newest(users, np.full(4, 21), 9, Ragged.from_lists([[], [], [], []]))
    assert items.to_lists() == [[1], [], [], [1, 0]]
    assert times.tolist() == [20, 10, 20]


def test_without_impressions_there_is_nothing() -> None:
    none = NotClicked.of(IMPRESSIONS.clear(), USERS, ITEMS)
    items, times = none.newest(np.array([0]), np.array([31]), 9, NOTHING)
    assert items.to_lists() == [[]]
    assert len(times) == 0
