"""Writes what a run has learned as a bundle: the measured model, and later the refitted one."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from torch import Tensor

from feature_store.addresses import without_secrets
from feature_store.timestamps import iso_time
from recmem.matching.calibration import Calibration
from recmem.matching.match_module import MatchModule
from recmem.ranking.ranker import Ranker
from recmem.serving.bundle import Bundle, BundleConfig, save_bundle
from recmem.text.encoder_tuning import EncoderTuning, tuned_fingerprint
from training.run import Run
from training.training_data import ranking_data
from training.training_device import matcher_for_training

SELF_TEST_TEXTS = 32
"""Texts whose vectors the bundle carries for its self-test."""
SELF_TEST_QUERIES = 4
"""Queries of the ranker's windows whose pairs the bundle carries for its self-test."""


@dataclass(frozen=True, eq=False)
class Learned:
    """The parts of a model that are fitted, and up to when; the encoder is the one of `final`."""

    module: MatchModule
    ranker: Ranker
    calibration: Calibration
    until: int
    """Nothing after this time was learned from, microseconds."""


def write_bundle(run: Run, learned: Learned, folder: Path) -> None:
    """Writes the bundle atomically, replacing an older one in the folder."""
    tuned = run.tuned.tensors("final")
    vectors = run.vectors("final")
    matcher = matcher_for_training(learned.module, vectors, run.config.memory)
    split = run.training_data.split
    _, data = ranking_data(
        run.training_data, matcher, split.ranker_from, split.test_from, SELF_TEST_QUERIES, run.config
    )
    config = _bundle_config(run, learned, tuned)
    save_bundle(
        Bundle(config, learned.module, learned.ranker, {} if tuned is None else tuned[1]),
        folder,
        sample_vectors=vectors[:SELF_TEST_TEXTS],
        sample_pairs=data.pairs,
    )


def _bundle_config(run: Run, learned: Learned, tuned: tuple[EncoderTuning, dict[str, Tensor]] | None) -> BundleConfig:
    training_data = run.training_data
    dataset = training_data.dataset
    return BundleConfig(
        encoder=run.config.encoder,
        fingerprint=training_data.fingerprint,
        text_columns=dataset.catalogue.text_columns,
        number_columns=dataset.catalogue.number_columns,
        match=learned.module.config,
        memory=run.config.memory,
        retrieval=run.config.retrieval,
        dataset=dataset.config,
        calibration=learned.calibration,
        store=without_secrets(run.store.path),
        store_versions=run.pinned.versions(),
        learned_until=learned.until,
        recmem_version=version("recmem"),
        # Not the wall clock: the same training writes the same bundle.
        created=iso_time(dataset.clock),
        tuning=None if tuned is None else tuned[0],
        vectors=None if training_data.vectors is None else training_data.vectors.name,
        tuned_fingerprint=None if tuned is None else tuned_fingerprint(training_data.fingerprint, *tuned),
        language=run.config.language,
    )
