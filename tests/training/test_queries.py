from __future__ import annotations

from dataclasses import replace

import numpy as np
import polars as pl
from hypothesis import given
from hypothesis import strategies as st

import slow_reference
from cancelled_logs import Cancellation, cancellations, expected_queries, frame_of
from feature_store.ragged import Ragged
from five_item_dataset import CONFIG, catalogue, dataset_of
from recmem.dataset.candidate_features import CandidateFeature
from recmem.dataset.candidate_frame import read_candidates
from recmem.dataset.dataset import Dataset
from slow_reference import Event, Showing
from strategies import LAST_TIME, event_log, impression_frame, logs, times
from tolerances import close
from training.queries import UNKNOWN_POSITION, ImpressionQueries, Queries, queries_between, queries_of

Row = tuple[int, int, list[int]]


def rows(queries: Queries) -> list[Row]:
    return list(zip(queries.times.tolist(), queries.users.tolist(), queries.positives.to_lists(), strict=True))


def slow_queries(
    log: list[Event], begin: int, end: int, *, with_history: bool = True, repeats: bool = False
) -> list[Row]:
    """(time, user, positives) of every visit of a user, straight from the definition."""
    found = []
    for time, user in sorted({(event.time, event.user) for event in log if begin < event.time <= end}):
        mine = [event for event in log if event.user == user]
        earlier = set() if repeats else {event.item for event in mine if event.time < time}
        new = {event.item for event in mine if event.time == time and slow_reference.sign(event) > 0} - earlier
        has_history = any(slow_reference.is_known(event, time) for event in mine)
        if new and has_history == with_history:
            found.append((time, user, sorted(new)))
    return found


def test_queries_of_a_case_by_hand() -> None:
    log = [
        Event(0, 1, 1),
        Event(0, 2, 5),
        Event(0, 1, 5),  # a repetition is not new
        Event(0, 3, 5),
        Event(0, 4, 6, "skip"),  # a negative event is no positive
        Event(0, 4, 7),  # and its item is no longer new
        Event(1, 4, 5),  # a user's first event
        Event(1, 0, 9),
    ]
    assert rows(queries_between(event_log(log), 0, 8)) == [(5, 0, [2, 3])]
    assert rows(queries_between(event_log(log), 0, 9)) == [(5, 0, [2, 3]), (9, 1, [0])]
    assert rows(queries_between(event_log(log), 5, 8)) == []
    assert rows(queries_between(event_log(log), 0, 9, with_history=False)) == [(1, 0, [1]), (5, 1, [4])]


def test_where_repeats_count_items_that_the_user_had_are_positives_too() -> None:
    log = [Event(0, 1, 1), Event(0, 1, 5), Event(0, 2, 5), Event(0, 1, 6, "skip"), Event(1, 4, 5)]
    assert rows(queries_between(event_log(log), 0, 8, repeats=True)) == [(5, 0, [1, 2])]
    assert rows(queries_between(event_log(log), 0, 8)) == [(5, 0, [2])]


@given(logs(), st.integers(-1, LAST_TIME), st.integers(-1, LAST_TIME), st.booleans(), st.booleans())
def test_queries_are_those_of_the_definition(
    log: list[Event], begin: int, end: int, with_history: bool, repeats: bool
) -> None:
    found = queries_between(event_log(log), begin, end, with_history=with_history, repeats=repeats)
    assert rows(found) == slow_queries(log, begin, end, with_history=with_history, repeats=repeats)


@given(logs(late=False), cancellations(), st.integers(-1, LAST_TIME), st.integers(-1, 2 * LAST_TIME))
def test_queries_of_a_dataset_count_repeats_where_it_says_so(
    log: list[Event], cancels: list[Cancellation], begin: int, end: int
) -> None:
    for repeats in (False, True):
        config = replace(CONFIG, repeats=repeats)
        dataset = Dataset.of(catalogue(), frame_of(log, cancels), impression_frame([]), config)
        wanted = queries_between(dataset.log_at(end), begin, end, cancelled=dataset.cancelled, repeats=repeats)
        assert rows(queries_of(dataset, begin, end)) == rows(wanted)


@given(logs(late=False), cancellations(), st.integers(-1, LAST_TIME), st.integers(-1, 2 * LAST_TIME))
def test_cancelled_events_are_history_and_not_new_until_they_are_cancelled(
    log: list[Event], cancels: list[Cancellation], begin: int, end: int
) -> None:
    frame = frame_of(log, cancels)
    dataset = Dataset.of(catalogue(), frame, impression_frame([]), CONFIG)
    for with_history in (True, False):
        found = queries_between(dataset.log_at(end), begin, end, with_history=with_history, cancelled=dataset.cancelled)
        ids = [
            (time, dataset.users[user], {catalogue().ids[item] for item in items}) for time, user, items in rows(found)
        ]
        assert ids == [query[:3] for query in expected_queries(frame, begin, end) if bool(query.had) == with_history]


@given(logs(late=False), st.integers(0, LAST_TIME))
def test_two_periods_hold_the_queries_of_both(log: list[Event], cut: int) -> None:
    read = event_log(log)
    whole = rows(queries_between(read, -1, LAST_TIME))
    assert rows(queries_between(read, -1, cut)) + rows(queries_between(read, cut, LAST_TIME)) == whole


@given(logs(late=False), logs(late=False, from_time=LAST_TIME + 1))
def test_later_events_change_no_earlier_query(past: list[Event], future: list[Event]) -> None:
    queries = [rows(queries_between(event_log(log), -1, LAST_TIME)) for log in (past, past + future)]
    assert queries[0] == queries[1]


