"""Events that were taken back: there until their cancellation is known, and from then on as if they had never been."""

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
from feature_store.schema import EVENTS, check_table
from five_item_dataset import CONFIG, catalogue, scene_of
from recmem.dataset.dataset import Dataset
from slow_reference import Event
from strategies import LAST_TIME, N_ITEMS, N_USERS, USERS, logs, moment, times
from tolerances import close

FEWER = settings(max_examples=60)  # each builds several datasets


def dataset(frame: pl.DataFrame) -> Dataset:
    return Dataset.of(catalogue(), frame, scene_of([]).impressions, CONFIG)


def same_reads(one: Dataset, other: Dataset, time: int, limit: int | None) -> None:
    """All that is read at a moment, to the bit; users and items by their ids."""
    items, at = np.arange(N_ITEMS), np.full(N_ITEMS, time)
    users = [each.user_rows(USERS) for each in (one, other)]
    at_users = np.full(N_USERS, time)
    pasts = [each.reads.past(rows, at_users, limit) for each, rows in zip((one, other), users, strict=True)]
    assert pasts[0].items == pasts[1].items
    for name in ("times", "known", "signs"):
        close(getattr(pasts[0], name), getattr(pasts[1], name), "exact")
    seen = [each.reads.seen(rows, at_users).to_lists() for each, rows in zip((one, other), users, strict=True)]
    assert [sorted(row) for row in seen[0]] == [sorted(row) for row in seen[1]]
    counters = [item_counters(each.reads, items, at, CONFIG.counters) for each in (one, other)]
    for name, column in counters[0].items():
        close(column, counters[1][name], "exact")
    of_users = [
        user_counters(each.reads, rows, at_users, CONFIG.counters)
        for each, rows in zip((one, other), users, strict=True)
    ]
    for name, column in of_users[0].items():
        close(column, of_users[1][name], "exact")


def same_models(one: Dataset, other: Dataset, time: int) -> None:
    """The item-item models that serve a moment."""
    period = int(one.timeline.periods(np.array([time]))[0])
    for name in ("together", "follow", "ease"):
        models = [getattr(each.timeline.at(period), name).toarray() for each in (one, other)]
        close(*models, "exact")


@FEWER
@given(logs(), cancellations(), times(), st.sampled_from([1, 2, 5, None]))
def test_at_every_moment_the_log_is_that_without_what_was_taken_back_by_then(
    log: list[Event], taken_back: list[Cancellation], time: int, limit: int | None
) -> None:
    frame = frame_of(log, taken_back)
    whole = dataset(frame)
    same_reads(whole, dataset(without(frame, time)), time, limit)
    for refresh in range(CONFIG.refresh_origin, LAST_TIME, CONFIG.refresh_every):
        same_models(whole, dataset(without(frame, refresh)), refresh)


@FEWER
@given(logs(), cancellations(), times(), st.randoms(use_true_random=False), st.integers(1, 5), st.booleans())
def test_rows_taken_in_one_after_the_other_read_as_all_at_once(
    log: list[Event], taken_back: list[Cancellation], time: int, random: Any, at_once: int, asked: bool
) -> None:
    rows = frame_of(log, taken_back).sample(fraction=1, shuffle=True, seed=random.randrange(1000))
    grown = dataset(rows[:at_once])
    for begin in range(at_once, len(rows), at_once):
        if asked:
            grown.timeline.at(int(grown.timeline.periods(np.array([time]))[0]))
        grown = grown.with_events(rows[begin : begin + at_once]).with_events(rows[:begin])
    whole = dataset(rows)
    same_reads(grown, whole, time, 3)
    same_models(grown, whole, time)
    assert grown.clock == whole.clock


def test_a_case_by_hand() -> None:
    log = [Event(0, 1, 2), Event(0, 2, 4), Event(1, 1, 3)]
    read = dataset(frame_of(log, [Cancellation(0, 6), Cancellation(1, 3), Cancellation(2, 9, strange=True)]))

    def remembered(user: int, time: int) -> list[int]:
        return read.reads.past(read.user_rows(USERS[user : user + 1]), np.array([time])).items.values.tolist()

    assert [remembered(0, time) for time in (2, 3, 5, 6, 7)] == [[], [1], [1], [1], []]  # the second one never was
    assert remembered(1, 99) == [1]
    assert n_waiting(read.events) == 1
    assert read.clock == 7  # what names no event changes nothing, not even the clock
    assert len(read.log) == 1


def test_who_learns_at_a_moment_has_what_was_taken_back_only_later() -> None:
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
    undo = frame[2:].with_columns(timestamp=pl.lit(moment(6)), event_id=pl.lit("u"), cancels=pl.lit("c0"))
    read = dataset(pl.concat([frame, undo]))
    assert len(read.log) == 1
    assert n_waiting(read.events) == 1


def test_the_store_takes_cancellations_once_in_any_order(tmp_path: Path) -> None:
    rows = frame_of([Event(0, 1, 2), Event(1, 2, 3)], [Cancellation(0, 2), Cancellation(1, 5, named=True)])
    store = Store.create(tmp_path / "store")
    assert store.append_events(rows[2:]).n_new == 2
    assert store.append_events(rows).n_new == 2
    assert store.append_events(rows.reverse()).n_new == 0
    # It stands beside an event that says the same, and is none.
    twin = rows[2:3].with_columns(cancels=pl.lit(None, pl.String))
    assert store.append_events(twin).n_new == 1
    assert len(dataset(store.events()).log) == 1


def test_a_row_that_cancels_itself_is_rejected(tmp_path: Path) -> None:
    row = frame_of([Event(0, 1, 2)], []).with_columns(cancels=pl.lit("e0"))
    (problem,) = check_table(row, EVENTS).problems
    assert problem.reason == "cancels: expected the event_id of another row, got the row's own"
    assert problem.remedy == "Give a cancellation an id of its own, or none."
    receipt = Store.create(tmp_path / "store").append_events(row)
    assert (receipt.n_new, receipt.n_rejected) == (0, 1)


def test_a_store_of_before_there_were_cancellations_takes_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = frame_of([Event(0, 1, 2), Event(1, 2, 3)], [Cancellation(0, 5)])
    store = Store.create(tmp_path / "store")
    create_table(f"{store.path}/events", dict(rows.drop("cancels").schema), storage_options=None)
    old = DeltaTable(f"{store.path}/events")
    append(old, rows[:1].drop("cancels"))
    version = store.versions()["events"]
    assert store.append_events(rows).n_new == 2
    assert store.events()["cancels"].null_count() == 2
    assert store.events(version)["cancels"].null_count() == len(store.events(version)) == 1


def test_forgetting_a_user_takes_the_cancellations_along(tmp_path: Path) -> None:
    rows = frame_of([Event(0, 1, 2), Event(1, 2, 3)], [Cancellation(0, 5), Cancellation(1, 5)])
    store = Store.create(tmp_path / "store")
    store.append_events(rows)
    assert store.forget_user("user0").n_removed["events"] == 2
    held = b"".join(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())
    assert b"user0" not in held
    assert len(dataset(store.events()).log) == 0
