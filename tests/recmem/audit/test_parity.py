"""The parity audit: silent if batch and online features agree; it finds planted differences."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl
import pytest

from dated_items import with_item_changes
from debian_model import model_of, trained_model, with_cancellations
from described_users import READ, describe_users
from feature_store.point_in_time.event_log import EventLog
from feature_store.point_in_time.item_history import ItemHistory
from feature_store.point_in_time.online_log import OnlineLog
from feature_store.redis import RedisMemories
from recmem.audit.parity import replay_audit
from recmem.audit.past_queries import PastQueries
from recmem.audit.snapshots import MEMORY, SCORE
from recmem.dataset.dataset import Dataset
from recmem.serving.model import Model


@pytest.fixture(scope="module")
def model() -> Model:
    return trained_model().model()


def replayed(model: Model, n: int = 40) -> pl.DataFrame:
    return replay_audit(model, PastQueries.sample(model.dataset, n, np.random.default_rng(1)))


def test_batch_and_online_agree_to_the_bit(model: Model) -> None:
    progress: list[int] = []
    queries = PastQueries.sample(model.dataset, 40, np.random.default_rng(0))
    found = replay_audit(model, queries, on_query=progress.append)
    assert found.is_empty()
    assert len(progress) == len(queries) == 40
    assert (np.diff(queries.times) >= 0).all()
    for row, (user, time) in enumerate(zip(queries.users, queries.times, strict=True)):
        at = (model.dataset.log.user_rows == user) & (model.dataset.log.times == time)
        assert set(model.dataset.log.item_rows[at][:5]) <= set(queries.items.row(row))


def test_an_event_that_never_reaches_the_process_is_found(model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    grown = OnlineLog.grown

    def lossy(log: OnlineLog, events: EventLog, users: pl.Series) -> OnlineLog:
        return grown(log, events if len(events) % 5 else events.until(0), users)

    monkeypatch.setattr(OnlineLog, "grown", lossy)
    found = replayed(model)
    assert {MEMORY, SCORE, "popularity", "match_raw"} <= set(found["what"])
    row = found.filter(pl.col("what") == "popularity").row(0, named=True)
    assert float(row["batch"]) > float(row["online"])


def test_numbers_of_items_agree_with_those_known_so_far(monkeypatch: pytest.MonkeyPatch) -> None:
    model = with_item_changes(model_of(trained_model().events))
    assert replayed(model).is_empty()
    values = ItemHistory.values
    later = 10**12
    monkeypatch.setattr(
        ItemHistory, "values", lambda self, name, items, times: values(self, name, items, times + later)
    )
    assert set(replayed(model)["what"]) - {SCORE} == {"items.size_kb"}


def test_cancelled_events_are_cancelled_online_too() -> None:
    model = model_of(with_cancellations(trained_model().events))
    queries = PastQueries.sample(model.dataset, 60, np.random.default_rng(0))
    cancelled = model.dataset.cancelled
    assert cancelled is not None
    assert len(cancelled.log) > 50
    assert np.isin(queries.times, cancelled.cancelled_at).sum() > 5
    assert replay_audit(model, queries).is_empty()


def test_a_cancellation_that_never_reaches_the_process_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    model = model_of(with_cancellations(trained_model().events))
    with_events = Dataset.with_events
    monkeypatch.setattr(
        Dataset, "with_events", lambda dataset, rows: with_events(dataset, rows.filter(pl.col("cancels").is_null()))
    )
    assert {MEMORY, SCORE, "popularity", "match_raw", "user_events"} <= set(replayed(model, 60)["what"])


def test_a_counter_that_stays_as_it_was_is_found_and_nothing_else(
    model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(OnlineLog, "user_counts", lambda log, users, times: log.base.user_counts(users, times))
    assert {"user_events", "user_gap"} <= set(replayed(model)["what"]) <= {"user_events", "user_gap", SCORE}


def described() -> Model:
    model = trained_model().model()
    describe_users(model, trained_model().events)
    return model


def test_attributes_and_interests_of_users_agree_to_the_bit() -> None:
    assert replayed(described(), 60).is_empty()


def test_a_change_of_a_user_that_never_reaches_the_process_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Dataset, "with_user_rows", lambda dataset, rows: dataset)
    # A declared interest is a slot of the memory too.
    assert set(replayed(described(), 60)["what"]) == {*READ, "match_raw", "score"}


def test_attributes_of_users_are_kept_beside_shared_memories(redis_url: str) -> None:
    model = described()
    memories = RedisMemories(f"{redis_url}#described", timeout=5)
    queries = PastQueries.sample(model.dataset, 40, np.random.default_rng(0))
    assert replay_audit(model, queries, online=memories).is_empty()
    memories.clear()


def test_online_memories_agree_to_the_bit(model: Model, redis_url: str) -> None:
    memories = RedisMemories(f"{redis_url}#audit", timeout=5)
    found = replay_audit(model, PastQueries.sample(model.dataset, 40, np.random.default_rng(0)), online=memories)
    assert found.is_empty()
    memories.clear()


def test_cancelled_events_are_cancelled_in_redis_too(redis_url: str) -> None:
    model = model_of(with_cancellations(trained_model().events))
    memories = RedisMemories(f"{redis_url}#cancelled", timeout=5)
    queries = PastQueries.sample(model.dataset, 60, np.random.default_rng(0))
    assert replay_audit(model, queries, online=memories).is_empty()
    memories.clear()


def test_an_event_that_never_reaches_the_server_is_found(
    model: Model, redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    memories = RedisMemories(f"{redis_url}#lossy", timeout=5)
    write_rows = RedisMemories._write_rows

    def lossy(self: RedisMemories, rows: pl.DataFrame, settings: Any, in_tables: np.ndarray, *rest: Any) -> Any:
        n = int(len(rows) > 1)
        return write_rows(self, rows[n:], settings, in_tables[n:], *rest)

    monkeypatch.setattr(RedisMemories, "_write_rows", lossy)
    found = replay_audit(model, PastQueries.sample(model.dataset, 40, np.random.default_rng(1)), online=memories)
    assert {MEMORY, SCORE, "popularity", "match_raw"} <= set(found["what"])
    memories.clear()
