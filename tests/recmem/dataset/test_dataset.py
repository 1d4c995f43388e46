from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import slow_reference
from five_item_dataset import catalogue, dataset_of
from recmem.dataset import dataset as dataset_module
from recmem.dataset.catalogue import Catalogue
from recmem.dataset.dataset import Dataset
from slow_reference import Event, Showing
from strategies import ITEMS, N_USERS, USERS, event_frame, logs, showings, times

FEWER = settings(max_examples=30)  # each builds several datasets


def read(dataset: Dataset, time: int) -> list[list[tuple[int, int]]]:
    """Items and times that each user remembers."""
    found = dataset.histories(dataset.user_rows(USERS), np.full(N_USERS, time), 99)
    pairs = list(zip(found.items.values.tolist(), found.times.tolist(), strict=True))
    return [pairs[begin:end] for begin, end in zip(found.items.offsets, found.items.offsets[1:], strict=False)]


@FEWER
@given(logs(), times())
def test_histories_are_found_by_the_users_id(log: list[Event], time: int) -> None:
    expected = [[entry[:2] for entry in slow_reference.history(log, user, time, 99)] for user in range(N_USERS)]
    assert read(dataset_of(log), time) == expected


def test_users_are_those_of_events_and_impressions() -> None:
    dataset = dataset_of([Event(2, 0, 1)], [Showing(0, 0, 1, 5, 1)])
    assert dataset.users.to_list() == ["user0", "user2"]
    assert dataset.user_rows(pl.Series(["user2", "user1", "user0"])).tolist() == [1, -1, 0]


@FEWER
@given(logs().flatmap(lambda log: st.tuples(st.just(log), st.permutations(log))), showings(), times())
def test_order_of_the_tables_does_not_matter(
    case: tuple[list[Event], list[Event]], shown: list[Showing], time: int
) -> None:
    first, second = dataset_of(case[0], shown), dataset_of(case[1], shown[::-1])
    assert first.users.equals(second.users)
    assert read(first, time) == read(second, time)
    assert first.clock == second.clock


@FEWER
@given(logs(), logs(), st.lists(times(), max_size=3), st.sampled_from([0, 4, 10**6]), st.integers(1, 5))
def test_scene_after_events_is_the_scene_of_all(
    log: list[Event], more: list[Event], asked: list[int], longest_tail: int, at_once: int
) -> None:
    grown = dataset_of(log)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(dataset_module, "LONGEST_TAIL", longest_tail)
        for begin in range(0, len(more), at_once):
            for period in grown.timeline.periods(np.array(asked, dtype=np.int64)):
                grown.timeline.at(int(period))
            grown = grown.with_events(event_frame(more[begin : begin + at_once]))
    distinct = {(event.user, event.item, event.time, event.kind): event for event in [*more, *log]}
    whole = dataset_of(list(distinct.values()))
    assert grown.users.sort().equals(whole.users)
    for time in asked:
        assert read(grown, time) == read(whole, time)
        period = int(whole.timeline.periods(np.array([time]))[0])
        for name in ("together", "follow", "ease"):
            models = [getattr(each.timeline.at(period), name).toarray() for each in (grown, whole)]
            assert np.array_equal(*models)


def test_an_event_seen_twice_counts_once() -> None:
    log = [Event(0, 1, 5), Event(0, 2, 6)]
    dataset = dataset_of(log).with_events(event_frame(log)).with_events(event_frame([log[1], Event(0, 2, 7)]))
    assert len(dataset.log) == 3


def test_events_with_an_id_of_their_own_are_told_apart_by_it() -> None:
    twice = event_frame([Event(0, 1, 5), Event(0, 1, 5)])
    named = twice.with_columns(event_id=pl.Series(["x", "y"]))
    assert len(dataset_of([]).with_events(named).with_events(named.head(1)).log) == 2
    assert len(dataset_of([]).with_events(twice).log) == 1


def test_clock_is_the_moment_after_the_newest_event() -> None:
    assert dataset_of([Event(0, 1, 5), Event(1, 1, 3)]).clock == 6


def test_another_catalogue_renumbers_the_items() -> None:
    dataset = dataset_of([Event(0, 0, 1), Event(0, 3, 2)])
    fewer = Catalogue.of(catalogue().items.filter(pl.col("item_id") != ITEMS[0]), ("title",))
    assert read(dataset, 9)[0] == [(0, 1), (3, 2)]
    assert read(dataset.with_catalogue(fewer), 9)[0] == [(2, 2)]
    assert dataset.with_catalogue(fewer).log.n_unknown_items == 1
