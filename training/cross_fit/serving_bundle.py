"""The model that serves the same features for new rows: the newest fold's module and calibration as a bundle.

A bundle has a ranker, so this one gets one too: fitted on the windows' pairs, each scored by a module that has not seen
it. It is not measured, as the ranker of `recmem train` is.
"""

from __future__ import annotations

from importlib.metadata import version
from pathlib import Path

import numpy as np

from feature_store import Store
from feature_store.addresses import without_secrets
from feature_store.timestamps import iso_time
from recmem.ranking.feature_table import IMPRESSION_FEATURES
from recmem.serving.bundle import Bundle, BundleConfig, save_bundle
from training.config import TrainingConfig
from training.cross_fit.chain import Chain
from training.fitting.features_left_out import features_left
from training.fitting.fit_ranker import RankingData, fit_ranker
from training.fitting.new_items import with_new_items
from training.training_data import TrainingData

SELF_TEST_TEXTS = 32
"""Texts whose vectors the bundle carries for its self-test."""
SELF_TEST_QUERIES = 4
"""Queries whose pairs the bundle carries for its self-test."""


def write_serving_bundle(
    chain: Chain, data: TrainingData, config: TrainingConfig, store: Store, versions: dict[str, int], folder: Path
) -> None:
    """Writes the bundle atomically, replacing an older one in the folder. `versions` are the tables' that were read.

    Raises DataError if fewer than two queries of all windows have a positive among their candidates.
    """
    pairs = RankingData.concat([window.data for window in chain.windows])
    generator = np.random.default_rng(config.seed)
    dataset = data.dataset
    constant = () if data.shown is not None else IMPRESSION_FEATURES
    varying = tuple(name for name in pairs.pairs.values if name not in constant)
    names = features_left(varying, config.ranker.leave_out)
    fitted_on = with_new_items(pairs, config.new_item_rate, dataset.config.counters, generator)
    ranker = fit_ranker(fitted_on, names, config.ranker, config.seed).ranker
    newest = chain.folds[-1]
    bundle_config = BundleConfig(
        encoder=config.encoder,
        fingerprint=data.fingerprint,
        text_columns=dataset.catalogue.text_columns,
        number_columns=dataset.catalogue.number_columns,
        match=newest.module.config,
        memory=config.memory,
        retrieval=config.retrieval,
        dataset=dataset.config,
        calibration=newest.calibration,
        store=without_secrets(store.path),
        store_versions=versions,
        learned_until=newest.until,
        recmem_version=version("recmem"),
        # Not the wall clock: the same fit writes the same bundle.
        created=iso_time(dataset.clock),
        vectors=None if data.vectors is None else data.vectors.name,
        language=config.language,
    )
    save_bundle(
        Bundle(bundle_config, newest.module, ranker),
        folder,
        sample_vectors=data.unit[:SELF_TEST_TEXTS],
        sample_pairs=pairs.pairs.take(np.arange(min(SELF_TEST_QUERIES, len(pairs.pairs.candidates)))),
    )
