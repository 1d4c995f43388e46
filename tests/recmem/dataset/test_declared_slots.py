from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
import polars as pl

from feature_store.point_in_time.further_slots import NO_TIME, FurtherSlots
from feature_store.schema import USERS
from feature_store.table_checks import check_table
from five_item_dataset import dataset_of
from recmem.dataset.dataset import Dataset
from recmem.dataset.declared_slots import declared_slots
from recmem.dataset.interests import MOST_INTERESTS, interest_parts
from recmem.dataset.query_batch import QueryBatch
from recmem.dataset.user_profiles import UserProfiles
from recmem.matching import memory_kinds
from recmem.matching.user_memory import MemoryConfig, Slots, age_bucket
from slow_reference import Event

LOG = [Event(0, 3, 1), Event(0, 1, 2), Event(0, 2, 2), Event(0, 4, 4), Event(1, 3, 1)]
DECLARED = memory_kinds.place_of("declared")


def stated(*rows: tuple[str, int | None, int | None, str | None]) -> Dataset:
    """The dataset of the log in which users have declared these interests: user, time, arrival, text."""
    times = [[None if cell is None else datetime.fromtimestamp(cell / 1e6, UTC) for cell in row[1:3]] for row in rows]
    frame = pl.DataFrame(
        {
            "user_id": [row[0] for row in rows],
            "timestamp": pl.Series([time for time, _ in times], dtype=pl.Datetime("us", "UTC")),
            "available_at": pl.Series([arrival for _, arrival in times], dtype=pl.Datetime("us", "UTC")),
            "interests": pl.Series([row[3] for row in rows], dtype=pl.String),
        }
    )
    checked = check_table(frame, USERS)
    assert not checked.problems
    profiles = UserProfiles.of(checked.kept).encoded(
        "interests", lambda texts: np.array([[len(text), 0] for text in texts], np.float32)
    )
    dataset = dataset_of(LOG)
    return replace(dataset, profiles=profiles, config=replace(dataset.config, interests="interests"))


def at(dataset: Dataset, user: str, time: int) -> FurtherSlots | None:
    row = dataset.user_rows(pl.Series([user]))
    histories = dataset.histories(row, np.array([time]), 99)
    return declared_slots(dataset, row, np.array([time]), histories)


def names(slots: FurtherSlots | None) -> list[str]:
    return [] if slots is None else [slots.names[text].words for text in slots.texts.values]


def user(row: int) -> str:
    return str(dataset_of(LOG).users[row])


def test_an_interest_is_a_slot_from_its_time_and_arrival_on_and_a_later_one_takes_its_place() -> None:
    dataset = stated((user(0), 1, None, "red wine"), (user(0), 3, 6, "cheese"))
    assert [names(at(dataset, user(0), time)) for time in (1, 2, 4, 6)] == [
        [],
        ["red wine"],
        ["red wine"],
        ["cheese"],
    ]
    assert at(dataset, user(1), 9) is None


def test_an_interest_is_as_old_as_the_visits_since() -> None:
    dataset = stated((user(0), 1, None, "tea\njazz"), (user(1), None, None, "opera"))
    slots = at(dataset, user(0), 9)
    assert slots is not None
    assert slots.ages.tolist() == [age_bucket(np.array([2]))[0]] * 2  # the visits at 2 and 4
    assert slots.times.tolist() == [1, 1]
    assert slots.kinds.tolist() == [DECLARED] * 2
    undated = at(dataset, user(1), 9)
    assert undated is not None
    assert (undated.ages.tolist(), undated.times.tolist()) == ([0], [NO_TIME])


def test_several_interests_are_several_slots_before_the_events() -> None:
    dataset = stated((user(0), 1, None, "old films, jazz\nI read whatever my sister, a critic, gives me"))
    batch = QueryBatch.of(dataset, np.array([0, -1]), np.array([9, 9]))
    slots = Slots.of(batch.histories, MemoryConfig())
    assert names(batch.histories.further) == [
        "old films",
        "jazz",
        "I read whatever my sister, a critic, gives me",
    ]
    assert slots.kinds.tolist() == [DECLARED] * 3 + [2] * 4
    assert slots.memory_index.tolist() == [0] * 7
    assert slots.own is not None
    read = slots.own[-1 - slots.rows[:3]]
    assert read[:, 0].tolist() == [9, 4, 45]
    off = Slots.of(batch.histories, MemoryConfig(declared=False))
    assert off.kinds.tolist() == [2] * 4
    assert off.own is None


def test_single_interests_are_lines_and_entries_of_lists_written_as_titles() -> None:
    cells = pl.Series(
        ["  jazz.; old  films,jazz ", None, "a long sentence, with a comma", ", ".join("abcdefghijklmnopqrstuvwxyz")]
    )
    parts = interest_parts(cells)
    assert parts[:3] == [["jazz", "old films"], [], ["a long sentence", "with a comma"]]
    assert parts[3] == list("abcdefghijklmnopqrstuvwxyz")[:MOST_INTERESTS]
    assert interest_parts(pl.Series(["this is no list, of a few words"])) == [["this is no list, of a few words"]]
