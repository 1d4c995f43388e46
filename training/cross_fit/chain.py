"""The chain of match modules: each goes on from the one before, up to the next cut of the log.

Before a module goes on, it scores the pairs of the window that comes next, from which it has learned nothing. These
pairs calibrate its successor, whose scores are first brought to its scale (`scale_line`): what a score is worth is read
off windows that a module of the chain had not learned from, and never off rows that are scored with it.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch

from feature_store import EventLog
from feature_store.arrays import Float32Array, IntArray
from feature_store.point_in_time.read_protocol import END_OF_TIME
from recmem.dataset.dataset import Dataset
from recmem.matching.calibration import Calibration
from recmem.matching.match_module import MatchModule
from training.config import TrainingConfig
from training.fitting.beside_events import beside_events
from training.fitting.fit_calibration import fit_calibration
from training.fitting.fit_match import fit_match
from training.fitting.fit_ranker import RankingData
from training.fitting.match_batches import MatchBatches
from training.fitting.scale_line import ScaleLine, scores_as_of
from training.progress import Progress
from training.queries import Queries
from training.training_data import TrainingData, ranking_data
from training.training_device import matcher_for_training

WINDOW_QUERIES = 600
"""Queries of a window whose pairs calibrate, at most; evenly spread over it."""
FEWEST_POSITIVES = 1000
"""A calibration is fitted on the newest windows that have so many positives together, or on all there are. With fewer,
calibrations of neighbouring folds would differ by chance: by a tenth of the score with 200 positives."""


@dataclass(frozen=True, eq=False)
class Fold:
    """A match module of the chain, and which rows it scores."""

    until: int
    """Microseconds. Nothing after this time was learned from, nor what arrived after it."""
    scores_until: int
    """The rows after `until`, up to and including this time, get this module's features."""
    module: MatchModule
    calibration: Calibration
    """From the module's raw scores to probabilities; from pairs up to `until`, which a module had not seen."""


@dataclass(frozen=True, eq=False)
class WindowPairs:
    """The pairs of the window between two cuts, scored by the module that has learned up to its begin."""

    queries: Queries
    data: RankingData
    scores: Float32Array
    """float32[pair]: the raw scores on the scale of the chain, see `ScaleLine`."""


@dataclass(frozen=True, eq=False)
class Chain:
    """The folds in order of time, and the pairs of all windows."""

    folds: tuple[Fold, ...]
    """The last scores what comes after the log: it is the one that serves."""
    windows: tuple[WindowPairs, ...]
    """One per fold: the window that ends where the fold's rows begin."""


def fit_chain(data: TrainingData, cuts: IntArray, config: TrainingConfig, progress: Progress) -> Chain:
    """Fits the modules, one after the other. `cuts` are the times up to which they learn, see `cut_times`."""
    generator = torch.Generator().manual_seed(config.seed)
    module = MatchModule(config.match_config(data.unit.shape[1]), generator)
    n_fits = len(cuts)
    _learn(module, data, int(cuts[0]), config, progress, number=1, n_fits=n_fits)
    windows: list[WindowPairs] = []
    folds: list[Fold] = []
    ends = [*cuts[2:].tolist(), END_OF_TIME]
    line = ScaleLine()
    for number, (begin, end) in enumerate(pairwise(cuts.tolist())):
        with progress.stage("Computing features that calibrate", None) as advance:
            windows.append(_window(module, line, data, begin, end, config, advance))
        before = _scores_at(end, module, windows[-1], data, config)
        _learn(module, data, end, config, progress, number=number + 2, n_fits=n_fits)
        line = line.after(before, _scores_at(end, module, windows[-1], data, config))
        calibration = line.calibration(calibration_of(windows))
        folds.append(Fold(end, ends[number], copy.deepcopy(module), calibration))
    return Chain(tuple(folds), tuple(windows))


def _window(
    module: MatchModule,
    line: ScaleLine,
    data: TrainingData,
    begin: int,
    end: int,
    config: TrainingConfig,
    on_query: Callable[[int], None],
) -> WindowPairs:
    matcher = matcher_for_training(module, data.unit, config.memory)
    queries, pairs = ranking_data(data, matcher, begin, end, WINDOW_QUERIES, config, on_query)
    return WindowPairs(queries, pairs, line.of(pairs.pairs.values["match_raw"]))


def _scores_at(
    time: int, module: MatchModule, window: WindowPairs, data: TrainingData, config: TrainingConfig
) -> Float32Array:
    """The module's raw scores of the window's candidates, for the same users right after a time: float32[pair]."""
    matcher = matcher_for_training(module, data.unit, config.memory)
    return scores_as_of(time, matcher, data.dataset, window.queries.users, window.data.pairs.candidates)


def calibration_of(windows: Sequence[WindowPairs]) -> Calibration:
    """From scores on the scale of the chain, by the newest windows, as many as it takes; they are in order of time."""
    scores = []
    labels = []
    n_positives = 0
    for window in reversed(windows):
        scores.append(window.scores)
        labels.append(window.data.labels)
        n_positives += int(window.data.labels.sum())
        if n_positives >= FEWEST_POSITIVES:
            break
    return fit_calibration(np.concatenate(scores), np.concatenate(labels))


def _learn(
    module: MatchModule,
    data: TrainingData,
    until: int,
    config: TrainingConfig,
    progress: Progress,
    *,
    number: int,
    n_fits: int,
) -> None:
    """Trains the module in place on what had happened and arrived by then; the first fit starts from nothing."""
    seed = config.seed + number - 1
    dataset = data.dataset
    batches = MatchBatches(
        log_known_at(dataset, until),
        len(dataset.catalogue),
        until=until,
        memory=config.memory,
        config=config.match.batch,
        seed=seed,
        prefers_recent=number > 1,
        reads=dataset.reads,
        cancelled=dataset.cancelled,
        weights=data.weights,
        repeats=dataset.config.repeats,
        beside=beside_events(dataset, data.unit, config.memory, seed=seed),
    )
    share = 1.0 if number == 1 else config.match.continued
    n_steps = 0  # without examples the module stays as it is
    if batches.n_examples:
        n_steps = max(round(config.match.steps(batches.n_examples) * share), 1)
    with progress.stage(f"Fitting the match module, {number} of {n_fits}", n_steps) as advance:
        fit_match(
            module,
            data.unit,
            batches,
            steps=n_steps,
            config=config.match,
            generator=torch.Generator().manual_seed(seed),
            on_step=lambda step, loss: advance(1),
        )
    module.eval()


def log_known_at(dataset: Dataset, until: int) -> EventLog:
    """The events up to a time that had arrived right after it: what arrived later is not learned from yet."""
    log = dataset.log_at(until)
    return log.rows(np.flatnonzero(log.known <= until + 1))
