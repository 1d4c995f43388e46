"""Histories that come with the candidates: read against the catalogue, and put in place of the log's."""

from __future__ import annotations

from decimal import Decimal

import numpy as np
import polars as pl
import pytest

from five_item_dataset import catalogue, dataset_of
from recmem.dataset import given_histories
from recmem.dataset.given_histories import NOT_GIVEN, GivenHistories, history_lists
from slow_reference import Event
from strategies import USERS


def lists_of(rows: list[list[str | None] | None]) -> pl.Series:
    return pl.Series("history", rows, dtype=pl.List(pl.String))


def test_frame_without_histories_has_none() -> None:
    frame = pl.DataFrame({"item_id": ["a"]})
    assert history_lists(frame) is None
    assert history_lists(frame.with_columns(history=pl.lit(None))) is None


def test_lists_of_ids_become_text_without_nulls_inside() -> None:
    found = history_lists(pl.DataFrame({"history": [[1, None, 2], None, []]}))
    assert found is not None
    assert found.to_list() == [["1", "2"], None, []]


@pytest.mark.parametrize(
    ("cells", "dtype", "expected"),
    [
        ([[1.0, None, 2.0], None, []], pl.List(pl.Float64), [["1", "2"], None, []]),
        ([[1.0, 2.5], [3.0, None]], pl.Array(pl.Float32, 2), [["1", ""], ["3"]]),
        ([[Decimal("3"), Decimal("1.5")]], pl.List(pl.Decimal(10, 1)), [["3", ""]]),
        ([["a", None], None], pl.List(pl.Categorical), [["a"], None]),
        ([[2**63, 5]], pl.List(pl.UInt64), [["", "5"]]),
        ([[], None], pl.List(pl.Null), [[], None]),
    ],
)
def test_ids_of_every_type_become_the_text_of_the_id(cells: list[object], dtype: pl.DataType, expected: object) -> None:
    found = history_lists(pl.DataFrame({"history": pl.Series(cells, dtype=dtype)}))
    assert found is not None
    assert found.to_list() == expected


def test_unknown_items_are_left_out_and_counted() -> None:
    given = GivenHistories.of(lists_of([["i3", "nothing", "i0"], None, [], ["nobody"]]), catalogue())
    assert given.items.to_lists() == [[3, 0], [], [], []]
    assert given.lengths.tolist() == [2, NOT_GIVEN, 0, 0]
    assert given.n_unknown_items == 2


def test_given_histories_stand_in_for_the_log_and_others_stay() -> None:
    dataset = dataset_of([Event(0, 1, 2), Event(0, 2, 4), Event(1, 4, 3)])
    times = np.array([10, 10, 10])
    logged = dataset.histories(dataset.user_rows(USERS), times, 9)
    given = GivenHistories.of(lists_of([["i3", "i0"], None, ["i1"]]), dataset.catalogue)
    found = given.in_place_of(logged, times)
    assert found.items.to_lists() == [[3, 0], [4], [1]]
    # A visit each, a microsecond apart, all positive; the last just before the query.
    assert found.times.tolist() == [8, 9, 3, 9]
    assert found.recency.tolist() == [1, 0, 0, 0]
    assert found.signs.tolist() == [1, 1, 1, 1]


def test_only_the_newest_items_of_a_long_history_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(given_histories, "HISTORY", 2)
    dataset = dataset_of([])
    times = np.array([10])
    given = GivenHistories.of(lists_of([["i0", "i1", "i2"]]), dataset.catalogue)
    found = given.in_place_of(dataset.histories(np.array([-1]), times, 2), times)
    assert found.items.to_lists() == [[1, 2]]
    assert given.lengths.tolist() == [3]
