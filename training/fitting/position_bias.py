"""Positions at which items were shown, as LightGBM's position debiasing and the blend read them.

Both assume that the score of a click is that of the item plus something that its position adds. They learn the two
together, and the ranker keeps the first alone. That can be told apart only where an item, or items of like features,
were shown at different positions.
"""

from __future__ import annotations

import numpy as np

from feature_store.arrays import BoolArray, IntArray
from training.queries import UNKNOWN_POSITION

FEWEST_ROWS = 200
"""A group of positions has so many rows, or some more: neighbouring positions that are rarer are taken together."""
FEWEST_CLICKS = 10
"""And so many clicks: without any, the group's bias would have no lower bound."""


def position_groups(positions: IntArray, is_clicked: BoolArray) -> IntArray:
    """The group of each row's position, numbered from 0: int64[row].

    Neighbouring positions are taken together until there are `FEWEST_ROWS` rows and `FEWEST_CLICKS` clicks. What is
    left at the end joins the group before it. Rows without a position are a group of their own.
    """
    known = positions != UNKNOWN_POSITION
    distinct, place = np.unique(positions[known], return_inverse=True)
    rows = np.bincount(place, minlength=len(distinct))
    clicks = np.bincount(place[is_clicked[known]], minlength=len(distinct))
    group_of_place = np.zeros(len(distinct), np.int64)
    n_groups = 0
    begin = 0
    for end in range(1, len(distinct) + 1):
        if rows[begin:end].sum() >= FEWEST_ROWS and clicks[begin:end].sum() >= FEWEST_CLICKS:
            group_of_place[begin:end] = n_groups
            n_groups += 1
            begin = end
    group_of_place[begin:] = max(n_groups - 1, 0)
    groups = np.full(len(positions), max(n_groups, 1) if len(distinct) else 0)
    groups[known] = group_of_place[place]
    return groups
