"""Items shown and not clicked as memory slots: which, how old, and that all ways of scoring read the same."""

from __future__ import annotations

from types import SimpleNamespace
from typing import cast

import numpy as np
import polars as pl

from feature_store.point_in_time.histories import Histories
from feature_store.point_in_time.not_clicked import NotClicked
from feature_store.ragged import Ragged
from recmem.dataset.dataset import Dataset
from recmem.dataset.not_clicked_slots import NOT_CLICKED, not_clicked_slots
from recmem.matching.memory_kinds import place_of
from recmem.matching.user_memory import MemoryConfig, Slots, age_bucket

SHOWN = pl.DataFrame(
    {"user_id": ["a"] * 3, "item_id": ["i1", "i2", "i3"], "timestamp": [15, 25, 35], "label": [0, 0, 0]}
).with_columns(pl.from_epoch("timestamp", time_unit="us").dt.replace_time_zone("UTC"))
HISTORIES = Histories(
    Ragged.from_lists([[0, 3, 2], []]),
    np.array([10, 20, 30]),
    np.array([1, 1, -1], np.int8),
    np.array([2, 1, 0]),
)
USERS = np.array([0, 1])
TIMES = np.array([40, 40])


def dataset(n_slots: int, shown: pl.DataFrame = SHOWN) -> Dataset:
    """What the source reads of a dataset."""
    index = NotClicked.of(shown, pl.Series(["a", "b"]), pl.Series(["i0", "i1", "i2", "i3"]))
    return cast(Dataset, SimpleNamespace(config=SimpleNamespace(not_clicked_slots=n_slots), not_clicked=index))


def test_what_was_shown_is_a_slot_as_old_as_the_visits_since_unless_it_was_taken() -> None:
    found = not_clicked_slots(dataset(5), USERS, TIMES, HISTORIES)
    assert found is not None
    # Item 3 was taken at 20; item 2 was returned, which is no reason to leave it out.
    assert (-1 - found.texts.values).tolist() == [1, 2]
    assert found.texts.lengths.tolist() == [2, 0]
    assert found.times.tolist() == [15, 25]
    # Two visits after 15, one after 25.
    assert found.ages.tolist() == age_bucket(np.array([2, 1])).tolist()
    assert found.kinds.tolist() == [place_of(NOT_CLICKED)] * 2


def test_slots_have_the_rows_of_the_items_and_come_before_the_events() -> None:
    histories = HISTORIES.beside(not_clicked_slots(dataset(5), USERS, TIMES, HISTORIES))
    slots = Slots.of(histories, MemoryConfig(not_clicked=5, negatives=True))
    assert slots.rows.tolist() == [1, 2, 0, 3, 2]
    assert slots.own is None
    # A memory without the kind is that of before.
    assert Slots.of(histories, MemoryConfig(negatives=True)).rows.tolist() == [0, 3, 2]


def test_nothing_is_remembered_where_no_slots_are_asked_for_or_nothing_was_shown() -> None:
    assert not_clicked_slots(dataset(0), USERS, TIMES, HISTORIES) is None
    assert not_clicked_slots(dataset(5, SHOWN.clear()), USERS, TIMES, HISTORIES) is None
    assert not_clicked_slots(dataset(5), USERS[1:], TIMES[1:], HISTORIES.take(np.array([1]))) is None
