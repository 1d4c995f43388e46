from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import slow_reference
from feature_store.point_in_time.covisitation import WEIGHTINGS
from feature_store.point_in_time.online_log import OnlineLog
from feature_store.schema import ITEM_CHANGES
from five_item_dataset import CONFIG, catalogue, dataset_of
from recmem.dataset import dataset as dataset_module
from recmem.dataset.candidate_features import CandidateFeature
from recmem.dataset.catalogue import Catalogue
from recmem.dataset.dataset import Dataset
from recmem.dataset.user_profiles import UserProfiles
from slow_reference import Event, Showing
from strategies import ITEMS, N_USERS, USERS, as_datetime, event_frame, impression_frame, logs, showings, times
from tolerances import close

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
    first = dataset_of(case[0], shown)
    second = dataset_of(case[1], shown[::-1])
    assert first.users.equals(second.users)
    assert read(first, time) == read(second, time)
    assert first.clock == second.clock


@FEWER
@given(logs(), logs(), st.lists(times(), max_size=3), st.sampled_from([0, 4, 10**6]), st.integers(1, 5))
def test_dataset_after_new_events_is_the_dataset_of_all_events(
    log: list[Event], more: list[Event], query_times: list[int], longest_tail: int, at_once: int
) -> None:
    grown = dataset_of(log)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(dataset_module, "LONGEST_TAIL", longest_tail)
        for begin in range(0, len(more), at_once):
            for period in grown.timeline.periods(np.array(query_times, dtype=np.int64)):
                grown.timeline.at(int(period))
            grown = grown.with_events(event_frame(more[begin : begin + at_once]))
    distinct = {(event.user, event.item, event.time, event.kind): event for event in [*more, *log]}
    whole = dataset_of(list(distinct.values()))
    assert grown.users.sort().equals(whole.users)
    for time in query_times:
        assert read(grown, time) == read(whole, time)
        period = int(whole.timeline.periods(np.array([time]))[0])
        models = [each.timeline.at(period).models for each in (grown, whole)]
        for name in WEIGHTINGS:
            assert np.array_equal(*(of_dataset[name].toarray() for of_dataset in models)), name


def test_the_catalogues_texts_link_an_item_without_an_event_also_once_events_are_observed() -> None:
    titles = ["red wine", "red shoes", "blue wine", "green tea", "black tea"]
    titled = Catalogue.of(pl.DataFrame({"item_id": ITEMS, "title": titles}), ("title",))
    log = [Event(user, item, 1) for user in range(N_USERS) for item in (0, 1)]
    dataset = Dataset.of(titled, event_frame(log), impression_frame([]), CONFIG)
    observed = dataset.with_events(event_frame([Event(0, 0, 9)]))
    assert isinstance(observed.tables, OnlineLog)
    for each, period in ((dataset, 0), (observed, 3)):
        links = each.timeline.at(period).ease_text.toarray()
        assert links[0, 2] > 0  # both are wines
        assert not links[:2, 3:].any()


