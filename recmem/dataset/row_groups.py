"""Groups of equal rows of a frame, numbered in an order that does not depend on the order of the rows.

Above all the rows of one query: training and serving both find them with `query_keys` and `group_rows`.
"""

from __future__ import annotations

import numpy as np
import polars as pl

from feature_store.arrays import BoolArray, IntArray

PLAIN_PYTHON_BELOW = 1000
"""Rows; fewer are grouped without polars, whose fixed cost per call is larger then."""


def query_keys(user_ids: pl.Series, times: IntArray, impression_ids: pl.Series | None) -> pl.DataFrame:
    """What makes rows one query, a column each: their user, their time, and their impression if there are any.

    An `impression_id` alone is no query: two files may both number their impressions from 1.
    """
    keys = {"user": user_ids.cast(pl.String), "time": pl.Series(times)}
    if impression_ids is not None:
        keys["impression"] = impression_ids.cast(pl.String)
    return pl.DataFrame(keys)


def group_rows(keys: pl.DataFrame) -> tuple[IntArray, IntArray]:
    """int64[row], the group of each row, and int64[group], the first row of each group.

    Rows with equal keys form a group, null being equal to null. Groups are numbered in the order of their keys, nulls
    first.
    """
    if len(keys) < PLAIN_PYTHON_BELOW:
        return _group_few(keys)
    # Rows of a group mostly stand together, and there are fewer of such runs than of rows.
    is_new = _differs_from_row_before(keys)
    begins = np.flatnonzero(is_new)
    if 2 * len(begins) < len(keys):
        group_of_run, first_run = group_rows(keys[begins])
        return group_of_run[np.cumsum(is_new) - 1], begins[first_run]
    numbered = keys.with_row_index("row")
    first_rows = numbered.group_by(keys.columns).agg(pl.col("row").min())
    groups = first_rows.sort(keys.columns).with_row_index("group")
    joined = numbered.join(groups.drop("row"), on=keys.columns, nulls_equal=True, how="left", maintain_order="left")
    return _as_int64(joined["group"]), _as_int64(groups["row"])


def _differs_from_row_before(keys: pl.DataFrame) -> BoolArray:
    """bool[row]: the first row differs too."""
    differs = keys.select(pl.any_horizontal(pl.all().ne_missing(pl.all().shift()))).to_series().to_numpy().copy()
    differs[:1] = True
    return differs


def _group_few(keys: pl.DataFrame) -> tuple[IntArray, IntArray]:
    # (False, None) sorts before (True, cell): nulls first, as polars sorts them.
    rows = [tuple((cell is not None, cell) for cell in row) for row in keys.rows()]
    first_row: dict[tuple[object, ...], int] = {}
    for number, row in enumerate(rows):
        first_row.setdefault(row, number)
    order = sorted(first_row)
    group_of = {row: group for group, row in enumerate(order)}
    groups = np.array([group_of[row] for row in rows], np.int64)
    return groups, np.array([first_row[row] for row in order], np.int64)


def _as_int64(column: pl.Series) -> IntArray:
    return column.cast(pl.Int64).to_numpy().copy()
