"""Promotion: whether a new version, the challenger, takes the champion's place.

Without a champion, the text features must not make the ranker worse. Against a champion, both have ranked the same
queries (`training.evaluation.champion_figures`), and are compared overall and on every slice:

- *worse*: the 95% interval of the difference lies below zero, overall or on a slice;
- *better*: it lies above zero overall, and the challenger is not worse on any slice;
- *not worse*: all else.

The slices' intervals are wider, so that all of them hold together in 95% of cases: with seven slices at 95% each, one
retrain in six that changes nothing could be refused by chance.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from feature_store.arrays import BoolArray
from training.config import PromotionPolicy
from training.evaluation.build_ledger import paired_slice, slice_entry
from training.evaluation.intervals import paired_bootstrap
from training.evaluation.ledger import HEADLINE_METRIC, WITH_MATCH, Lift, Slice, rounded
from training.evaluation.metrics import PerQuery
from training.evaluation.paired_figures import PairedFigures, paired_differences
from training.evaluation.slices import PositiveSlice
from training.evaluation.verdict import Champion, Comparison, Verdict, difference_text, finding_of

FEWEST_USERS = 20
"""A bootstrap over fewer users gives intervals that are too narrow: neither models nor a slice are judged by it."""
N_RESAMPLES = 10_000
"""More than for other intervals, since those of the slices end further out."""
_TAIL_PERCENT = 2.5


@dataclass(frozen=True)
class TestFigures:
    """A model's figures on the test queries."""

    __test__ = False  # not a test class, whatever its name: pytest would collect it

    digest: str
    """`digest_of_queries` of the test queries."""
    users: NDArray[Any]
    """User of each query."""
    metrics: Mapping[str, PerQuery]


@dataclass(frozen=True)
class Differences:
    """NDCG@10 of champion and challenger on the same queries, overall and per slice."""

    queries: int
    users: int
    lift: Lift
    """`without` is the champion's figure, `with_` the challenger's."""
    slices: Mapping[str, Slice]
    """Slices of at least `FEWEST_USERS` users; the intervals hold together."""
    too_small: tuple[str, ...]
    """Slices of fewer users, which are not judged."""


def differences(
    champion: PerQuery,
    challenger: PerQuery,
    slices: Mapping[str, BoolArray | PositiveSlice],
    users: NDArray[Any],
    *,
    generator: np.random.Generator,
) -> Differences:
    """Compares two models by their NDCG@10 of each query, and by `slices` as the ledger has them.

    In a `PositiveSlice`, `without` are the champion's figures and `with_` the challenger's.
    """
    whole = PairedFigures(champion, challenger)
    interval = paired_bootstrap(champion, challenger, groups=users, n_resamples=N_RESAMPLES, generator=generator)
    by_slice = {
        name: paired_slice(part, {HEADLINE_METRIC: champion}, {HEADLINE_METRIC: challenger})
        for name, part in slices.items()
    }
    judged = {name: figures for name, figures in by_slice.items() if n_users(figures, users) >= FEWEST_USERS}
    entries = {}
    if judged:
        # Bonferroni's: each interval leaves out its share of the 5%.
        tail = _TAIL_PERCENT / len(judged)
        intervals = paired_differences(
            list(judged.values()),
            users,
            n_resamples=N_RESAMPLES,
            percentiles=(tail, 100 - tail),
            generator=generator,
        )
        for (name, figures), (_, low, high) in zip(judged.items(), intervals, strict=True):
            entries[name] = slice_entry(figures, (rounded(low), rounded(high)), slices[name])
    return Differences(
        queries=whole.n_queries,
        users=n_users(whole, users),
        lift=whole.lift((rounded(interval.low), rounded(interval.high))),
        slices=entries,
        too_small=tuple(name for name, figures in by_slice.items() if name not in judged and figures.n_queries),
    )


def n_users(figures: PairedFigures, users: NDArray[Any]) -> int:
    """How many users have a query with both figures."""
    return len(np.unique(users[figures.defined]))


def first_verdict(policy: PromotionPolicy, lift: Lift, ships: str = WITH_MATCH) -> Verdict:
    """Whether a model becomes the first champion: by default if the lift of its own ledger is not negative.

    A model that ships the ranker without text features is that ranker: it has no lift, and nothing to lose.
    """
    stands, words = _on_its_own(lift, ships)
    return Verdict(policy, _decided(policy, stands), "first", f"no champion yet, and {words}")


def verdict_against(policy: PromotionPolicy, champion: Champion, comparison: Comparison) -> Verdict:
    """Whether the challenger takes the champion's place, by their figures on the same queries."""
    finding = finding_of(comparison)
    passes = finding == "better" if policy == "better" else finding != "worse"
    reason = f"{finding} than version {champion.version}: {difference_text(comparison)}"
    return Verdict(policy, _decided(policy, passes), finding, reason, champion, comparison)


def uncompared(policy: PromotionPolicy, champion: Champion, why: str, *, lift: Lift, ships: str) -> Verdict:
    """The verdict if the champion cannot be loaded or scored: not better, and for `not-worse` as if there were none."""
    stands, words = _on_its_own(lift, ships)
    passes = stands and policy != "better"
    reason = f"version {champion.version} cannot be scored ({why}), and {words}"
    return Verdict(policy, _decided(policy, passes), "not compared", reason, champion)


def incomparable(policy: PromotionPolicy, champion: Champion, why: str) -> Verdict:
    """The verdict if too few queries are new to both: the champion stays, unless the policy is `always`."""
    reason = f"version {champion.version} cannot be compared: {why}"
    return Verdict(policy, _decided(policy, passes=False), "not compared", reason, champion)


def _on_its_own(lift: Lift, ships: str) -> tuple[bool, str]:
    """Whether a model is good enough without a champion to compare it with, and why."""
    if ships != WITH_MATCH:
        return True, "the model ranks without the text features"
    is_gain = lift.difference >= 0
    effect = "the text features help" if is_gain else "the text features do not help"
    interval = f"95% interval {lift.ci95[0]:+.4f} to {lift.ci95[1]:+.4f}"
    return is_gain, f"{effect}: {HEADLINE_METRIC} {lift.difference:+.4f} ({interval})"


def _decided(policy: PromotionPolicy, passes: bool) -> bool:
    return policy == "always" or (passes and policy != "never")


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
