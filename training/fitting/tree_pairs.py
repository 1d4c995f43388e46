"""Pairs as LightGBM is given them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from typing import Any

import lightgbm as lgb
import numpy as np

from feature_store.arrays import BoolArray, Float32Array, Int8Array, IntArray

N_THREADS = 1
"""Of LightGBM in a fit. The seeds of a ranker's trees are fitted side by side, which keeps a few cores busy."""


@dataclass(frozen=True, eq=False)
class TreePairs:
    """Pairs as the trees are fitted on them; the queries are in order of time."""

    matrix: Float32Array
    """[pair, input of the trees]"""
    labels: Int8Array
    lengths: IntArray
    """Pairs of each query."""
    start: Float32Array
    """What the score of each pair begins with, mostly the blend's: the trees learn what to add to it."""
    categorical: tuple[int, ...] = ()
    """The inputs whose values are categories, see `category_positions`."""
    weights: Float32Array | None = None
    """LightGBM multiplies each pair's gradient by its weight; None where all weigh the same."""
    positions: IntArray | None = None
    """The position of each pair, from 0, where clicks are debiased by it: LightGBM learns what each adds to scores."""

    def split(self, n_queries: int) -> tuple[TreePairs, TreePairs]:
        """The first `n_queries` queries, and the others."""
        n_pairs = int(self.lengths[:n_queries].sum())
        early = self._of_pairs(lambda column: column[:n_pairs], self.lengths[:n_queries])
        late = self._of_pairs(lambda column: column[n_pairs:], self.lengths[n_queries:])
        return early, late

    def take(self, kept: BoolArray) -> TreePairs:
        """The pairs where `kept`, an entry per pair, is true."""
        if kept.all():
            return self
        query_of_pair = np.repeat(np.arange(len(self.lengths)), self.lengths)
        lengths = np.bincount(query_of_pair[kept], minlength=len(self.lengths))
        return self._of_pairs(lambda column: column[kept], lengths)

    def dataset(self, names: list[str], reference: lgb.Dataset | None = None) -> lgb.Dataset:
        """The pairs for LightGBM.

        A validation set takes its bins from `reference`. It has neither weights, since figures are unweighted, nor
        positions, of which LightGBM adds nothing to the scores that it measures.
        """
        is_fitted_on = reference is None
        return lgb.Dataset(
            self.matrix,
            label=self.labels,
            weight=self.weights if is_fitted_on else None,
            group=self.lengths,
            init_score=self.start.astype(np.float64),
            feature_name=names,
            categorical_feature=list(self.categorical),
            reference=reference,
            # LightGBM's number of threads is the process's: the default would hold for a fit that runs beside this,
            # whose buffers are for fewer.
            params={"verbose": -1, "deterministic": True, "force_col_wise": True, "num_threads": N_THREADS},
            position=self.positions if is_fitted_on else None,
        )

    def _of_pairs(self, part: Callable[[Any], Any], lengths: IntArray) -> TreePairs:
        """`part` of each array that has an entry per pair."""
        names = (field.name for field in fields(self) if field.name not in ("lengths", "categorical"))
        columns = {name: getattr(self, name) for name in names}
        parts = {name: part(column) for name, column in columns.items() if column is not None}
        return replace(self, lengths=lengths, **parts)
