"""The folds of a rolling-origin check: their times, their folders, and logs that are too short for them."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import polars as pl
import pytest

import small_training
from feature_store import DataError
from feature_store.point_in_time.read_protocol import END_OF_TIME
from training.api import train
from training.config import TrainingConfig
from training.folds import earlier_folds
from training.progress import Silent
from training.run import Run, open_run
from training.steps.ingest import append_given
from training.tables import Tables


def run_with(tmp_path: Path, events: pl.DataFrame, n_folds: int) -> Run:
    run = open_run(Tables(events=events), tmp_path / "run", None, TrainingConfig(folds=n_folds), Silent())
    run.store.append_items(small_training.items())
    run.store.append_events(events)
    return run


def spread_events() -> pl.DataFrame:
    """The events of the small training, each at a time of its own."""
    events = small_training.events().sort("timestamp", "user_id")
    start = datetime(2026, 1, 1, tzinfo=UTC)
    return events.with_columns(timestamp=pl.lit(start) + pl.int_range(pl.len()) * timedelta(hours=1))


def test_folds_follow_each_other_in_time_and_the_last_is_the_run_itself(tmp_path: Path) -> None:
    run = run_with(tmp_path, spread_events(), 3)
    folds = earlier_folds(run)
    splits = [fold.training_data.split for fold in [*folds, run]]
    assert [split.test_from for split in splits[1:]] == [split.test_until for split in splits[:-1]]
    assert splits[-1].test_until == END_OF_TIME
    assert all(split.ranker_from < split.test_from < split.test_until for split in splits)
    times = run.training_data.dataset.log.times
    in_test = [int(((times > split.test_from) & (times <= split.test_until)).sum()) for split in splits]
    assert in_test == [18, 18, 18]  # 10% of 180 events each
    assert [fold.out for fold in folds] == [run.out / "folds" / "1", run.out / "folds" / "2"]
    assert all(fold.pinned.versions() == run.pinned.versions() for fold in folds)


def test_one_fold_is_the_run_alone(tmp_path: Path) -> None:
    assert earlier_folds(run_with(tmp_path, spread_events(), 1)) == []


FIVE_DATES = [107, 27, 32, 12, 2]
"""Events of each: the shares up to it are .59, .74, .92, .99 and 1."""


def at_dates(counts: list[int]) -> pl.DataFrame:
    """The events of the small training, so many at each date in turn."""
    events = small_training.events().sort("timestamp", "user_id")
    start = datetime(2026, 1, 1, tzinfo=UTC)
    dates = [start + timedelta(days=day) for day, count in enumerate(counts) for _ in range(count)]
    return events.with_columns(timestamp=pl.Series(dates))


def test_a_log_with_too_few_times_for_windows_of_their_own_is_refused_and_told_how_many_fit(tmp_path: Path) -> None:
    # Tests from the shares .7, .8 and .9 on: those of the first two folds would both hold the third date.
    run = run_with(tmp_path, at_dates(FIVE_DATES), 3)
    message = (
        "folds: expected a log with room for 3 test windows, one after the other, got one whose timestamps leave room "
        "for 2. Give 2 folds, or a log with events at more times."
    )
    with pytest.raises(DataError, match=re.escape(message)):
        earlier_folds(run)


def test_as_many_folds_as_were_told_to_fit_do(tmp_path: Path) -> None:
    run = run_with(tmp_path, at_dates(FIVE_DATES), 2)
    (first,) = earlier_folds(run)
    assert first.training_data.split.test_until == run.training_data.split.test_from


def test_a_log_with_room_for_one_window_only_is_told_to_be_trained_without_folds(tmp_path: Path) -> None:
    run = run_with(tmp_path, at_dates([60, 60, 60]), 2)
    with pytest.raises(DataError, match=r"room for 1\. Train without folds, or a log with events at more times\."):
        earlier_folds(run)


def test_a_log_without_queries_in_an_early_window_is_refused_with_the_folds_number(tmp_path: Path) -> None:
    events = spread_events()
    # Until the last window every event is of a new user: nobody comes back.
    number = np.arange(len(events))
    strangers = events.with_columns(
        user_id=pl.Series([f"stranger-{n}" if n < 150 else "regular" for n in number.tolist()])
    )
    with pytest.raises(DataError, match=r"folds: expected a log that is long enough for 3, got too little for fold 1"):
        earlier_folds(run_with(tmp_path, strangers, 3))


def test_a_refused_log_has_learned_nothing(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="folds: expected a log with room for 3 test windows"):
        train(small_training.items(), small_training.events(), out=tmp_path / "run", folds=3)
    assert not (tmp_path / "run" / "work" / "match").exists()
    assert not (tmp_path / "run" / "bundle").exists()


@pytest.mark.parametrize("n_folds", [0, -1, 8])
def test_a_number_of_folds_that_leaves_nothing_to_learn_from_is_refused(n_folds: int) -> None:
    with pytest.raises(ValueError, match=r"folds: expected (1 to 7|at least 1), got "):
        TrainingConfig(folds=n_folds)


def test_folds_on_vectors_load_no_encoder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def never(*_: object, **__: object) -> None:
        raise AssertionError("loaded")

    monkeypatch.setattr("training.run.TextEncoder.load", never)
    ids = small_training.items()["item_id"]
    numbers = np.random.default_rng(0).normal(size=(len(ids), 8)).astype(np.float32)
    vectors = pl.DataFrame({"item_id": ids, "vector": pl.Series(numbers, dtype=pl.Array(pl.Float32, 8))})
    tables = Tables(small_training.items(), at_dates(FIVE_DATES), vectors=vectors)
    config = TrainingConfig(folds=2, vectors_name="random")
    run = open_run(tables, tmp_path / "run", None, config, Silent())
    run.intake = append_given(run)
    assert len(earlier_folds(run)) == 1
