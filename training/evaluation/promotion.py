"""Promotion: whether a new model becomes the champion.

Without a champion, the match must not make the ranker worse (`first_verdict`). Against a champion, the challenger must
be better on the same test queries, by an interval above zero (`better_than`).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from training.evaluation.intervals import paired_bootstrap
from training.evaluation.ledger import HEADLINE_METRIC, WITH_MATCH, Lift, rounded
from training.evaluation.metrics import PerQuery
from training.evaluation.paired_figures import PairedFigures


@dataclass(frozen=True)
class TestFigures:
    """A model's figures on the test queries, kept with it so that a later model can be compared with it."""

    __test__ = False  # not a test class, whatever its name: pytest would collect it

    digest: str
    """`digest_of_queries` of the test queries."""
    users: NDArray[Any]
    """User of each query."""
    metrics: Mapping[str, PerQuery]


@dataclass(frozen=True)
class Verdict:
    """Whether the challenger is better, and why, as a sentence."""

    better: bool
    reason: str
    lift: Lift | None = None
    """None if the two could not be compared."""


def first_verdict(lift: Lift, ships: str = WITH_MATCH) -> Verdict:
    """Whether a model becomes the first champion: if the lift of its own ledger is not negative.

    A model that ships the ranker without text features is that ranker: it has no lift, and nothing to lose.
    """
    if ships != WITH_MATCH:
        return Verdict(True, "no champion yet, and the model ranks without the text features", lift)
    is_gain = lift.difference >= 0
    effect = "the text features help" if is_gain else "the text features do not help"
    interval = f"95% interval {lift.ci95[0]:+.4f} to {lift.ci95[1]:+.4f}"
    reason = f"no champion yet, and {effect}: {HEADLINE_METRIC} {lift.difference:+.4f} ({interval})"
    return Verdict(is_gain, reason, lift)


def better_than(
    champion: TestFigures,
    challenger: TestFigures,
    *,
    metric: str = HEADLINE_METRIC,
    n_resamples: int = 2000,
    generator: np.random.Generator,
) -> Verdict:
    """Better only if, on the same test queries, the 95% interval of challenger - champion lies entirely above zero."""
    if champion.digest != challenger.digest:
        return Verdict(
            better=False,
            reason=f"not comparable: measured on other test queries ({champion.digest}, not {challenger.digest})",
        )
    figures = PairedFigures(champion.metrics[metric], challenger.metrics[metric])
    interval = paired_bootstrap(
        figures.without, figures.with_, groups=challenger.users, n_resamples=n_resamples, generator=generator
    )
    lift = figures.lift((rounded(interval.low), rounded(interval.high)))
    low, high = lift.ci95
    better = low > 0
    finding = "better" if better else "not shown to be better"
    return Verdict(
        better,
        f"{finding}: {metric} {lift.without:.4f} to {lift.with_:.4f} "
        f"({lift.difference:+.4f}, 95% interval {low:+.4f} to {high:+.4f})",
        lift,
    )


def digest_of_queries(*columns: NDArray[Any]) -> str:
    """A short hash of the test queries: of the values and order of the columns (users, times, offsets, positive items).

    Integers, strings and times count by value, so that int32 and int64 of the same numbers give the same digest.
    """
    digest = hashlib.sha256()
    for column in columns:
        values = column.astype("datetime64[us]").astype(np.int64) if column.dtype.kind == "M" else column
        digest.update(json.dumps(values.tolist(), ensure_ascii=True).encode())
        digest.update(b"\n")
    return digest.hexdigest()[:16]
