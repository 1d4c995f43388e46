"""The self-test of a bundle: stored inputs and the outputs that the trained model gave for them."""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from feature_store import DataError
from feature_store.ragged import Ragged
from recmem.matching.match_module import MatchModule
from recmem.matching.user_memory import N_AGES, Slots
from recmem.ranking.pair_features import PairFeatures
from recmem.ranking.ranker import Ranker

MAX_TEXTS = 32
SELF_TEST_TOLERANCE = 1e-4
"""Relative and absolute: float32 sums of some hundred terms, by another BLAS with other thread counts."""

_COLUMN = "pair."
_LARGEST_MEMORY = 7


def self_test_sample(
    module: MatchModule, ranker: Ranker, vectors: Float[Tensor, "text dim"], pairs: PairFeatures
) -> dict[str, Tensor]:
    """Inputs and outputs as named tensors: texts with their match scores, pairs with their ranking scores."""
    texts = vectors[:MAX_TEXTS].detach().float().cpu().contiguous()
    sample = {"vectors": texts, "match_scores": _match_scores(module, texts)}
    sample["pair_items"] = torch.from_numpy(pairs.candidates.values.copy())
    sample["pair_offsets"] = torch.from_numpy(pairs.candidates.offsets.copy())
    sample |= {_COLUMN + name: torch.from_numpy(pairs.values[name].copy()) for name in ranker.features}
    sample["rank_scores"] = torch.from_numpy(ranker.scores(pairs).copy())
    return sample


def check_self_test(module: MatchModule, ranker: Ranker, sample: dict[str, Tensor], *, where: str) -> None:
    """Raises DataError unless module and ranker give the sample's outputs for its inputs."""
    match_scores = _match_scores(module, sample["vectors"])
    candidates = Ragged(sample["pair_items"].numpy(), sample["pair_offsets"].numpy())
    columns = {name.removeprefix(_COLUMN): sample[name].numpy() for name in sample if name.startswith(_COLUMN)}
    rank_scores = ranker.scores(PairFeatures(candidates, columns))
    for name, scores in (("match_scores", match_scores.numpy()), ("rank_scores", rank_scores)):
        stored = sample[name].numpy()
        if not np.allclose(scores, stored, rtol=SELF_TEST_TOLERANCE, atol=SELF_TEST_TOLERANCE):
            worst = float(np.abs(scores - stored).max())
            raise DataError(
                f"bundle: expected the stored {name} from the stored inputs, got up to {worst:.2g} away in {where}. "
                "Check the versions of torch and lightgbm against those of the training, or train anew."
            )


def _match_scores(module: MatchModule, texts: Float[Tensor, "text dim"]) -> Float[Tensor, "memory text"]:
    """Every text as a candidate against memories of 0, 1, 2 ... of the texts, over all ages and kinds."""
    n_texts = len(texts)
    sizes = torch.arange(min(n_texts, _LARGEST_MEMORY) + 1)
    number = torch.arange(int(sizes.sum()))
    slots = Slots(
        rows=number % n_texts,
        ages=number % N_AGES,
        kinds=number % module.n_kinds,
        memory_index=torch.repeat_interleave(torch.arange(len(sizes)), sizes),
        n_memories=len(sizes),
    )
    with torch.inference_mode():
        scores: Tensor = module(module.tables(texts), slots, torch.arange(n_texts))
        return scores.clone()
