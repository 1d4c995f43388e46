"""What the best trial gains over the base configuration, and how much of that may be luck."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import polars as pl

from feature_store.arrays import Float64Array, IntArray
from training.evaluation.intervals import Difference, paired_bootstrap

PARTS = 5
"""Parts of the users for `chosen_elsewhere`."""


@dataclass(frozen=True)
class Gain:
    """Differences of the mean NDCG@10 on the validation queries, with 95% intervals over users."""

    queries: int
    users: int
    best: Difference
    """Of the best trial. It was chosen on these very queries, so it is too high on average."""
    chosen_elsewhere: Difference
    """Of choosing a trial on four fifths of the users and measuring it on the others, for each fifth in turn."""

    @property
    def is_noise(self) -> bool:
        """Whether the gain may be chance alone."""
        return self.best.low <= 0 or self.chosen_elsewhere.difference <= 0


def gain_of(figures: Mapping[int, pl.DataFrame], *, base: int, best: int, seed: int) -> Gain:
    """The gain of the trial `best` over `base`; `figures` are those of all completed trials by their number.

    Each has a row per query: `user`, `time` and `ndcg`. Only queries that all trials have are compared.
    """
    numbers = sorted(figures)
    table = figures[numbers[0]].select("user", "time")
    for number in numbers:
        own = figures[number].select("user", "time", pl.col("ndcg").alias(str(number)))
        table = table.join(own, on=["user", "time"], how="inner", maintain_order="left")
    users = table["user"].to_numpy()
    values = table.select(map(str, numbers)).to_numpy()  # float64[query, trial]
    of_base = values[:, numbers.index(base)]
    of_best = values[:, numbers.index(best)]
    chosen = _chosen_elsewhere(values, users, numbers.index(base), seed)

    def difference(figures_of: Float64Array) -> Difference:
        return paired_bootstrap(of_base, figures_of, groups=users, generator=np.random.default_rng(seed))

    return Gain(len(table), len(np.unique(users)), difference(of_best), difference(chosen))


def _chosen_elsewhere(values: Float64Array, users: IntArray, base: int, seed: int) -> Float64Array:
    """float64[query]: the figures of the trial that is best on the users of the other parts."""
    distinct, user_of_query = np.unique(users, return_inverse=True)
    part_of_user = np.random.default_rng(seed).permutation(len(distinct)) % PARTS
    part = part_of_user[user_of_query]
    chosen = values[:, base].copy()
    for number in range(PARTS):
        is_here = part == number
        if is_here.any() and not is_here.all():
            means = values[~is_here].mean(axis=0)
            # The base configuration, unless another is better.
            winner = base if means[base] >= means.max() else int(means.argmax())
            chosen[is_here] = values[is_here, winner]
    return chosen
