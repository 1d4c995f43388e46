"""What kinds are worth: differences of the figures of the same queries, with paired intervals over users."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import polars as pl

from feature_store.arrays import BoolArray
from training.evaluation.ablation import ALL, PARTS, VALIDATION, Worth
from training.evaluation.intervals import UNKNOWN_INTERVAL, paired_bootstrap
from training.evaluation.ledger import Interval, rounded
from training.evaluation.metrics import PerQuery
from training.evaluation.paired_figures import PairedFigures, paired_differences
from training.evaluation.promotion import FEWEST_USERS
from training.evaluation.slices import MEMORY_SLICES

COLD = "cold items"
ERROR_RATE = 0.05
"""How often the chance of users may let any kind at all pass."""
DECIDING_RESAMPLES = 10_000
"""For the interval that decides, whose ends lie far out."""


def worth_by_part(without: pl.DataFrame, with_: pl.DataFrame, *, seed: int) -> dict[str, Worth]:
    """The figures of both variants by part and slice; both frames are of `variant_figures`, of the same queries."""
    require_same_queries(without, with_)
    return {
        part: _worth(without.filter(part=part), with_.filter(part=part), np.random.default_rng(seed)) for part in PARTS
    }


def deciding_interval(without: pl.DataFrame, with_: pl.DataFrame, *, n_kinds: int, seed: int) -> Interval:
    """The interval of the difference on validation by which a kind is switched, after Bonferroni.

    Those of `n_kinds` kinds hold together in 95% of cases: each leaves out 5% / `n_kinds`. With fewer than
    `FEWEST_USERS` users, over whom the bootstrap's interval is too narrow, it is `UNKNOWN_INTERVAL`, which decides
    nothing.
    """
    before = without.filter(part=VALIDATION)
    after = with_.filter(part=VALIDATION)
    if before["user"].n_unique() < FEWEST_USERS:
        return UNKNOWN_INTERVAL
    tail = 100 * ERROR_RATE / (2 * n_kinds)
    found = paired_bootstrap(
        before["figure"].to_numpy(),
        after["figure"].to_numpy(),
        groups=before["user"].to_numpy(),
        n_resamples=DECIDING_RESAMPLES,
        percentiles=(tail, 100 - tail),
        generator=np.random.default_rng(seed),
    )
    return (found.low, found.high)


def require_same_queries(a: pl.DataFrame, b: pl.DataFrame) -> None:
    """Raises ValueError unless the figures are of the same queries in the same order."""
    key = ("part", "user", "time")
    if not a.select(key).equals(b.select(key)):
        raise ValueError("figures: expected the same queries for all variants, got others. Measure them anew.")


def _worth(without: pl.DataFrame, with_: pl.DataFrame, generator: np.random.Generator) -> Worth:
    paired = _slices(without, with_)
    users = without["user"].to_numpy()
    differences = paired_differences(list(paired.values()), users, generator=generator)
    slices = {}
    for (name, figures), found in zip(paired.items(), differences, strict=True):
        slices[name] = figures.lift((rounded(found.low), rounded(found.high)))
    return Worth(slices)


def _slices(without: pl.DataFrame, with_: pl.DataFrame) -> Mapping[str, PairedFigures]:
    """All queries, those of users with few and many events, and the cold positives; without those that are empty."""
    events = without["events"].to_numpy()
    before: PerQuery = without["figure"].to_numpy()
    after: PerQuery = with_["figure"].to_numpy()

    def among(mask: BoolArray) -> PairedFigures:
        return PairedFigures(np.where(mask, before, np.nan), np.where(mask, after, np.nan))

    found = {ALL: PairedFigures(before, after)}
    found |= {name: among((events >= low) & (events <= high)) for name, (low, high) in MEMORY_SLICES.items()}
    cold = without["cold"].to_numpy()
    found[COLD] = PairedFigures(without["cold_recall"].to_numpy(), with_["cold_recall"].to_numpy(), cold)
    return {name: figures for name, figures in found.items() if figures.n_queries or name == ALL}
