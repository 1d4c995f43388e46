"""A cancelled event counts until its cancellation is known, and from then on it is as if it had never happened."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from deltalake import DeltaTable
from hypothesis import given, settings
from hypothesis import strategies as st

from cancelled_logs import Cancellation, cancellations, frame_of, without
from feature_store import EventLog, Store
from feature_store._delta import append, create_table
from feature_store.cancellations import n_waiting
from feature_store.point_in_time.counters import item_counters, user_counters
from feature_store.schema import EVENTS
from feature_store.table_checks import check_table
from five_item_dataset import CONFIG, catalogue, dataset_of
from recmem.dataset.dataset import Dataset
from slow_reference import Event
from strategies import LAST_TIME, N_ITEMS, N_USERS, USERS, as_datetime, logs, times
from tolerances import close

FEWER = settings(max_examples=60)  # each builds several datasets


def dataset(frame: pl.DataFrame) -> Dataset:
    return Dataset.of(catalogue(), frame, dataset_of([]).impressions, CONFIG)


def same_reads(found: Dataset, expected: Dataset, time: int, limit: int | None) -> None:
    """All reads as of a time are the same, to the bit; users and items are matched by their ids."""
    for name, read in reads(found, time, limit).items():
        close(read, reads(expected, time, limit)[name], "exact")


def reads(dataset: Dataset, time: int, limit: int | None) -> dict[str, np.ndarray]:
    items = np.arange(N_ITEMS)
    at_items = np.full(N_ITEMS, time)
    users = dataset.user_rows(USERS)
    at_users = np.full(N_USERS, time)
    past = dataset.reads.past(users, at_users, limit)
    seen = dataset.reads.seen(users, at_users)
    has_event = dataset.reads.item_counts(items, at_items, ())[0] > 0
    last_known, last_happened = dataset.reads.item_lasts(items[has_event], at_items[has_event])
    return {
        "past.items": past.items.values,
        "past.offsets": past.items.offsets,
        "past.times": past.times,
        "past.known": past.known,
        "past.signs": past.signs,
        "seen.items": seen.values[np.lexsort((seen.values, seen.row_index))],
        "seen.offsets": seen.offsets,
        "last_known": last_known,
        "last_happened": last_happened,
        **item_counters(dataset.reads, items, at_items, CONFIG.counters),
        **user_counters(dataset.reads, users, at_users, CONFIG.counters),
    }


def same_models(found: Dataset, expected: Dataset, time: int) -> None:
    """The item-item models that serve a time are the same, to the bit."""
    period = int(found.timeline.periods(np.array([time]))[0])
    for name in ("together", "follow", "ease"):
        models = [getattr(dataset.timeline.at(period), name).toarray() for dataset in (found, expected)]
        close(*models, "exact")


@FEWER
@given(logs(), cancellations(), times(), st.sampled_from([1, 2, 5, None]))
def test_at_every_time_the_log_is_that_without_what_was_cancelled_by_then(
    log: list[Event], cancelled: list[Cancellation], time: int, limit: int | None
) -> None:
    frame = frame_of(log, cancelled)
    whole = dataset(frame)
    same_reads(whole, dataset(without(frame, time)), time, limit)
    for refresh in range(CONFIG.refresh_origin, LAST_TIME, CONFIG.refresh_every):
        same_models(whole, dataset(without(frame, refresh)), refresh)


@FEWER
@given(logs(), cancellations(), times(), st.randoms(use_true_random=False), st.integers(1, 5), st.booleans())
def test_rows_observed_in_parts_read_as_all_at_once(
    log: list[Event], cancelled: list[Cancellation], time: int, random: Any, at_once: int, is_fitted: bool
) -> None:
    rows = frame_of(log, cancelled).sample(fraction=1, shuffle=True, seed=random.randrange(1000))
    grown = dataset(rows[:at_once])
    for begin in range(at_once, len(rows), at_once):
        if is_fitted:
            grown.timeline.at(int(grown.timeline.periods(np.array([time]))[0]))
        grown = grown.with_events(rows[begin : begin + at_once]).with_events(rows[:begin])
    whole = dataset(rows)
    same_reads(grown, whole, time, 3)
    same_models(grown, whole, time)
    assert grown.clock == whole.clock


def test_cancelled_events_by_hand() -> None:
    log = [Event(0, 1, 2), Event(0, 2, 4), Event(1, 1, 3)]
    read = dataset(frame_of(log, [Cancellation(0, 6), Cancellation(1, 3), Cancellation(2, 9, strange=True)]))

    def remembered(user: int, time: int) -> list[int]:
        return read.reads.past(read.user_rows(USERS[user : user + 1]), np.array([time])).items.values.tolist()

    assert [remembered(0, time) for time in (2, 3, 5, 6, 7)] == [[], [1], [1], [1], []]  # the second never counted
    assert remembered(1, 99) == [1]
    assert n_waiting(read.events) == 1
    assert read.clock == 7  # a cancellation of no event changes nothing, not even the clock
    assert len(read.log) == 1


def test_the_log_at_a_time_still_has_the_events_that_are_cancelled_later() -> None:
    read = dataset(frame_of([Event(0, 1, 2), Event(1, 2, 3)], [Cancellation(0, 6), Cancellation(1, 4)]))
    assert [read.log_at(time).item_rows.tolist() for time in (4, 5, 6, 7)] == [[1, 2], [1], [1], []]
    assert read.log_at(4).times.tolist() == [2, 3]


def test_a_log_without_cancellations_is_one_log() -> None:
    frame = frame_of([Event(0, 1, 2)], [])
    assert isinstance(dataset(frame).reads, EventLog)
    assert isinstance(dataset(frame.drop("cancels")).reads, EventLog)
    assert n_waiting(frame) == n_waiting(frame.drop("cancels")) == 0


def test_an_event_can_be_sent_anew_under_another_id_but_a_cancellation_cannot_be_cancelled() -> None:
    frame = frame_of([Event(0, 1, 2), Event(0, 1, 2)], [Cancellation(0, 4, named=True)])
    undo = frame[2:].with_columns(timestamp=pl.lit(as_datetime(6)), event_id=pl.lit("u"), cancels=pl.lit("c0"))
    read = dataset(pl.concat([frame, undo]))
    assert len(read.log) == 1
    assert n_waiting(read.events) == 1


def test_the_store_adds_each_cancellation_once_in_any_order(tmp_path: Path) -> None:
    rows = frame_of([Event(0, 1, 2), Event(1, 2, 3)], [Cancellation(0, 2), Cancellation(1, 5, named=True)])
    store = Store.create(tmp_path / "store")
    assert store.append_events(rows[2:]).n_new == 2
    assert store.append_events(rows).n_new == 2
    assert store.append_events(rows.reverse()).n_new == 0
    # An event equal to it in all but `cancels` is another row.
    twin = rows[2:3].with_columns(cancels=pl.lit(None, pl.String))
    assert store.append_events(twin).n_new == 1
    assert len(dataset(store.events()).log) == 1


def test_a_row_that_cancels_itself_is_rejected(tmp_path: Path) -> None:
    row = frame_of([Event(0, 1, 2)], []).with_columns(cancels=pl.lit("e0"))
    (problem,) = check_table(row, EVENTS).problems
    assert problem.reason == "cancels: expected the event_id of an earlier event, got the row's own event_id"
    assert problem.remedy == "Give the cancellation an event_id of its own, or none."
    receipt = Store.create(tmp_path / "store").append_events(row)
    assert (receipt.n_new, receipt.n_rejected) == (0, 1)


def test_a_store_created_before_there_were_cancellations_accepts_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = frame_of([Event(0, 1, 2), Event(1, 2, 3)], [Cancellation(0, 5)])
    store = Store.create(tmp_path / "store")
    create_table(f"{store.path}/events", dict(rows.drop("cancels").schema), storage_options=None)
    old = DeltaTable(f"{store.path}/events")
    append(old, rows[:1].drop("cancels"))
    version = store.versions()["events"]
    assert store.append_events(rows).n_new == 2
    assert store.events()["cancels"].null_count() == 2
    assert store.events(version)["cancels"].null_count() == len(store.events(version)) == 1


def test_forgetting_a_user_removes_their_cancellations_too(tmp_path: Path) -> None:
    rows = frame_of([Event(0, 1, 2), Event(1, 2, 3)], [Cancellation(0, 5), Cancellation(1, 5)])
    store = Store.create(tmp_path / "store")
    store.append_events(rows)
    assert store.forget_user("user0").n_removed["events"] == 2
    held = b"".join(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())
    assert b"user0" not in held
    assert len(dataset(store.events()).log) == 0
