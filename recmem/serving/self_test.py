"""The self-test of a bundle: inputs stored with the scores that the trained model gave for them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from feature_store import DataError
from feature_store.ragged import Ragged
from recmem.matching.match_module import MatchConfig, MatchModule
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
_STORED_PAIRS = 10_000
"""Queries are stored until there are so many pairs, at least one query."""
_MAX_PAIRS = 200_000
_MAX_STEPS = 10**9
"""Splits of all trees for all pairs, some seconds of work. A bundle must not ask for hours."""
_TRAIN_AGAIN = "Load the bundle with the version of recmem that wrote it, or train again."


def self_test_sample(
    module: MatchModule, ranker: Ranker, vectors: Float[Tensor, "text dim"], pairs: PairFeatures
) -> dict[str, Tensor]:
    """Named tensors to store: texts with their match scores, pairs with their features and ranking scores."""
    n_queries = int(np.searchsorted(pairs.candidates.offsets, _STORED_PAIRS, side="right")) - 1
    if n_queries < len(pairs.candidates):
        pairs = pairs.take(np.arange(max(n_queries, 1)))
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


def check_sample(sample: dict[str, Tensor], config: MatchConfig, features: Sequence[str], *, n_steps: int) -> None:
    """Raises ValueError unless the sample has the tensors that `self_test_sample` makes, of fitting types and shapes.

    Compiled code reads them next, and trusts that every offset lies within its column. `n_steps`: what a pair
    takes the trees, see `check_trees`, which bounds how many pairs a self-test may have.
    """
    vectors = sample.get("vectors", torch.empty(0))
    n_texts = len(vectors) if vectors.ndim else 0
    n_pairs = sample["pair_items"].numel() if "pair_items" in sample else 0
    n_offsets = sample["pair_offsets"].numel() if "pair_offsets" in sample else 0
    if not 1 <= n_texts <= MAX_TEXTS or n_pairs > _MAX_PAIRS or n_pairs * n_steps > _MAX_STEPS:
        raise ValueError(
            f"self_test: expected 1 to {MAX_TEXTS} texts and few pairs, got {n_texts} and {n_pairs:,}. {_TRAIN_AGAIN}"
        )
    expected = {
        "vectors": (torch.float32, (n_texts, config.dim)),
        "match_scores": (torch.float32, (min(n_texts, _LARGEST_MEMORY) + 1, n_texts)),
        "pair_items": (torch.int64, (n_pairs,)),
        "pair_offsets": (torch.int64, (n_offsets,)),
        "rank_scores": (torch.float64, (n_pairs,)),
    } | {_FEATURE + name: (torch.float32, (n_pairs,)) for name in features}
    if set(sample) != set(expected):
        wrong = ", ".join(sorted(set(sample) ^ set(expected)))[:200]
        raise ValueError(
            f"self_test: expected the ranker's features and scores, got {wrong!r} missing or too many. {_TRAIN_AGAIN}"
        )
    for name, (dtype, shape) in expected.items():
        tensor = sample[name]
        if (tensor.dtype, tuple(tensor.shape)) != (dtype, shape):
            got = f"{tensor.dtype}{list(tensor.shape)}"
            raise ValueError(f"self_test.{name}: expected {dtype}{list(shape)}, got {got}. {_TRAIN_AGAIN}")
        if not name.startswith(_FEATURE) and not bool(torch.isfinite(tensor).all()):
            raise ValueError(f"self_test.{name}: expected finite numbers, got others. {_TRAIN_AGAIN}")
    if n_pairs and int(sample["pair_items"].min()) < 0:
        raise ValueError(f"self_test.pair_items: expected rows from 0, got a negative one. {_TRAIN_AGAIN}")
    # Raises unless the offsets ascend from 0 to the number of pairs.
    _candidates(sample)


def check_self_test(module: MatchModule, ranker: Ranker, sample: dict[str, Tensor], *, where: str) -> None:
    """Raises DataError unless module and ranker give the sample's scores for the sample's inputs.

    The sample must have passed `check_sample`.
    """
    candidates = _candidates(sample)
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
            with np.errstate(invalid="ignore"):  # the scores may be infinite
                worst = float(np.abs(scores - stored).max())
            raise DataError(
                f"bundle: expected the stored {name} from the stored inputs, got differences of up to {worst:.2g} in "
                f"{where}. Compare the versions of torch and lightgbm with those used in training, or train again."
            )


def _candidates(sample: dict[str, Tensor]) -> Ragged:
    return Ragged(sample["pair_items"].numpy(), sample["pair_offsets"].numpy())


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
