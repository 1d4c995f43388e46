"""Fits the folds over a run's store, writes the model that serves, and gives what computes features of rows."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from itertools import pairwise
from pathlib import Path

import feature_store
import recmem
import training
from feature_store.arrays import IntArray
from recmem.dataset.dataset import Dataset
from recmem.text.cached_encoder import CachedEncoder, LazyEncoder
from recmem.text.item_vectors import ItemVectors
from training.cross_fit.borders import Border, borders
from training.cross_fit.chain import Fold, fit_chain
from training.cross_fit.fold_files import KeptFolds, read_folds, write_folds
from training.cross_fit.row_features import CrossFitted
from training.cross_fit.serving_bundle import write_serving_bundle
from training.cross_fit.windows import FoldConfig, cut_times
from training.run import Run
from training.tracking.step_key import step_key
from training.training_data import TrainingData
from training.training_device import matcher_for_training

BUNDLE = "match_bundle"
"""Beside `bundle`, which `recmem train` may have written into the same folder."""
FOLDS = "match_folds"


@dataclass(frozen=True, eq=False)
class Fit:
    """The folds of a run."""

    fitted: CrossFitted
    borders: tuple[Border, ...]
    bundle: Path
    """The model that serves the newest fold's features."""
    reused: bool
    """Whether an earlier call in the same folder had fitted the same folds."""
    warnings: tuple[str, ...]


def fit_folds(run: Run, config: FoldConfig) -> Fit:
    """The folds of the run's store, fitted or, if nothing that they depend on has changed, read again.

    Raises DataError if the log is too short, see `cut_times`, or has too few queries with a retrieved positive.
    """
    data = run.training_data
    cuts = cut_times(_times(data), config)
    data = replace(data, dataset=_refreshed_at(data.dataset, cuts))
    folder = run.out / FOLDS
    bundle = run.out / BUNDLE
    key = _key(run, config)
    kept = read_folds(folder, key, run.config.match_config(data.unit.shape[1]))
    if kept is not None and bundle.is_dir():
        return Fit(_crossfitted(run, data, kept.folds), kept.borders, bundle, reused=True, warnings=data.warnings)
    made = _fit(run, data, cuts, bundle)
    write_folds(folder, key, made.folds, made.borders)
    return Fit(_crossfitted(run, data, made.folds), made.borders, bundle, reused=False, warnings=data.warnings)


def _fit(run: Run, data: TrainingData, cuts: IntArray, bundle: Path) -> KeptFolds:
    chain = fit_chain(data, cuts, run.config, run.progress)
    with run.progress.stage("Writing the model that serves", 1) as advance:
        write_serving_bundle(chain, data, run.config, run.store, run.pinned.versions(), bundle)
        advance(1)
    return KeptFolds(chain.folds, tuple(borders(chain, _crossfitted(run, data, chain.folds))))


def _times(data: TrainingData) -> IntArray:
    """Of the events or, if there are impressions, of the items shown: what the modules are calibrated on."""
    if data.shown is None:
        return data.dataset.log.times
    times: IntArray = data.shown.times[data.shown.candidates.row_index]
    return times


def _refreshed_at(dataset: Dataset, cuts: IntArray) -> Dataset:
    """The dataset with item-item models that are refitted about once a window, beginning with the first."""
    lengths = [end - begin for begin, end in pairwise(cuts.tolist())]
    refresh = max(-(-sum(lengths) // len(lengths)), 1)
    config = replace(dataset.config, refresh_origin=int(cuts[0]), refresh_every=refresh)
    return Dataset.of(
        dataset.catalogue,
        dataset.events,
        dataset.impressions,
        config,
        item_changes=dataset.item_changes,
        profiles=dataset.profiles,
        store=dataset.store,
    )


def _crossfitted(run: Run, data: TrainingData, folds: tuple[Fold, ...]) -> CrossFitted:
    matchers = tuple(matcher_for_training(fold.module, data.unit, run.config.memory) for fold in folds)
    return CrossFitted(folds, data.dataset, matchers, _embedding(run, data))


def _embedding(run: Run, data: TrainingData) -> CachedEncoder | ItemVectors:
    """For items that come with the rows and that the store lacks."""
    if data.vectors is not None:
        return data.vectors
    encoder = LazyEncoder.of(run.config.encoder, fingerprint=data.fingerprint, dim=data.unit.shape[1], device="auto")
    return CachedEncoder.of(encoder, run.store)


def _key(run: Run, config: FoldConfig) -> str:
    inputs = {"store": run.pinned.digest(), "encoder": run.encoder_fingerprint}
    settings = {"training": asdict(run.config), "folds": asdict(config)}
    return step_key("cross_fit", inputs, settings, (feature_store, recmem, training))
