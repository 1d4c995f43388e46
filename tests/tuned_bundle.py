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
from tiny_encoder import tiny_encoder

DIM = 384
TUNING = EncoderTuning("last", layers=1)


@functools.cache
def learned(seed: int) -> dict[str, Tensor]:
    """What a tuning might have left: the last layer, moved."""
    return moved(TextEncoder.load(encoder().config, device="cpu", dtype="float32"), TUNING, seed)


def moved(fresh: TextEncoder, tuning: EncoderTuning, seed: int) -> dict[str, Tensor]:
    """All that this tuning learns, a little away from where it begins; `fresh` is changed."""
    generator = torch.Generator().manual_seed(seed)
    tensors = tuned_tensors(tunable(fresh.model, tuning))
    return {name: rounded(part + 0.02 * torch.randn(part.shape, generator=generator)) for name, part in tensors.items()}


def tuned_module(dim: int = DIM) -> MatchModule:
    """A module that reads both spaces of an encoder of `dim` dimensions, with random weights."""
    generator = torch.Generator().manual_seed(11)
    module = MatchModule(MatchConfig(dim=2 * dim, n_heads=2, head_dim=8, similarity_dim=dim), generator)
    with torch.no_grad():
        for weight in module.parameters():
            weight.add_(torch.randn(weight.shape, generator=generator) * 0.1)
    return module.eval()


def write_tuned_bundle(folder: Path, *, seed: int = 0, tuning: EncoderTuning = TUNING) -> Bundle:
    """Saves a bundle with a tuned encoder of this seed, for the store of `trained_model`."""
    return _write(folder, encoder(), tuning, learned(seed))


def write_tiny_tuned_bundle(folder: Path, tuning: EncoderTuning, *, store: Path) -> Bundle:
    """As `write_tuned_bundle`, with the encoder of `tiny_folder`, tuned in this way, for a copy of the store."""
    return _write(folder, tiny_encoder(), tuning, moved(tiny_encoder(), tuning, 0), store)


def _write(
    folder: Path,
    frozen_encoder: TextEncoder,
    tuning: EncoderTuning,
    tensors: dict[str, Tensor],
    store: Path | None = None,
) -> Bundle:
    trained = trained_model()
    frozen = load_bundle(trained.bundle)
    module = tuned_module(frozen_encoder.dim)
    config = replace(
        frozen.config,
        encoder=frozen_encoder.config,
        fingerprint=frozen_encoder.fingerprint,
        match=module.config,
        store=frozen.config.store if store is None else str(store),
        tuning=tuning,
        tuned_fingerprint=tuned_fingerprint(frozen_encoder.fingerprint, tuning, tensors),
    )
    bundle = Bundle(config, module, frozen.ranker, tensors)
    stored = load_file(trained.bundle / SELF_TEST)
    pairs = PairFeatures(
        Ragged(stored["pair_items"].numpy(), stored["pair_offsets"].numpy()),
        {name.removeprefix("pair."): part.numpy() for name, part in stored.items() if name.startswith("pair.")},
    )
    units = exact_units(stored["vectors"][:, : frozen_encoder.dim])
    save_bundle(bundle, folder, sample_vectors=torch.cat([units, units.flip(1)], dim=1), sample_pairs=pairs)
    return bundle
