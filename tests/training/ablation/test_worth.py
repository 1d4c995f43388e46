"""Differences of figures of the same queries."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from training.ablation.worth import COLD, deciding_interval, worth_by_part
from training.evaluation.intervals import UNKNOWN_INTERVAL


def frame(figures: dict[str, list[float]], **columns: list[object]) -> pl.DataFrame:
    """Figures by part; every query is of a user of its own with one event, and no positive is cold."""
    parts = []
    for part, values in figures.items():
        n = len(values)
        fixed = {"part": [part] * n, "user": list(range(n)), "time": [0] * n, "figure": values}
        usual = {"events": [1] * n, "cold": [0] * n, "cold_recall": [float("nan")] * n}
        parts.append(pl.DataFrame(fixed | usual | (columns if part == "validation" else {})))
    return pl.concat(parts)


def test_the_worth_is_the_mean_with_minus_without_of_each_part() -> None:
    without = frame({"validation": [0.1, 0.3, float("nan")], "test": [0.5]})
    with_ = frame({"validation": [0.2, 0.4, float("nan")], "test": [0.25]})
    worth = worth_by_part(without, with_, seed=0)
    validation = worth["validation"].all
    assert (validation.without, validation.with_, validation.difference) == (0.2, 0.3, 0.1)
    assert validation.ci95 == (0.1, 0.1)
    assert worth["test"].all.difference == -0.25
    assert worth["test"].all.ci95 == UNKNOWN_INTERVAL  # one user


def test_users_with_few_events_and_cold_items_have_figures_of_their_own() -> None:
    columns: dict[str, list[object]] = {"events": [2, 30], "cold": [3, 1]}
    empty = {"test": [0.0, 0.0]}
    without = frame({"validation": [0.1, 0.1], **empty}, **columns, cold_recall=[0.0, 0.0])
    with_ = frame({"validation": [0.3, 0.2], **empty}, **columns, cold_recall=[1.0, 0.0])
    slices = worth_by_part(without, with_, seed=0)["validation"].slices
    assert list(slices) == ["all", "memory 1-5", "memory 21+", COLD]
    assert slices["memory 1-5"].difference == 0.2
    assert slices["memory 21+"].difference == 0.1
    assert slices[COLD].difference == 0.75  # three of four cold positives are found


def test_the_deciding_interval_is_wider_the_more_kinds_there_are() -> None:
    random = np.random.default_rng(0)
    without = frame({"validation": [0.0] * 200})
    with_ = frame({"validation": random.normal(0.02, 0.1, 200).tolist()})
    one = deciding_interval(without, with_, n_kinds=1, seed=0)
    ten = deciding_interval(without, with_, n_kinds=10, seed=0)
    standard_error = float(with_["figure"].std()) / np.sqrt(200)  # type: ignore[arg-type]
    # Of the normal distribution, 1.96 and 2.81 standard errors leave out 5% and 0.5%.
    assert (one[1] - one[0]) / 2 == pytest.approx(1.96 * standard_error, rel=0.05)
    assert (ten[1] - ten[0]) / 2 == pytest.approx(2.81 * standard_error, rel=0.08)


def test_nothing_is_decided_by_a_handful_of_users() -> None:
    without = frame({"validation": [0.0] * 19})
    with_ = frame({"validation": [1.0] * 19})
    assert deciding_interval(without, with_, n_kinds=1, seed=0) == UNKNOWN_INTERVAL


def test_figures_of_other_queries_are_refused() -> None:
    figures = frame({"validation": [0.1, 0.2], "test": [0.1]})
    others = figures.with_columns(time=pl.lit(1))
    with pytest.raises(ValueError, match="figures: expected the same queries for all variants, got others"):
        worth_by_part(figures, others, seed=0)
