"""AUC over impressions: of the ranker with text features, beside what the items' click-through rates alone reach.

Of a small log, no test window has enough impressions for a figure of its own, so those of all folds are also pooled.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from training.evaluation.intervals import paired_bootstrap
from training.evaluation.ledger import Interval, rounded
from training.evaluation.metrics import PerQuery, mean_over_queries


@dataclass(frozen=True, eq=False)
class AucPerQuery:
    """One entry per impression; NaN where all of its items were clicked, or none."""

    users: NDArray[Any]
    ranker: PerQuery
    """Of the ranker with text features."""
    click_through: PerQuery
    """Of the items' smoothed click-through rates as of the impression, which is a feature of the ranker too."""

    @classmethod
    def concat(cls, parts: Sequence[AucPerQuery]) -> AucPerQuery:
        """The impressions of all parts, one part after the other."""
        return cls(
            np.concatenate([part.users for part in parts]),
            np.concatenate([part.ranker for part in parts]),
            np.concatenate([part.click_through for part in parts]),
        )


@dataclass(frozen=True)
class AucFigures:
    """The means over impressions, with intervals: bootstraps over users."""

    queries: int
    """Impressions with a click and another item: the others have no AUC."""
    ranker: float
    ranker_ci95: Interval
    click_through: float
    difference: float
    """Ranker minus click-through."""
    ci95: Interval
    """Of the difference."""

    @classmethod
    def of(cls, auc: AucPerQuery, *, seed: int) -> AucFigures:
        """The figures of these impressions; the same seed gives the same intervals. NaN means are kept as such."""
        defined = ~np.isnan(auc.ranker)
        users = auc.users[defined]
        ranker = auc.ranker[defined]
        click_through = auc.click_through[defined]
        zeros = np.zeros(len(ranker))
        alone = paired_bootstrap(zeros, ranker, groups=users, generator=np.random.default_rng(seed))
        change = paired_bootstrap(click_through, ranker, groups=users, generator=np.random.default_rng(seed))
        return cls(
            queries=len(ranker),
            ranker=rounded(mean_over_queries(ranker)),
            ranker_ci95=(rounded(alone.low), rounded(alone.high)),
            click_through=rounded(mean_over_queries(click_through)),
            difference=rounded(change.difference),
            ci95=(rounded(change.low), rounded(change.high)),
        )
