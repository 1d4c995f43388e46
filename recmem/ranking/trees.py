"""LightGBM's trees: fitted, kept and explained by LightGBM, and scored without it where numba is installed.

LightGBM imports scikit-learn and pandas where they are installed, which takes longer than torch. A process that only
scores does without: the trees are arrays of splits, and each row's walk through them is compiled.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from importlib.util import find_spec
from typing import TYPE_CHECKING

import numpy as np

from feature_store.arrays import Float32Array, Float64Array
from recmem.ranking.tree_arrays import TreeArrays, tree_arrays

if TYPE_CHECKING:
    import lightgbm as lgb


@dataclass(frozen=True, eq=False)
class Trees:
    """Trees in LightGBM's own text format, which `check_trees` has passed."""

    text: str

    @classmethod
    def of(cls, booster: lgb.Booster) -> Trees:
        """The trees of a fitted booster, which is kept."""
        trees = cls(booster.model_to_string())
        trees.__dict__["booster"] = booster  # as `cached_property` keeps it
        return trees

    @cached_property
    def booster(self) -> lgb.Booster:
        """The trees as LightGBM reads them. Raises ValueError if it cannot."""
        import lightgbm as lgb  # slow to import

        try:
            return lgb.Booster(model_str=self.text)
        except lgb.basic.LightGBMError as error:
            raise ValueError(f"ranker.txt: expected trees that LightGBM reads, got an error ({error})") from error

    @cached_property
    def n_inputs(self) -> int:
        """How many inputs the trees read."""
        return self.arrays.n_inputs

    def scores(self, matrix: Float32Array, *, n_threads: int) -> Float64Array:
        """The sum of the trees at each row of float32[pair, input]: LightGBM's raw scores, to the bit."""
        if not len(matrix):
            return np.empty(0)  # LightGBM refuses a matrix without rows
        if find_spec("numba") is None:
            return np.asarray(self.booster.predict(matrix, raw_score=True), np.float64)
        from recmem.ranking.trees_numba import tree_sums  # an extra, and slow to import

        return tree_sums(self.arrays, matrix, n_threads=n_threads)

    @cached_property
    def arrays(self) -> TreeArrays:
        """The trees' splits and leaves."""
        return tree_arrays(self.text)
