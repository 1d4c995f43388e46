"""Queries that are asked as if their users had no events yet, from which a ranker learns what interests are worth."""

from __future__ import annotations

import numpy as np

from feature_store.arrays import IntArray
from recmem.dataset.dataset import Dataset
from recmem.dataset.query_batch import QueryBatch

EVERY = 4
"""One in so many queries of users with interests is asked so. In most logs nearly all queries have a memory, beside
which interests tell little; a ranker fitted on these alone would rank new users by features that tell nothing then."""


def with_new_users(dataset: Dataset, users: IntArray, times: IntArray) -> QueryBatch:
    """The queries of these users and times, some of them without events; all as they are if no interests are read."""
    if not dataset.config.interests:
        return QueryBatch.of(dataset, users, times)
    has_interests = np.flatnonzero(dataset.interest_rows(users, times) >= 0)
    without_events = users.copy()
    without_events[has_interests[::EVERY]] = -1
    return QueryBatch.of(dataset, without_events, times, described=users)
