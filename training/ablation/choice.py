"""Which kinds a training goes on with: those that were given, but for what validation speaks against.

**The rule.** A kind is switched over - one that is on and hurts, or one that is off and helps - if, on validation,

1. the interval of its difference lies on that side of zero. With n kinds each interval leaves out 5% / n (Bonferroni),
   so of kinds that are worth nothing, the chance of users lets any at all pass in at most 5% of logs;
2. it gains more than the control differs, the same configuration trained with another seed. The interval is over users
   and knows nothing of what a training leaves to chance;
3. the first holds with the control's seed too: the kind is switched over in the control, and measured against it.

What two kinds gain on their own they need not gain together. So if several pass, the configuration with all of them is
measured too, and where that is not better than the best one alone, only that one is switched.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import polars as pl

from training.ablation.kinds import Kind
from training.ablation.plan import Plan
from training.ablation.variant import Variant
from training.configuration.effective import with_values
from training.configuration.given_settings import ConfigError
from training.evaluation.ablation import VALIDATION, KindWorth
from training.evaluation.ledger import Interval
from training.evaluation.metrics import mean_over_queries

CHOSEN = "chosen"


def to_switch(kinds: Sequence[KindWorth], *, control: float) -> list[KindWorth]:
    """The kinds that pass with the seed that was given, those that gain most first.

    `control` is the difference between two seeds.
    """
    passed = [kind for kind in kinds if _speaks_against(kind, kind.decides) and kind.gain > abs(control)]
    return sorted(passed, key=lambda kind: -kind.gain)


def passes_again(kind: KindWorth) -> bool:
    """Whether a kind passes with the control's seed, too."""
    return kind.again is not None and _speaks_against(kind, kind.again)


def chosen_variant(
    plan: Plan, passed: Sequence[KindWorth], figures_of: Callable[[Variant], pl.DataFrame]
) -> tuple[Variant, set[str]]:
    """What the training goes on with, and the names of the kinds that are switched over in it.

    `passed` are those that pass with both seeds, those that gain most first; `figures_of` measures a variant.
    """
    variants = {kind.name: (kind, variant) for kind, variant in plan.tried}
    if not passed:
        return plan.reference, set()
    best = variants[passed[0].name][1]
    if len(passed) > 1:
        together = _together(plan, [variants[each.name][0] for each in passed])
        if together is not None and _validation(figures_of(together)) > _validation(figures_of(best)):
            return together, {each.name for each in passed}
    return best, {passed[0].name}


def _speaks_against(kind: KindWorth, interval: Interval) -> bool:
    """Whether an interval of the kind's worth lies on the side of zero that speaks against what was given."""
    low, high = interval
    return high < 0 if kind.was_on else low > 0


def _together(plan: Plan, kinds: Sequence[Kind]) -> Variant | None:
    """The configuration with all of these kinds switched over; None if their settings exclude each other."""
    config = plan.reference.config
    try:
        for kind in kinds:
            config = with_values(config, kind.switched(config))
    except ConfigError:
        return None
    retrains = any(kind.retrains for kind in kinds)
    return Variant(CHOSEN, config, retrains=retrains, rereads=any(kind.rereads for kind in kinds))


def _validation(figures: pl.DataFrame) -> float:
    return mean_over_queries(figures.filter(part=VALIDATION)["figure"].to_numpy())
