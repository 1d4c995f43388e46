"""The ranker on a device: z-scores, blend and trees of all pairs, with the numbers of `recmem.ranking.ranker`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float32, Float64, Int
from torch import Tensor

from recmem.on_device.kept import Kept
from recmem.on_device.segments import Segments, ranks, z_scores
from recmem.on_device.tree_nodes import DeviceTrees
from recmem.on_device.trees import tree_sums
from recmem.ranking.feature_names import RELATIVE_SUFFIX, compared_features
from recmem.ranking.ranker import MIN_TREE_CANDIDATES, Ranker
from recmem.ranking.ranker_inputs import check_present
from recmem.ranking.trees import Trees


@dataclass(frozen=True, eq=False)
class DeviceRanker:
    """A ranker whose trees are on a device."""

    ranker: Ranker
    trees: DeviceTrees

    @classmethod
    def of(cls, ranker: Ranker, device: torch.device) -> DeviceRanker:
        """The ranker on a device. Its trees are put there on the first call, and kept as long as they live."""
        return cls(ranker, _TREES.of(ranker.trees, device, lambda: DeviceTrees.of(ranker.trees.arrays, device)))

    def scores(
        self, features: Mapping[str, Float32[Tensor, " pair"]], queries: Segments, *, trees_share: float = 1.0
    ) -> Float64[Tensor, " pair"]:
        """See `Ranker.scores`."""
        inputs = self._inputs(features, queries)
        blend = self._blend(inputs, queries.n_values)
        if not self.ranker.inputs:
            return blend
        matrix = torch.stack([inputs[name] for name in self.ranker.inputs], dim=1)
        if trees_share >= 1:
            return blend + tree_sums(self.trees, matrix)
        kept = _best_by_blend(blend, queries, trees_share)
        scores = blend.clone()
        scores[kept] += tree_sums(self.trees, matrix[kept])
        # The rest keep their blend, shifted so that the lowest blend that was kept falls on the lowest score there.
        query = queries.index
        lowest_score = _lowest_per_query(scores[kept], query[kept], len(queries))
        lowest_blend = _lowest_per_query(blend[kept], query[kept], len(queries))
        return torch.where(kept, scores, lowest_score[query] - lowest_blend[query] + blend)

    def _inputs(
        self, features: Mapping[str, Float32[Tensor, " pair"]], queries: Segments
    ) -> dict[str, Float32[Tensor, " pair"]]:
        """See `recmem.ranking.ranker_inputs.ranker_inputs`."""
        check_present(self.ranker.features, features)
        inputs = {name: features[name] for name in self.ranker.features}
        compared = compared_features(self.ranker.features)
        if compared:
            relative = z_scores(torch.stack([inputs[name] for name in compared], dim=1), queries)
            inputs |= {name + RELATIVE_SUFFIX: column for name, column in zip(compared, relative.T, strict=True)}
        return inputs

    def _blend(self, inputs: Mapping[str, Float32[Tensor, " pair"]], n_pairs: int) -> Float64[Tensor, " pair"]:
        """See `recmem.ranking.ranker.Blend.scores`."""
        total = torch.zeros(n_pairs, device=self.trees.roots.device)
        # One after the other, as the CPU adds them: a product of matrices adds in an order of its own, and may give two
        # equal rows sums that differ in the last bit.
        for name, weight in self.ranker.blend.weights.items():
            total += float(np.float32(weight)) * torch.nan_to_num(inputs[name], nan=0.0)
        return total.double()


_TREES: Kept[Trees, DeviceTrees] = Kept()


def _best_by_blend(blend: Float64[Tensor, " pair"], queries: Segments, share: float) -> Bool[Tensor, " pair"]:
    """Is the pair among the best `share` of its query, or the best `MIN_TREE_CANDIDATES`?"""
    n_kept = (queries.lengths.double() * share).ceil().clamp(min=MIN_TREE_CANDIDATES)
    return ranks(blend, queries) <= n_kept[queries.index]


def _lowest_per_query(
    scores: Float64[Tensor, " pair"], query: Int[Tensor, " pair"], n_queries: int
) -> Float64[Tensor, " query"]:
    """The lowest score of each query, infinite for queries without one."""
    lowest = torch.full((n_queries,), torch.inf, dtype=scores.dtype, device=scores.device)
    return lowest.scatter_reduce(0, query, scores, "amin")
