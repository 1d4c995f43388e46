"""A small log with a tiny encoder, ready to be tuned in a second."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import torch

import small_training
from feature_store import Store
from recmem.matching.match_module import MatchModule
from recmem.text.encoder import EncoderConfig
from recmem.text.encoder_tuning import EncoderTuning
from tiny_encoder import tiny_encoder, tiny_folder
from training.config import TrainingConfig
from training.fitting.fit_encoder import EncoderFit, EncoderTuningConfig
from training.fitting.fit_match import MatchTrainingConfig
from training.fitting.match_batches import BatchConfig, MatchBatches
from training.fitting.tuned_texts import TunedTexts
from training.training_data import TrainingData, read_training_data


def small_config(kind: Any = "last", **settings: Any) -> TrainingConfig:
    """Twelve steps, two checks."""
    tuning = {"max_steps": 12, "checks": 2, "save_every": 3, "learning_rate": 1e-2, "rank": 2} | settings
    return TrainingConfig(
        encoder=EncoderConfig(str(tiny_folder()), max_tokens=32),
        match=MatchTrainingConfig(min_steps=12, max_steps=12, batch=BatchConfig(queries=8, negatives=8)),
        tuning=EncoderTuningConfig(kind=kind, **tuning),
        n_heads=2,
        head_dim=4,
    )


def small_data(config: TrainingConfig) -> TrainingData:
    """The log of `small_training`, in a store of its own."""
    store = Store.open_or_create(Path(tempfile.mkdtemp(prefix="recmem-small-tuning-")) / "store")
    store.append_items(small_training.items())
    store.append_events(small_training.events())
    return read_training_data(store, config, encoder=tiny_encoder())


def small_fit(
    data: TrainingData, config: TrainingConfig, *, steps: int = 12, chunk_tokens: int | None = None, seed: int = 0
) -> EncoderFit:
    """A fit of a new module and the tiny encoder, on all before the ranker's windows."""
    kind = config.tuning.resolved()
    assert kind is not None
    tuning: EncoderTuning = config.tuning.tuning(kind)
    texts = TunedTexts(tiny_encoder(), tuning, data.dataset.catalogue.texts, max_tokens=32, chunk_tokens=chunk_tokens)
    dim = data.unit.shape[1]
    module = MatchModule(config.match_config(2 * dim, dim), torch.Generator().manual_seed(seed))
    until = data.split.ranker_from
    batches = MatchBatches(
        data.dataset.log_at(until),
        len(texts),
        until=until,
        memory=config.memory,
        config=config.match.batch,
        seed=seed,
        reads=data.dataset.reads,
    )
    return EncoderFit(
        module, texts, data.unit, batches, steps=steps, match=config.match, config=config.tuning, seed=seed
    )


def differs(first: dict[str, torch.Tensor], second: dict[str, torch.Tensor]) -> list[str]:
    """Names of tensors that are not equal to the bit."""
    assert first.keys() == second.keys()
    return [name for name in first if first[name].numpy().tobytes() != second[name].numpy().tobytes()]
