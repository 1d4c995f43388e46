"""Compares what became of the watched rows with the reference's outcomes, and with `match_score`."""

from __future__ import annotations

import math
from collections.abc import Iterator

from recmem.reference.reference import Outcomes
from training.monitoring.findings import OUTCOMES, Finding, Limit, worst
from training.monitoring.monitor_config import MonitorConfig


def compared_outcomes(reference: Outcomes | None, current: Outcomes, config: MonitorConfig) -> Iterator[Finding]:
    """NDCG@10 against the reference's, if that is comparable, and the positives against `match_score`."""
    if reference is not None:
        # Of two independent means: the half widths of 95% intervals add up as variances do.
        half_widths = [(high - low) / 2 for low, high in (reference.ndcg_ci95, current.ndcg_ci95)]
        chance = math.hypot(*half_widths) / max(reference.ndcg, 1e-9)
        loss = (reference.ndcg - current.ndcg) / max(reference.ndcg, 1e-9)
        limits = {"loss": Limit(loss, chance, config.ndcg_warn, config.ndcg_alert)}
        yield Finding(
            name="ndcg_at_10",
            group=OUTCOMES,
            status=worst(limits.values()),
            reference=reference.ndcg,
            current=current.ndcg,
            rows=current.queries,
            effective=float(current.users),
            limits=limits,
        )
    low, high = current.ratio_ci95
    ratio = current.observed / max(current.expected, 1e-9)
    times = max(ratio, 1 / max(ratio, 1e-9))
    # From 1 to where the interval would have to be for 1 to lie outside: its own half width.
    chance = max(high / max(ratio, 1e-9), ratio / max(low, 1e-9)) if low > 0 else math.inf
    ratio_limits = {"ratio": Limit(times, chance, config.ratio_warn, config.ratio_alert)}
    yield Finding(
        name="observed_to_expected",
        group=OUTCOMES,
        status=worst(ratio_limits.values()),
        reference=1.0,
        current=ratio,
        rows=current.queries,
        effective=float(current.users),
        limits=ratio_limits,
        note="Share of positives divided by the mean match_score.",
    )
