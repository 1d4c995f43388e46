"""What a run reports of its data: counts, dates, windows, and the events that it could not use."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

import small_training
from feature_store.timestamps import iso_time
from training.config import TrainingConfig
from training.configuration.effective import effective_config
from training.progress import Silent
from training.run import open_run
from training.steps.refit import RefitSummary
from training.steps.report_content import _data_facts, _settings, _slice_notes, _windows
from training.tables import Tables
from training.training_data import TrainingData
from training.tuned_encoders import TunedEncoders


@dataclass(frozen=True)
class RunOf:
    """As much of a run as the facts are read from."""

    training_data: TrainingData
    config: TrainingConfig = field(default_factory=TrainingConfig)
    tuned: TunedEncoders = field(default_factory=lambda: TunedEncoders(Path(), None, None))


@pytest.fixture(scope="module")
def training_data() -> TrainingData:
    folder = small_training.trained() / "run"
    return open_run(Tables(), folder, None, TrainingConfig(), Silent()).training_data


def test_facts_count_the_tables_and_date_the_log(training_data: TrainingData) -> None:
    facts = _data_facts(RunOf(training_data))  # type: ignore[arg-type]
    times = small_training.events()["timestamp"]
    assert (facts["items"], facts["users"], facts["events"]) == (21, 30, 180)
    assert facts["first event"] == times.min().strftime("%Y-%m-%d")  # type: ignore[union-attr]
    assert facts["last event"] == times.max().strftime("%Y-%m-%d")  # type: ignore[union-attr]
    assert facts["text encoder"] == TrainingConfig().encoder.name
    assert "events of unknown items" not in facts


def test_events_of_unknown_items_are_a_fact_if_there_are_any(training_data: TrainingData) -> None:
    facts = _data_facts(RunOf(replace(training_data, events_of_unknown_items=4)))  # type: ignore[arg-type]
    assert facts["events of unknown items"] == 4


def test_windows_follow_each_other_from_the_first_event_to_the_last(training_data: TrainingData) -> None:
    measured = RefitSummary(refitted=False, learned_until="", queries=0)
    windows = _windows(RunOf(training_data), measured)  # type: ignore[arg-type]
    assert [window.name for window in windows] == ["match module", "ranker", "test"]
    assert [window.end for window in windows[:-1]] == [window.start for window in windows[1:]]
    assert datetime.fromisoformat(windows[0].start) == small_training.events()["timestamp"].min()
    assert datetime.fromisoformat(windows[-1].end).tzinfo == UTC


def test_the_test_window_ends_where_the_test_period_does(training_data: TrainingData) -> None:
    """Events after it, which `split.test_until` leaves, are in no figure of the report."""
    times = training_data.dataset.log.times
    until = int(times[times < times.max()].max())
    cut = replace(training_data, split=replace(training_data.split, test_until=until))
    measured = RefitSummary(refitted=False, learned_until="2026-05-01T00:00:00+00:00", queries=0)
    windows = _windows(RunOf(cut), measured)  # type: ignore[arg-type]
    assert windows[-1].end == iso_time(until)


def test_a_refit_is_a_window_from_the_first_event_to_the_last_that_was_learned_from(
    training_data: TrainingData,
) -> None:
    refitted = RefitSummary(refitted=True, learned_until="2026-05-31T00:00:00+00:00", queries=60)
    windows = _windows(RunOf(training_data), refitted)  # type: ignore[arg-type]
    assert windows[:-1] == _windows(RunOf(training_data), replace(refitted, refitted=False))  # type: ignore[arg-type]
    last = windows[-1]
    assert (last.name, last.start, last.end) == ("refit", windows[0].start, "2026-05-31T00:00:00+00:00")
    assert "after the figures were measured" in last.use


def test_settings_are_the_lines_of_the_configuration_file_without_comments() -> None:
    config = TrainingConfig(seed=7)
    text = _settings(config)
    assert "#" not in text
    assert "seed = 7" in text.splitlines()
    assert effective_config(tomllib.loads(text)) == config


def test_the_age_of_a_young_item_is_told_in_days(training_data: TrainingData) -> None:
    notes = _slice_notes(RunOf(training_data))  # type: ignore[arg-type]
    counters = training_data.dataset.config.counters
    days = counters.span / 12 / 86_400e6
    assert f"first event less than {days:,.0f} days before the query" in notes["item young"]
    hourly = replace(training_data.dataset.config, counters=replace(counters, span=30 * 3_600_000_000))
    shorter = replace(training_data, dataset=replace(training_data.dataset, config=hourly))
    assert "first event less than 2.5 hours" in _slice_notes(RunOf(shorter))["item young"]  # type: ignore[arg-type]
