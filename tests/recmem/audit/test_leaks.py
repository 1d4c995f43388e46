"""The leak audit: silent if nothing leaks; it finds planted leaks."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import polars as pl
import pytest

from dated_items import with_item_changes
from debian_model import model_of, trained_model, with_cancellations
from described_users import READ, describe_users
from feature_store.point_in_time.as_of_join import AsOfIndex, IntArray
from feature_store.point_in_time.item_history import ItemHistory
from feature_store.point_in_time.newest_rows import NewestRows
from recmem.audit.leaks import leak_audit
from recmem.audit.past_queries import PastQueries
from recmem.audit.snapshots import MEMORY, SCORE
from recmem.ranking import feature_computation
from recmem.serving.model import Model

DAY = 24 * 3600 * 10**6


def audited(model: Model, n_cuts: int = 3) -> pl.DataFrame:
    generator = np.random.default_rng(0)
    queries = PastQueries.sample(model.dataset, 60, generator)
    return leak_audit(model, queries, n_cuts=n_cuts, generator=generator)


def a_model() -> Model:
    users = trained_model().events["user_id"].unique().sort()
    at = trained_model().events["timestamp"].sort()[::40]
    shown = pl.DataFrame({"timestamp": at}).with_row_index("row")
    impressions = shown.select(
        pl.col("row").cast(pl.String).alias("impression_id"),
        users.gather(shown["row"] % len(users)),
        "timestamp",
        trained_model().items["item_id"].gather(shown["row"] % 9),
        (pl.col("row") % 3 == 0).cast(pl.Int8).alias("label"),
    )
    return model_of(trained_model().events, impressions)


def test_nothing_leaks_here() -> None:
    progress: list[int] = []
    model = a_model()
    generator = np.random.default_rng(0)
    queries = PastQueries.sample(model.dataset, 60, generator)
    found = leak_audit(model, queries, n_cuts=4, generator=generator, on_cut=progress.append)
    assert found.is_empty()
    assert progress == [1] * 4


def test_numbers_of_items_do_not_leak() -> None:
    model = with_item_changes(a_model())
    numbers = model.dataset.item_numbers(np.arange(9), np.full(9, model.dataset.clock))
    assert np.isfinite(numbers["size_kb"]).any()
    assert audited(model).is_empty()


def test_a_change_of_an_item_that_is_read_too_early_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    values = ItemHistory.values
    monkeypatch.setattr(ItemHistory, "values", lambda self, name, items, times: values(self, name, items, times + DAY))
    assert set(audited(with_item_changes(a_model()))["what"]) - {SCORE} == {"items.size_kb"}


def described() -> Model:
    model = trained_model().model()
    describe_users(model, trained_model().events)
    return model


def test_what_is_known_of_users_does_not_leak() -> None:
    assert audited(described(), n_cuts=4).is_empty()


def test_a_change_of_a_user_at_the_query_time_itself_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    at = NewestRows.at
    monkeypatch.setattr(NewestRows, "at", lambda rows, keys, times: at(rows, keys, times + 86_400_000_000))
    found = audited(described(), n_cuts=8)
    # The interests are a slot of the memory, too.
    assert set(found["what"]) == {*READ, "match_raw", "score"}
    assert set(found["change"]) == {"dropped", "moved"}


def test_an_event_at_the_query_time_itself_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    known_until = AsOfIndex.known_until
    monkeypatch.setattr(AsOfIndex, "known_until", lambda index, times: known_until(index, times + 1))
    found = audited(a_model())
    assert {MEMORY, SCORE, "popularity", "user_events", "match_raw"} <= set(found["what"])
    assert set(found["change"]) == {"dropped", "moved"}
    memory = found.filter(pl.col("what") == MEMORY).row(0, named=True)
    assert memory["item_id"] is None
    assert len(memory["as_is"].split()) != len(memory["changed"].split())


def test_cancelled_events_do_not_leak_either_way() -> None:
    assert audited(model_of(with_cancellations(trained_model().events)), n_cuts=4).is_empty()


def test_a_cancelled_event_that_still_counts_is_found() -> None:
    model = model_of(with_cancellations(trained_model().events))
    assert model.dataset.cancelled is not None
    cancelled = model.dataset.cancelled
    late = replace(cancelled, cancelled_at=cancelled.cancelled_at + 30 * DAY)
    model.dataset = replace(model.dataset, reads=replace(model.dataset.tables, cancelled=late))
    found = audited(model, n_cuts=4)
    assert {MEMORY, SCORE, "popularity", "match_raw", "user_events"} <= set(found["what"])
    assert "never" in set(found["change"])


def test_a_counter_that_looks_ahead_is_found_and_nothing_else(monkeypatch: pytest.MonkeyPatch) -> None:
    honest: Callable[..., dict[str, np.ndarray]] = feature_computation.item_counters

    def peeking(log: object, items: IntArray, times: IntArray, config: object) -> dict[str, np.ndarray]:
        return honest(log, items, times + DAY, config)

    monkeypatch.setattr(feature_computation, "item_counters", peeking)
    found = audited(a_model())
    assert {"popularity_short", "item_age"} <= set(found["what"])
    assert not {MEMORY, "user_events", "match_raw", "together"} & set(found["what"])


def test_an_arrival_that_is_ignored_is_found() -> None:
    events = trained_model().events
    timely = model_of(events.with_columns(pl.lit(None, pl.Datetime("us", "UTC")).alias("available_at")))
    timely.dataset = replace(timely.dataset, events=model_of(events).dataset.events)
    assert not audited(timely, n_cuts=12).is_empty()
