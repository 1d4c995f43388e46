from __future__ import annotations

import numpy as np
import pytest

from feature_store.point_in_time.further_slots import FurtherSlots
from feature_store.point_in_time.histories import Histories
from five_item_dataset import dataset_of
from further_slots import notes
from recmem.dataset import further_slots
from recmem.dataset.dataset import Dataset
from recmem.dataset.query_batch import QueryBatch
from slow_reference import Event


def test_all_sources_are_asked_of_the_users_that_are_described(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def source(dataset: Dataset, users: np.ndarray, times: np.ndarray, histories: Histories) -> FurtherSlots:
        asked.append((users.tolist(), times.tolist(), histories.items.to_lists()))
        return notes([[user] for user in users.tolist()], kind=2)

    sources = (source, lambda *_: None, source)
    monkeypatch.setattr(further_slots, "SOURCES", sources)
    dataset = dataset_of([Event(0, 3, 1), Event(1, 4, 2)])
    times = np.array([5, 6])
    batch = QueryBatch.of(dataset, np.array([0, -1]), times, described=np.array([0, 1]))
    assert asked == [([0, 1], [5, 6], [[3], []])] * 2
    assert batch.histories.further is not None
    assert batch.histories.further.texts.lengths.tolist() == [2, 2]
    assert batch.take(np.array([1])).described_users.tolist() == [1]