def test_numbers_with_times_are_as_of_the_time_and_others_as_they_are_now_also_once_events_are_observed() -> None:
    table = pl.DataFrame({"item_id": ITEMS, "title": ITEMS, "price": [7.0] * 5, "weight": [1.0, 2.0, None, 4.0, 5.0]})
    changes = pl.DataFrame(
        {
            "item_id": ["i1", "i1"],
            "timestamp": [as_datetime(3), as_datetime(8)],
            "available_at": [None, as_datetime(11)],
            "event_id": None,
            "cancels": None,
            "price": [30.0, 80.0],
        },
        schema_overrides=ITEM_CHANGES.schema(),
    )
    dataset = Dataset.of(
        Catalogue.of(table, ("title",)), event_frame([]), impression_frame([]), CONFIG, item_changes=changes
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(dataset_module, "LONGEST_TAIL", 1)
        anew = dataset.with_events(event_frame([Event(0, 1, 5), Event(0, 2, 6)]))
    for each in (dataset, anew, anew.with_events(event_frame([Event(0, 1, 7)]))):
        numbers = each.item_numbers(np.array([1, 1, 1, 1, 2]), np.array([3, 4, 10, 11, 11]))
        close(numbers["price"], [np.nan, 30, 30, 80, np.nan], "exact")
        close(numbers["weight"], [2, 2, 2, 2, np.nan], "exact")


def test_an_event_observed_twice_counts_once() -> None:
    log = [Event(0, 1, 5), Event(0, 2, 6)]
    dataset = dataset_of(log).with_events(event_frame(log)).with_events(event_frame([log[1], Event(0, 2, 7)]))
    assert len(dataset.log) == 3


def test_events_with_ids_are_equal_if_their_ids_are() -> None:
    twice = event_frame([Event(0, 1, 5), Event(0, 1, 5)])
    named = twice.with_columns(event_id=pl.Series(["x", "y"]))
    assert len(dataset_of([]).with_events(named).with_events(named.head(1)).log) == 2
    assert len(dataset_of([]).with_events(twice).log) == 1


def test_clock_is_the_microsecond_after_the_newest_event() -> None:
    assert dataset_of([Event(0, 1, 5), Event(1, 1, 3)]).clock == 6


def users_table(*rows: tuple[str, int | None, int]) -> pl.DataFrame:
    """Rows of the users table: a user's age from a time on, microseconds."""
    table = pl.DataFrame(rows, schema=["user_id", "timestamp", "age"], orient="row")
    at = pl.col("timestamp").cast(pl.Int64).cast(pl.Datetime("us", "UTC"))
    return table.with_columns(at, available_at=pl.lit(None, pl.Datetime("us", "UTC")))


def described(log: list[Event], *rows: tuple[str, int | None, int]) -> Dataset:
    profiles = UserProfiles.of(users_table(*rows))
    return Dataset.of(catalogue(), event_frame(log), impression_frame([]), CONFIG, profiles=profiles)


def ages(dataset: Dataset, *queries: tuple[str, int]) -> list[float | None]:
    users = dataset.user_rows(pl.Series([user for user, _ in queries]))
    rows = dataset.profile_rows(users, np.array([time for _, time in queries]))
    values = dataset.profiles.values(CandidateFeature("age"), rows)
    return [None if np.isnan(value) else float(value) for value in values]


def test_users_of_the_users_table_are_known_and_read_as_of_a_time() -> None:
    dataset = described([Event(1, 0, 30)], ("user1", None, 20), ("user1", 5, 21), ("user9", 7, 50))
    assert dataset.users.to_list() == ["user1", "user9"]
    assert ages(dataset, ("user1", 5), ("user1", 6), ("user9", 7), ("user9", 8), ("nobody", 8)) == [
        20,
        21,
        None,
        50,
        None,
    ]


def test_at_the_log_clock_a_change_after_the_last_event_is_known_and_at_no_earlier_time() -> None:
    dataset = described([Event(1, 0, 30)], ("user1", 5, 21), ("user1", 40, 22))
    assert dataset.clock == 31
    assert ages(dataset, ("user1", 30), ("user1", 31), ("user1", 32), ("user1", 41)) == [21, 22, 21, 22]


def test_rows_of_users_are_added_without_changing_what_is_read_of_events() -> None:
    log = [Event(0, 1, 5), Event(1, 2, 6)]
    before = described(log, ("user1", None, 20))
    after = before.with_user_rows(users_table(("user9", None, 50), ("user1", 3, 21)))
    assert after.users.to_list() == ["user0", "user1", "user9"]
    assert after.timeline is before.timeline
    assert ages(after, ("user1", 3), ("user1", 4), ("user9", 4)) == [20, 21, 50]
    assert ages(before, ("user1", 4), ("user9", 4)) == [20, None]
    for time in (5, 6, 7):
        assert read(after, time) == read(before, time)
    grown = after.with_events(event_frame([Event(2, 3, 8)]))
    assert grown.users.to_list() == ["user0", "user1", "user9", "user2"]
    assert ages(grown, ("user9", 9), ("user2", 9)) == [50, None]
    assert read(grown, 9)[2] == [(3, 8)]
