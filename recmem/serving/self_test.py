"""The self-test of a bundle: inputs stored with the scores that the trained model gave for them."""

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
from recmem.ranking.ranker_layout import current_name

MAX_TEXTS = 32
SELF_TEST_TOLERANCE = 1e-4
"""Relative and absolute. Scores are float32 sums of some hundred terms; another processor, BLAS or number of threads
adds them in another order. A wrong weight or an incompatible library moves them by much more."""

_FEATURE = "pair."
"""Prefix of a feature's name in the stored sample."""
_LARGEST_MEMORY = 7


def self_test_sample(
    module: MatchModule, ranker: Ranker, vectors: Float[Tensor, "text dim"], pairs: PairFeatures
) -> dict[str, Tensor]:
    """Named tensors to store: texts with their match scores, pairs with their features and ranking scores."""
    texts = vectors[:MAX_TEXTS].detach().float().cpu().contiguous()
    sample = {
        "vectors": texts,
        "match_scores": _match_scores(module, texts),
        "pair_items": torch.from_numpy(pairs.candidates.values.copy()),
        "pair_offsets": torch.from_numpy(pairs.candidates.offsets.copy()),
    }
    for name in ranker.features:
        sample[_FEATURE + name] = torch.from_numpy(pairs.values[name].copy())
    sample["rank_scores"] = torch.from_numpy(ranker.scores(pairs).copy())
    return sample


def check_self_test(module: MatchModule, ranker: Ranker, sample: dict[str, Tensor], *, where: str) -> None:
    """Raises DataError unless module and ranker give the sample's scores for the sample's inputs."""
    candidates = Ragged(sample["pair_items"].numpy(), sample["pair_offsets"].numpy())
    features = {
        current_name(name.removeprefix(_FEATURE)): tensor.numpy()
        for name, tensor in sample.items()
        if name.startswith(_FEATURE)
    }
    computed = {
        "match_scores": _match_scores(module, sample["vectors"]).numpy(),
        "rank_scores": ranker.scores(PairFeatures(candidates, features)),
    }
    for name, scores in computed.items():
        stored = sample[name].numpy()
        if not np.allclose(scores, stored, rtol=SELF_TEST_TOLERANCE, atol=SELF_TEST_TOLERANCE):
            worst = float(np.abs(scores - stored).max())
            raise DataError(
                f"bundle: expected the stored {name} from the stored inputs, got differences of up to {worst:.2g} in "
                f"{where}. Compare the versions of torch and lightgbm with those used in training, or train again."
            )


def _match_scores(module: MatchModule, texts: Float[Tensor, "text dim"]) -> Float[Tensor, "memory text"]:
    """Every text as a candidate for memories of 0, 1, 2 ... texts, which cover all ages and kinds."""
    n_texts = len(texts)
    sizes = torch.arange(min(n_texts, _LARGEST_MEMORY) + 1)
    slot = torch.arange(int(sizes.sum()))
    slots = Slots(
        rows=slot % n_texts,
        ages=slot % N_AGES,
        kinds=slot % module.n_kinds,
        memory_index=torch.repeat_interleave(torch.arange(len(sizes)), sizes),
        n_memories=len(sizes),
    )
    with torch.inference_mode():
        scores: Tensor = module(module.tables(texts), slots, torch.arange(n_texts))
        return scores.clone()
