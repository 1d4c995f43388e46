"""Untrained similarities of pairs on a device: to declared interests, and to the other candidates of the query.

Vectors are rounded (`recmem.text.unit_vectors`), so the sums are exact, and the same in any order and on any device.
"""

from __future__ import annotations

import torch
from jaxtyping import Float32
from torch import Tensor

from recmem.on_device.device_pairs import DevicePairs

BLOCK_CELLS = 1 << 24
"""Pairs x dimensions of a vector that are in memory at once."""


def interests_similarity(pairs: DevicePairs) -> Float32[Tensor, " pair"]:
    """See `recmem.ranking.feature_computation.compute_interests_similarity`."""
    context = pairs.context
    dataset = context.dataset
    rows = dataset.interest_rows(context.queries.described_users, context.queries.times)
    # [query, dim], of the queries alone: the vectors of all users may be many.
    vectors = torch.from_numpy(dataset.profiles.interests.vectors[rows.clip(min=0)]).to(pairs.device)
    has_interests = torch.from_numpy(rows >= 0).to(pairs.device)
    cosines = _dots(pairs, vectors.float()).float()
    return torch.where(has_interests[pairs.queries.index], cosines, torch.nan)


def shown_similarity(pairs: DevicePairs) -> Float32[Tensor, " pair"]:
    """See `recmem.matching.shown_similarity.shown_pair_similarities`."""
    unit = pairs.context.matcher.tables.unit
    sums = torch.zeros((len(pairs.queries), unit.shape[1]), dtype=torch.float64, device=pairs.device)
    for begin in range(0, len(pairs.items), _n_rows(unit)):
        rows = slice(begin, begin + _n_rows(unit))
        sums.index_add_(0, pairs.queries.index[rows], unit[pairs.items[rows]].double())
    mean = _dots(pairs, sums) / pairs.queries.lengths[pairs.queries.index]
    return mean.float()


def _dots(pairs: DevicePairs, vectors: Tensor) -> Tensor:
    """The product of each pair's text and its query's vector, in the type of the vectors."""
    unit = pairs.context.matcher.tables.unit
    dots = torch.empty(len(pairs.items), dtype=vectors.dtype, device=pairs.device)
    for begin in range(0, len(pairs.items), _n_rows(unit)):
        rows = slice(begin, begin + _n_rows(unit))
        of_pair = unit[pairs.items[rows]].to(vectors.dtype) * vectors[pairs.queries.index[rows]]
        dots[rows] = of_pair.sum(1)
    return dots


def _n_rows(unit: Tensor) -> int:
    return max(BLOCK_CELLS // unit.shape[1], 1)
