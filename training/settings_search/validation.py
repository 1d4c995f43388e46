"""What a trial is measured on: later queries of the ranker's windows, ranked by what would ship.

These are the queries by which a training decides whether its text features rank (`training.evaluation.held_out`). The
match module has learned from what was before the windows, the rankers from the windows' earlier queries, and the
queries that are ranked have served neither. Nothing after the begin of the test period is read.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from time import perf_counter

import numpy as np
import polars as pl
from safetensors.torch import load_file, save

from feature_store import DataError
from recmem.matching.match_module import MatchModule
from recmem.matching.mean_module import mean_module
from training.config import TrainingConfig
from training.evaluation.held_out import K, what_ships
from training.evaluation.metrics import ndcg
from training.fitting.fit_ranker import RankingData
from training.fitting.new_users import with_new_users
from training.queries import Queries
from training.ranker_queries import ranker_data
from training.run import Run, member_file
from training.settings_search.search_space import Dimension, values_of
from training.steps.match import base_members
from training.steps.rank import ranks_on_later_queries
from training.tables import Tables
from training.training_data import retrieved_data
from training.training_device import matcher_for_training

_KEY_CHARS = 16


@dataclass(frozen=True, eq=False)
class Measured:
    """A configuration's figures on the validation queries."""

    figures: pl.DataFrame
    """A row per query: `user` (a number), `time` (microseconds) and `ndcg`, NDCG@10 of what would ship."""
    ships: str
    """`ranker_with_match` or `ranker_without_match`."""
    ranking_s: float
    """Seconds of the rankers alone, which every trial fits anew."""

    @property
    def value(self) -> float:
        """The mean of the queries' NDCG@10."""
        return float(self.figures["ndcg"].mean())  # type: ignore[arg-type]  # of floats it is one


class ValidationQueries:
    """Measures configurations that differ in `dimensions` only, always on the same queries.

    The queries are those that a training with the base configuration draws. They are kept in `folder`, and so are the
    match modules, so that a search that was ended goes on with them.
    """

    def __init__(self, run: Run, folder: Path, dimensions: Sequence[Dimension]) -> None:
        self._run = run
        self._folder = folder
        self._dimensions = [each for each in dimensions if each.group == "match"]
        self._data: dict[str, RankingData] = {}
        """Pairs by the match settings that gave them; they are large, see `keep`."""

    def measure(self, config: TrainingConfig) -> Measured:
        """The configuration's figures. Raises DataError if the log has too few queries to validate on."""
        trial = self._trial_run(config)
        queries, data = self._pairs(trial)
        begin = perf_counter()
        held_out = ranks_on_later_queries(trial, queries, data)
        if held_out is None:
            raise DataError(
                "events: expected at least two queries with a retrieved positive in the first half of the ranker's "
                "windows, got fewer: there is nothing to tune settings on. Give a longer log, or train without tuning."
            )
        log = trial.training_data.dataset.log
        ships = what_ships(held_out, log, generator=np.random.default_rng(config.seed)).ships
        ranked = held_out.queries
        figures = ndcg(held_out.ranks[ships], ranked.positives.offsets, k=K)
        frame = pl.DataFrame({"user": ranked.users, "time": ranked.times, "ndcg": figures}).filter(
            pl.col("ndcg").is_not_nan()
        )
        return Measured(frame, ships, perf_counter() - begin)

    def has_pairs(self, config: TrainingConfig) -> bool:
        """Whether only rankers have to be fitted to measure this configuration."""
        return self._key(config) in self._data

    def keep(self, config: TrainingConfig) -> None:
        """Frees the pairs of all other match settings."""
        key = self._key(config)
        self._data = {kept: data for kept, data in self._data.items() if kept == key}

    def _trial_run(self, config: TrainingConfig) -> Run:
        """A run with these settings, which shares what the search has read; its steps write nothing."""
        run = self._run
        trial = replace(run, config=config, tables=Tables(), pairs={})
        trial.intake = run.intake
        if not config.vectors_name:
            trial.encoder = run.encoder
        trial.training_data = run.training_data
        trial.tuned = run.tuned
        return trial

    def _pairs(self, trial: Run) -> tuple[Queries, RankingData]:
        key = self._key(trial.config)
        path = self._folder / "queries.parquet"
        if key in self._data:
            return _read_queries(path), self._data[key]
        matcher = matcher_for_training(
            mean_module(self._modules(trial, key)), trial.vectors("base"), trial.config.memory
        )
        training_data = trial.training_data
        with trial.progress.stage("Computing ranking features", None) as advance:
            if training_data.shown is None and path.is_file():
                # Another match retrieves other items, and a training would draw other queries then.
                queries = _read_queries(path)
                data = retrieved_data(training_data, matcher, queries, trial.config, advance, batch_of=with_new_users)
            else:
                queries, data = ranker_data(training_data, matcher, trial.config, advance)
                _write_queries(queries, path)
        self._data[key] = data
        return queries, data

    def _modules(self, trial: Run, key: str) -> list[MatchModule]:
        """The members of the match module with these settings, fitted if an earlier trial has not left them."""
        folder = self._folder / "match" / key
        paths = [folder / member_file("base", member) for member in range(trial.config.members)]
        if not all(path.is_file() for path in paths):
            folder.mkdir(parents=True, exist_ok=True)
            for path, module in zip(paths, base_members(trial).modules, strict=True):
                _write_atomically(path, save(module.state_dict()))
        return [MatchModule.from_weights(trial.match_config, load_file(path)).eval() for path in paths]

    def _key(self, config: TrainingConfig) -> str:
        values = json.dumps(values_of(config, self._dimensions), sort_keys=True)
        return hashlib.sha256(values.encode()).hexdigest()[:_KEY_CHARS]


def _write_queries(queries: Queries, path: Path) -> None:
    unfinished = path.with_suffix(".new")
    queries.to_frame().write_parquet(unfinished)
    os.replace(unfinished, path)


def _read_queries(path: Path) -> Queries:
    return Queries.from_frame(pl.read_parquet(path))


def _write_atomically(path: Path, content: bytes) -> None:
    unfinished = path.with_suffix(".new")
    unfinished.write_bytes(content)
    os.replace(unfinished, path)
