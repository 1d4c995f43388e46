"""The small model of `debian_model`, as if its encoder's last layer had been tuned."""

from __future__ import annotations

import functools
from dataclasses import replace
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor

from debian_model import encoder, trained_model
from feature_store.ragged import Ragged
from recmem.matching.match_module import MatchConfig, MatchModule
from recmem.ranking.pair_features import PairFeatures
from recmem.serving.bundle import Bundle, load_bundle, save_bundle
from recmem.serving.manifest import SELF_TEST
from recmem.text.encoder import TextEncoder
from recmem.text.encoder_tuning import EncoderTuning, tunable, tuned_fingerprint, tuned_tensors
from recmem.text.tuned_encoder import rounded
from recmem.text.unit_vectors import exact_units

DIM = 384
TUNING = EncoderTuning("last", layers=1)


@functools.cache
def learned(seed: int) -> dict[str, Tensor]:
    """What a tuning might have left: the last layer, moved."""
    fresh = TextEncoder.load(encoder().config, device="cpu", dtype="float32")
    generator = torch.Generator().manual_seed(seed)
    tensors = tuned_tensors(tunable(fresh.model, TUNING))
    return {name: rounded(part + 0.02 * torch.randn(part.shape, generator=generator)) for name, part in tensors.items()}


def tuned_module() -> MatchModule:
    """A module that reads both spaces, with random weights."""
    generator = torch.Generator().manual_seed(11)
    module = MatchModule(MatchConfig(dim=2 * DIM, n_heads=2, head_dim=8, similarity_dim=DIM), generator)
    with torch.no_grad():
        for weight in module.parameters():
            weight.add_(torch.randn(weight.shape, generator=generator) * 0.1)
    return module.eval()


def write_tuned_bundle(folder: Path, *, seed: int = 0, tuning: EncoderTuning = TUNING) -> Bundle:
    """Saves a bundle with a tuned encoder of this seed, for the store of `trained_model`."""
    trained = trained_model()
    frozen = load_bundle(trained.bundle)
    tensors = learned(seed)
    module = tuned_module()
    config = replace(
        frozen.config,
        match=module.config,
        tuning=tuning,
        tuned_fingerprint=tuned_fingerprint(frozen.config.fingerprint, tuning, tensors),
    )
    bundle = Bundle(config, module, frozen.ranker, tensors)
    stored = load_file(trained.bundle / SELF_TEST)
    pairs = PairFeatures(
        Ragged(stored["pair_items"].numpy(), stored["pair_offsets"].numpy()),
        {name.removeprefix("pair."): part.numpy() for name, part in stored.items() if name.startswith("pair.")},
    )
    units = exact_units(stored["vectors"])
    save_bundle(bundle, folder, sample_vectors=torch.cat([units, units.flip(1)], dim=1), sample_pairs=pairs)
    return bundle
