"""Searches of settings on the log of `cross_fit_log`, with few and short trials."""

from __future__ import annotations

import atexit
import functools
import shutil
import tempfile
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

import cross_fit_log
from training.settings_search.tune import tune
from training.settings_search.tuning_result import TuningResult

QUICK = {
    "match.min_steps": 10,
    "match.epochs": 5.0,
    "n_heads": 2,
    "head_dim": 8,
    "ranker.rounds": 50,
    "tuning.kind": "off",
}
"""A base configuration whose trials take a second or two."""
TRIALS = 6
"""The base configuration, three trials of the ranker, one of the match, another of the ranker."""
TEST_FROM = 0.9
"""Share of the events before the test period, by default."""


def events_with_another_test_period() -> pl.DataFrame:
    """The log, with other items and another event in place of what happens in the test period."""
    events = cross_fit_log.events()
    begin = test_from(events)
    late = events["timestamp"] > begin
    random = np.random.default_rng(9)
    ids = cross_fit_log.items()["item_id"]
    garbage = ids.gather(random.integers(len(ids), size=len(events)))
    return events.with_columns(item_id=pl.when(late).then(garbage).otherwise(pl.col("item_id")))


def test_from(events: pl.DataFrame) -> Any:
    """The first time by which `TEST_FROM` of the events have happened."""
    return events.sort("timestamp")["timestamp"][int(np.ceil(TEST_FROM * len(events))) - 1]


def longer_log() -> pl.DataFrame:
    """The log with one event more."""
    last = cross_fit_log.events()[-1:].with_columns(pl.col("timestamp") + timedelta(days=1))
    return pl.concat([cross_fit_log.events(), last])


def events_of_favourites() -> pl.DataFrame:
    """The same users and times, but each user takes items of two kinds only: what comes next is plain to see."""
    random = np.random.default_rng(0)
    kinds = cross_fit_log.items().group_by(pl.col("item_id").str.replace(r"-[^-]*$", ""), maintain_order=True)
    items_of_kind = [kind["item_id"].to_list() for _, kind in kinds]
    chosen: list[str] = []
    events = cross_fit_log.events().sort("user_id", "timestamp")
    for _, of_user in events.group_by("user_id", maintain_order=True):
        first, second = random.choice(len(items_of_kind), 2, replace=False)
        own = random.permutation([*items_of_kind[first], *items_of_kind[second]])
        chosen += own[: len(of_user)].tolist()
    return events.with_columns(item_id=pl.Series(chosen))


def search(out: Path, events: pl.DataFrame | None = None, trials: int = TRIALS, **arguments: Any) -> TuningResult:
    """A search in the folder `out`."""
    given: Mapping[str, Any] = {"config": QUICK, "minutes": 60} | arguments
    log = cross_fit_log.events() if events is None else events
    return tune(cross_fit_log.items(), log, out=out, trials=trials, **given)


@functools.cache
def searched() -> TuningResult:
    """A search of `TRIALS` trials, made once per process: tests must not change its folder."""
    folder = Path(tempfile.mkdtemp(prefix="recmem-small-search-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return search(folder / "tuning")