def test_queries_are_spread_evenly_over_time() -> None:
    log = [Event(0, item % 5, time) for item, time in enumerate(range(5))] + [Event(1, n, n) for n in range(5)]
    queries = queries_between(event_log(log), -1, 9)
    assert len(queries) == 8
    assert rows(queries.spread(3)) == [rows(queries)[place] for place in (0, 3, 7)]
    assert queries.spread(8) is queries


def test_queries_are_taken_in_the_given_order() -> None:
    queries = queries_between(event_log([Event(0, n, n) for n in range(5)]), -1, 9)
    assert rows(queries.take(np.array([3, 0]))) == [rows(queries)[3], rows(queries)[0]]


def test_an_empty_log_has_no_query() -> None:
    assert len(queries_between(event_log([]), -1, LAST_TIME)) == 0


def shown_rows(shown: list[Showing]) -> list[tuple[int, int, list[int], list[int]]]:
    """(time, user, items, labels) of each query of these impressions."""
    dataset = dataset_of([Event(user, 0, 0) for user in range(3)], shown)
    queries = ImpressionQueries.of(dataset)
    assert queries is not None
    items = queries.candidates.to_lists()
    labels = Ragged(queries.labels.astype(np.int64), queries.candidates.offsets).to_lists()
    return list(zip(queries.times.tolist(), queries.users.tolist(), items, labels, strict=True))


def test_impressions_of_one_id_are_one_query_for_each_user_and_time() -> None:
    shown = [
        Showing(1, 0, 1, 2, 1),
        Showing(1, 1, 3, 9, 0),  # another file counts from 1 too: another user, later
        Showing(1, 0, 2, 2, 0),
        Showing(1, 1, 4, 9, 1),
        Showing(1, 0, 3, 5, 1),  # the same user again, at another time
        Showing(2, 0, 4, 2, 0),  # the same user and time, another impression
        Showing(1, 2, 0, 2, 1),  # the same time, another user
    ]
    assert shown_rows(shown) == [
        (2, 0, [1, 2], [1, 0]),
        (2, 2, [0], [1]),
        (2, 0, [4], [0]),
        (5, 0, [3], [1]),
        (9, 1, [3, 4], [0, 1]),
    ]


def test_what_shown_items_bring_along_stays_with_them() -> None:
    shown = [Showing(1, 0, 1, 5, 1), Showing(1, 0, 2, 5, 0), Showing(2, 1, 3, 2, 0), Showing(2, 1, 4, 2, 1)]
    own = (CandidateFeature("ctr"), CandidateFeature("device", ("app", "web")), CandidateFeature("added_later"))
    dataset = dataset_of([Event(user, 0, 0) for user in range(3)], shown)
    ctr = pl.Series("ctr", [0.1, None, 0.3, 0.4])
    impressions = dataset.impressions.with_columns(ctr, device=pl.Series(["web", "app", "tv", None]))
    config = replace(dataset.config, candidate_features=own)
    queries = ImpressionQueries.of(replace(dataset, impressions=impressions, config=config))
    assert queries is not None
    # In order of time: the second impression comes first.
    assert queries.candidates.to_lists() == [[3, 4], [1, 2]]
    close(queries.given_features["ctr"], np.array([0.3, 0.4, 0.1, np.nan], np.float32), "exact")
    close(queries.given_features["device"], np.array([np.nan, np.nan, 1, 0], np.float32), "exact")
    assert np.isnan(queries.given_features["added_later"]).all()
    later = queries.take(np.array([1]))
    close(later.given_features["ctr"], np.array([0.1, np.nan], np.float32), "exact")


def test_weights_and_positions_of_shown_items_stay_with_them() -> None:
    shown = [Showing(1, 0, 1, 5, 1), Showing(1, 0, 2, 5, 0), Showing(2, 1, 3, 2, 0), Showing(2, 1, 4, 2, 1)]
    dataset = dataset_of([Event(user, 0, 0) for user in range(3)], shown)
    plain = ImpressionQueries.of(dataset)
    assert plain is not None
    assert plain.weights is None
    position = pl.Series("position", [2, 1, 7, None], dtype=pl.Int32)
    impressions = dataset.impressions.with_columns(position, weight=pl.Series([0.5, None, 2.0, 0.0]))
    queries = ImpressionQueries.of(replace(dataset, impressions=impressions))
    assert queries is not None
    # In order of time, and of the position; nulls last.
    assert queries.candidates.to_lists() == [[3, 4], [2, 1]]
    close(queries.weights, np.array([2, 0, 1, 0.5], np.float32), "exact")
    close(queries.positions, np.array([7, UNKNOWN_POSITION, 1, 2]), "exact")
    later = queries.take(np.array([1]))
    close(later.weights, np.array([1, 0.5], np.float32), "exact")
    close(later.positions, np.array([1, 2]), "exact")


@given(
    st.lists(st.builds(Showing, st.integers(1, 2), st.integers(0, 2), st.integers(0, 4), times(), st.integers(0, 1)))
)
def test_training_groups_impressions_as_serving_does(shown: list[Showing]) -> None:
    distinct = list({(row.impression, row.user, row.time, row.item): row for row in shown}.values())
    if not distinct:
        return
    dataset = dataset_of([Event(user, 0, 0) for user in range(3)], distinct)
    served = read_candidates(dataset.impressions.drop("label", "position"), dataset, ())
    expected = zip(served.queries.times.tolist(), served.queries.users.tolist(), served.items.to_lists(), strict=True)
    trained = [(time, user, sorted(items)) for time, user, items, _ in shown_rows(distinct)]
    assert sorted(trained) == sorted(expected)
