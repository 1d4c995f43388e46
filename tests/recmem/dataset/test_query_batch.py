from __future__ import annotations

import numpy as np
import pytest

from five_item_dataset import dataset_of
from recmem.dataset import query_batch
from recmem.dataset.query_batch import QueryBatch
from slow_reference import Event


def test_histories_are_read_strictly_before_the_time_and_only_their_newest_events(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(query_batch, "HISTORY", 2)
    dataset = dataset_of([Event(0, 0, 1), Event(0, 1, 2), Event(0, 2, 3), Event(0, 3, 5)])
    batch = QueryBatch.of(dataset, np.array([0, 0, -1]), np.array([5, 6, 6]))
    assert batch.histories.items.to_lists() == [[1, 2], [2, 3], []]


def test_queries_are_taken_in_the_given_order() -> None:
    dataset = dataset_of([Event(0, 0, 1), Event(1, 1, 2)])
    batch = QueryBatch.of(dataset, np.array([0, 1]), np.array([5, 6]))
    taken = batch.take(np.array([1, 0, 1]))
    assert len(taken) == 3
    assert taken.users.tolist() == [1, 0, 1]
    assert taken.times.tolist() == [6, 5, 6]
    assert taken.histories.items.to_lists() == [[1], [0], [1]]
