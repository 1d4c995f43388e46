"""The figures of a variant."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest

from small_ablation import small_run, trained
from training.ablation.measure import FIGURES, QUERIES
from training.evaluation.ledger import HEADLINE_METRIC, WITH_MATCH
from training.queries import Queries


@pytest.fixture(scope="module")
def figures() -> pl.DataFrame:
    return pl.read_parquet(folder() / FIGURES)


def folder() -> Path:
    return trained().out / "ablation" / "reference" / "work" / "figures"


def test_the_reference_has_the_tests_figure_of_the_ledger(figures: pl.DataFrame) -> None:
    # Nothing was switched over, so the ledger is of the same settings.
    row = trained().ledger.row(WITH_MATCH)
    assert row is not None
    mean = figures.filter(part="test")["figure"].mean()
    assert mean == pytest.approx(row.metrics[HEADLINE_METRIC], abs=1e-6)
    assert figures.filter(part="test").height == trained().ledger.protocol.queries


def test_validation_lies_before_the_test_and_is_the_later_half_of_the_windows(figures: pl.DataFrame) -> None:
    split = small_run().training_data.split
    times = figures.filter(part="validation")["time"]
    assert split.ranker_from < times.min() <= times.max() <= split.test_from
    assert figures.filter(part="test")["time"].min() > split.test_from
    windows = Queries.from_frame(pl.read_parquet(folder() / QUERIES))
    assert len(times) == len(windows) // 2
    assert times.to_list() == windows.times[-len(times) :].tolist()


def test_validation_has_the_figure_by_which_the_training_chose_what_ships(figures: pl.DataFrame) -> None:
    held_out = trained().ledger.held_out
    assert held_out is not None
    assert held_out.lift is not None
    mean = figures.filter(part="validation")["figure"].mean()
    assert mean == pytest.approx(held_out.lift.with_, abs=1e-6)


def test_events_and_cold_positives_are_counted_before_the_query(figures: pl.DataFrame) -> None:
    data = small_run().training_data
    log = data.dataset.log
    test = figures.filter(part="test")
    user, time = test["user"][0], test["time"][0]
    assert test["events"][0] == int(((log.user_rows == user) & (log.times < time)).sum())
    cold = trained().ledger.slices.get("cold items")
    assert test["cold"].sum() == (0 if cold is None else cold.positives)
    assert bool((test["cold_recall"].is_nan() == (test["cold"] == 0)).all())


def test_frames_of_all_variants_are_of_the_same_queries(figures: pl.DataFrame) -> None:
    for name in ("ease_text", "control"):
        path = trained().out / "ablation" / name / "work" / "figures" / FIGURES
        other = pl.read_parquet(path)
        assert other.select("part", "user", "time").equals(figures.select("part", "user", "time"))
        assert not np.array_equal(other["figure"].to_numpy(), figures["figure"].to_numpy())


def test_a_queries_frame_gives_the_same_queries_back() -> None:
    windows = Queries.from_frame(pl.read_parquet(folder() / QUERIES))
    again = Queries.from_frame(windows.to_frame())
    assert again.positives.to_lists() == windows.positives.to_lists()
    assert again.users.tolist() == windows.users.tolist()
    assert again.times.tolist() == windows.times.tolist()
