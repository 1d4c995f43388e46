"""The leak audit: silent where nothing leaks, and it finds a leak that was planted."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import polars as pl
import pytest

from debian_model import model_of, trained_model, with_cancellations
from feature_store.point_in_time.as_of_index import AsOfIndex, IntArray
from recmem.audit.leaks import leak_audit
from recmem.audit.snapshots import MEMORY, SCORE, PastQueries
from recmem.ranking import features as columns_module
from recmem.serving.model import Model

DAY = 24 * 3600 * 10**6


def audited(model: Model, n_cuts: int = 3) -> pl.DataFrame:
    generator = np.random.default_rng(0)
    moments = PastQueries.sample(model.dataset, 60, generator)
    return leak_audit(model, moments, n_cuts=n_cuts, generator=generator)


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
    told: list[int] = []
    model, generator = a_model(), np.random.default_rng(0)
    moments = PastQueries.sample(model.dataset, 60, generator)
    found = leak_audit(model, moments, n_cuts=4, generator=generator, on_cut=told.append)
    assert found.is_empty()
    assert told == [1] * 4


def test_an_event_at_the_moment_itself_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    known_until = AsOfIndex.known_until
    monkeypatch.setattr(AsOfIndex, "known_until", lambda index, times: known_until(index, times + 1))
    found = audited(a_model())
    assert {MEMORY, SCORE, "popularity", "user_events", "match_raw"} <= set(found["what"])
    assert set(found["change"]) == {"dropped", "moved"}
    memory = found.filter(pl.col("what") == MEMORY).row(0, named=True)
    assert memory["item_id"] is None
    assert len(memory["one"].split()) != len(memory["other"].split())


def test_what_was_taken_back_does_not_leak_either_way() -> None:
    assert audited(model_of(with_cancellations(trained_model().events)), n_cuts=4).is_empty()


def test_what_was_taken_back_and_still_counts_is_found_out() -> None:
    model = model_of(with_cancellations(trained_model().events))
    assert model.dataset.cancelled is not None
    stubborn = replace(model.dataset.cancelled, cancelled_at=model.dataset.cancelled.cancelled_at + 30 * DAY)
    model.dataset = replace(model.dataset, reads=replace(model.dataset.tables, cancelled=stubborn))
    found = audited(model, n_cuts=4)
    assert {MEMORY, SCORE, "popularity", "match_raw", "user_events"} <= set(found["what"])
    assert "never" in set(found["change"])


def test_a_counter_that_looks_ahead_is_found_out_and_nothing_else(monkeypatch: pytest.MonkeyPatch) -> None:
    honest: Callable[..., dict[str, np.ndarray]] = columns_module.item_counters

    def peeking(log: object, items: IntArray, times: IntArray, config: object) -> dict[str, np.ndarray]:
        return honest(log, items, times + DAY, config)

    monkeypatch.setattr(columns_module, "item_counters", peeking)
    found = audited(a_model())
    assert {"popularity_short", "item_age"} <= set(found["what"])
    assert not {MEMORY, "user_events", "match_raw", "together"} & set(found["what"])


def test_an_arrival_that_is_ignored_is_found_out() -> None:
    events = trained_model().events
    timely = model_of(events.with_columns(pl.lit(None, pl.Datetime("us", "UTC")).alias("available_at")))
    timely.dataset = replace(timely.dataset, events=model_of(events).dataset.events)
    assert not audited(timely, n_cuts=12).is_empty()
