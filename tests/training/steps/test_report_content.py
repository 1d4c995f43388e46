"""What a run reports of its data: counts, dates, windows, and the events that it could not use."""

from __future__ import annotations

import shlex
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path

import pytest

import small_training
from feature_store import SignalConfig
from recmem.retrieval.interleave import RetrievalConfig
from recmem.text.encoder import EncoderConfig
from training.config import TrainingConfig
from training.configuration.effective import effective_config
from training.fitting.fit_ranker import RankerConfig
from training.progress import Silent
from training.run import open_run
from training.steps.refit import RefitSummary
from training.steps.report_content import _data_facts, _windows, train_command
from training.tables import Tables
from training.training_data import TrainingData
from training.tuned_encoders import NOT_TUNED, TunedEncoders


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


def test_the_command_shows_the_options_of_the_run(training_data: TrainingData) -> None:
    config = TrainingConfig(
        encoder=EncoderConfig("my encoders/small"),
        signals=SignalConfig(positive_from=4.5, negative_to=1.0, neutral_events=("view", "add to cart")),
        retrieval=RetrievalConfig(candidates=40, exclude_seen=False),
        seed=7,
    )
    command = train_command(RunOf(training_data, config))  # type: ignore[arg-type]
    assert command.replace("\\\n  ", "") == (
        "recmem train --items ITEMS --events EVENTS --out OUT --encoder 'my encoders/small' --pooling mean "
        "--max-tokens 256 --tune-encoder auto --candidates 40 "
        "--no-exclude-seen --positive-from 4.5 --negative-to 1 --neutral-events 'view,add to cart' --seed 7"
    )


def test_facts_count_the_tables_and_date_the_log(training_data: TrainingData) -> None:
    facts = _data_facts(RunOf(training_data))  # type: ignore[arg-type]
    times = small_training.events()["timestamp"]
    assert (facts["items"], facts["users"], facts["events"]) == (21, 30, 180)
    assert facts["first event"] == times.min().strftime("%Y-%m-%d")  # type: ignore[union-attr]
    assert facts["last event"] == times.max().strftime("%Y-%m-%d")  # type: ignore[union-attr]
    assert facts["text columns"] == "title, section"
    assert facts["text encoder"] == NOT_TUNED
    assert "events of unknown items" not in facts


def test_events_of_unknown_items_are_a_fact_if_there_are_any(training_data: TrainingData) -> None:
    facts = _data_facts(RunOf(replace(training_data, events_of_unknown_items=4)))  # type: ignore[arg-type]
    assert facts["events of unknown items"] == 4


def test_windows_follow_each_other_from_the_first_event_to_the_last(training_data: TrainingData) -> None:
    measured = RefitSummary(refitted=False, learned_until="", queries=0)
    windows = _windows(RunOf(training_data), measured)  # type: ignore[arg-type]
    assert [window.name for window in windows] == ["match model", "ranker", "test"]
    assert [window.end for window in windows[:-1]] == [window.start for window in windows[1:]]
    assert datetime.fromisoformat(windows[0].start) == small_training.events()["timestamp"].min()
    assert datetime.fromisoformat(windows[-1].end).tzinfo == UTC


def test_a_refit_is_a_window_from_the_first_event_to_the_last_that_was_learned_from(
    training_data: TrainingData,
) -> None:
    refitted = RefitSummary(refitted=True, learned_until="2026-05-31T00:00:00+00:00", queries=60)
    windows = _windows(RunOf(training_data), refitted)  # type: ignore[arg-type]
    assert windows[:-1] == _windows(RunOf(training_data), replace(refitted, refitted=False))  # type: ignore[arg-type]
    last = windows[-1]
    assert (last.name, last.start, last.end) == ("refit", windows[0].start, "2026-05-31T00:00:00+00:00")
    assert "after the figures were measured" in last.use


def test_the_command_names_folds_and_that_there_is_no_refit(training_data: TrainingData) -> None:
    config = TrainingConfig(refit=False, folds=3)
    command = train_command(RunOf(training_data, config))  # type: ignore[arg-type]
    assert "--no-refit" in command
    assert "--folds 3" in command


def test_the_command_sets_what_has_no_option_and_is_not_at_its_default(training_data: TrainingData) -> None:
    config = TrainingConfig(ranker=RankerConfig(leaves=31), signals=SignalConfig(rating_events=("stars", "how many")))
    command = train_command(RunOf(training_data, config))  # type: ignore[arg-type]
    arguments = shlex.split(command.replace("\\\n", ""))
    assignments = [value for option, value in pairwise(arguments) if option == "--set"]
    assert assignments == ['signals.rating_events=["stars", "how many"]', "ranker.leaves=31"]
    assert effective_config(assignments=assignments) == config
