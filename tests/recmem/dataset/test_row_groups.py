"""Groups of equal rows: in the order of their keys, by either way of finding them."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recmem.dataset import row_groups
from recmem.dataset.row_groups import group_rows

KEYS = st.lists(st.tuples(st.sampled_from(["a", "b", None]), st.integers(0, 2)), max_size=12)


def frame_of(rows: list[tuple[str | None, int]]) -> pl.DataFrame:
    return pl.DataFrame(rows, schema={"user": pl.String, "time": pl.Int64}, orient="row")


def test_groups_are_numbered_by_their_keys_with_nulls_first() -> None:
    group, first = group_rows(frame_of([("b", 1), ("a", 2), (None, 5), ("a", 1), ("b", 1)]))
    assert group.tolist() == [3, 2, 0, 1, 3]
    assert first.tolist() == [2, 3, 1, 0]


@given(KEYS)
def test_few_rows_are_grouped_as_many_are(rows: list[tuple[str | None, int]]) -> None:
    few = group_rows(frame_of(rows))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(row_groups, "PLAIN_PYTHON_BELOW", 0)
        many = group_rows(frame_of(rows))
    for quick, joined in zip(few, many, strict=True):
        assert quick.dtype == joined.dtype == np.int64
        assert quick.tolist() == joined.tolist()


@given(KEYS)
def test_rows_share_a_group_exactly_if_their_keys_are_equal(rows: list[tuple[str | None, int]]) -> None:
    group, first = group_rows(frame_of(rows))
    for row, number in enumerate(group.tolist()):
        assert rows[first[number]] == rows[row]
        assert rows.index(rows[row]) == first[number]
    assert len(first) == len(set(rows))
