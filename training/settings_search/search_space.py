"""Which settings are searched, between which values, and why; all others stay as the base configuration has them.

The groups follow the steps of a training. A trial of the group `ranker` fits rankers only; one of the group `match`
fits the match module and computes the ranker's features anew.

Not searched: what changes the costs of serving more than the figure (`n_heads`, `head_dim`, `members`,
`retrieval.candidates`), what only the second fit of the match module reads, which has no validation queries after it
(`match.continued`, `match.batch.half_life`), and what says which data are read.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from operator import attrgetter
from typing import TYPE_CHECKING, Literal

from training.config import TrainingConfig
from training.configuration.all_settings import all_settings

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution

Group = Literal["ranker", "match"]
Scale = Literal["log", "linear"]
"""Whether a factor counts the same everywhere in the range, as for learning rates, or a difference."""
SIGNIFICANT_DIGITS = 3
"""Of a number that was drawn: more would say nothing, and make a file hard to read."""


@dataclass(frozen=True)
class Dimension:
    """A setting that is searched, and the values that are tried."""

    setting: str
    group: Group
    scale: Scale
    low: float
    high: float
    why: str

    @property
    def is_log(self) -> bool:
        """Whether factors are searched."""
        return self.scale == "log"

    @property
    def is_whole(self) -> bool:
        """Whether the setting is a whole number."""
        return all_settings()[self.setting].annotation is int

    def distribution(self) -> BaseDistribution:
        """The range as Optuna has it."""
        from optuna.distributions import FloatDistribution, IntDistribution

        if self.is_whole:
            return IntDistribution(int(self.low), int(self.high), log=self.is_log)
        return FloatDistribution(self.low, self.high, log=self.is_log)

    def rounded(self, value: float) -> float:
        """A drawn value as a configuration has it: three significant digits, within the range."""
        if self.is_whole:
            return int(value)
        return float(min(max(float(f"{value:.{SIGNIFICANT_DIGITS}g}"), self.low), self.high))

    def from_at_least(self, low: float) -> Dimension:
        """The same without values below `low`."""
        return replace(self, low=max(self.low, low), high=max(self.high, low))

    def with_value(self, value: float) -> Dimension | None:
        """The same with a range that holds the value; None if no range on this scale does."""
        if self.is_log and value <= 0:
            return None
        return replace(self, low=min(self.low, value), high=max(self.high, value))


SEARCH_SPACE = (
    Dimension("ranker.learning_rate", "ranker", "log", 0.02, 0.2, "Many small steps or few large ones."),
    Dimension("ranker.rounds", "ranker", "log", 50, 400, "A low learning rate needs more of them."),
    Dimension("ranker.leaves", "ranker", "log", 3, 63, "How many features a tree may combine: few on a small log."),
    Dimension("ranker.min_rows_in_leaf", "ranker", "log", 30, 3000, "The smaller a leaf, the more it follows chance."),
    Dimension("ranker.l2", "ranker", "log", 0.1, 1000, "Pulls leaves of few pairs towards the linear blend."),
    Dimension("ranker.feature_share", "ranker", "linear", 0.3, 1, "Many features say much the same."),
    Dimension("ranker.row_share", "ranker", "linear", 0.4, 1, "Trees of different queries err differently."),
    Dimension("ranker.blend_l2", "ranker", "log", 1e-5, 1, "What the trees start from."),
    Dimension("new_item_rate", "ranker", "linear", 0, 2, "How far the ranker is taught to rely on texts alone."),
    Dimension("match.learning_rate", "match", "log", 2e-3, 5e-2, "How far the match moves from text similarity."),
    Dimension("match.weight_decay", "match", "log", 5e-3, 0.5, "Holds the projections back where examples are few."),
    Dimension("match.dropout", "match", "linear", 0, 0.5, "The same, on the texts' vectors."),
    Dimension("match.epochs", "match", "log", 5, 80, "Passes over the examples of a small log."),
    Dimension("match.max_steps", "match", "log", 400, 1600, "Steps on a large log, whose passes it cuts off."),
    Dimension("match.batch.negatives", "match", "log", 128, 2048, "More of them are harder, and take longer."),
    Dimension("match.batch.popularity_power", "match", "linear", 0, 1, "Whether the negatives are frequent items."),
    Dimension("memory.recent", "match", "log", 10, 100, "Interests last longer in some logs than in others."),
)  # fmt: skip
"""All settings that are searched; a range widens to hold the base configuration's value."""
GROUPS: tuple[Group, ...] = ("ranker", "match")
"""In the order of what their trials cost."""


def space_of(base: TrainingConfig) -> tuple[Dimension, ...]:
    """What can be searched around a base configuration.

    A setting whose value there is on no logarithmic scale, such as `ranker.l2 = 0`, stays as it is.
    """
    # Fewer steps than the lower bound for them are refused.
    least = {"match.max_steps": base.match.min_steps}
    found = (each.from_at_least(least.get(each.setting, each.low)) for each in SEARCH_SPACE)
    widened = (each.with_value(attrgetter(each.setting)(base)) for each in found)
    return tuple(each for each in widened if each is not None)


def values_of(config: TrainingConfig, dimensions: Sequence[Dimension]) -> dict[str, float]:
    """The configuration's values of the settings that are searched."""
    return {each.setting: attrgetter(each.setting)(config) for each in dimensions}
