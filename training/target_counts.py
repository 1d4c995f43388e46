"""How many training targets the events of each weighted name are: a weight acts on these alone.

By default a target is a user's first contact with an item, so a weight of purchases has little to act on where views
come first.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import polars as pl

from feature_store import SignalConfig
from feature_store.event_names import spelling
from feature_store.settings import number_text
from training.event_weights import weights_by_name, weights_of_events
from training.fitting.match_batches import SMALLEST_FIRST_BASKET

LEAST_SHARE = 0.05
"""A weight that acts on a smaller share of its name's events gets a warning ..."""
FEWEST_EVENTS = 20
"""... if there are so many of these."""


@dataclass(frozen=True)
class TargetCount:
    """The positive events of one name that has a weight, and how many of them are targets."""

    name: str
    """As the setting spells it."""
    weight: float
    n_events: int
    n_targets: int

    def __str__(self) -> str:
        targets = f"{self.n_targets:,} {'target' if self.n_targets == 1 else 'targets'}"
        return f"{self.name!r} weighs {number_text(self.weight)} ({targets} of {self.n_events:,} events)"


@dataclass(frozen=True)
class TargetCounts:
    """The counts of all weighted names that have positive events, and the targets of all other events."""

    weighted: tuple[TargetCount, ...] = ()
    n_others: int = 0


def target_counts(
    items: pl.DataFrame, events: pl.DataFrame, texts: Sequence[str], signals: SignalConfig, *, repeats: bool = False
) -> TargetCounts:
    """Counts over the whole log, of the store's tables; nothing is counted without weights (`texts`).

    `repeats`: items that a user has had before are targets too.
    """
    if not texts:
        return TargetCounts()
    signals = signals.decided(events)
    log = _standing(events, items)
    spelt = spelling if signals.common_names else str
    names = {name: spelt(name) for name in log["event"].unique().drop_nulls()}
    rows = log.select(
        pl.col("user_id", "item_id", "timestamp"),
        name=pl.col("event").replace_strict(names, default=None, return_dtype=pl.String),
        weight=pl.Series(weights_of_events(log, texts, signals), dtype=pl.Float64),
        is_positive=pl.Series(signals.signs(log) > 0, dtype=pl.Boolean),
        is_wanted=pl.lit(repeats) | (pl.col("timestamp") == pl.col("timestamp").min().over("user_id", "item_id")),
        has_history=pl.col("timestamp") > pl.col("timestamp").min().over("user_id"),
    )
    n_events = dict(rows.filter("is_positive").group_by("name").len().iter_rows())
    # Of several events of one user, item and time the largest weight counts, as in `training.target_weights`.
    wanted = rows.filter(pl.col("is_positive") & pl.col("is_wanted"))
    targets = wanted.sort("weight", descending=True, maintain_order=True)
    targets = targets.unique(["user_id", "item_id", "timestamp"], keep="first", maintain_order=True)
    # A user's first items are targets if they are a basket, see `training.fitting.match_batches`.
    is_basket = pl.len().over("user_id", "timestamp") >= SMALLEST_FIRST_BASKET
    n_targets = dict(targets.filter(pl.col("has_history") | is_basket).group_by("name").len().iter_rows())
    weighted = tuple(
        TargetCount(name, weight, n_events[spelt(name)], n_targets.pop(spelt(name), 0))
        for name, weight in weights_by_name(texts).items()
        if spelt(name) in n_events
    )
    return TargetCounts(weighted, sum(n_targets.values()))


def target_warnings(counts: TargetCounts) -> Iterator[str]:
    """A sentence or two about each weight that has little to act on."""
    for count in counts.weighted:
        if count.n_events >= FEWEST_EVENTS and count.n_targets < LEAST_SHARE * count.n_events:
            share = count.n_targets / count.n_events
            yield (
                f"event: the weight of {count.name!r} acts on {count.n_targets:,} of its {count.n_events:,} events "
                f"({'under 1%' if 0 < share < 0.01 else f'{share:.0%}'}): targets are a user's first contacts with an "
                f"item, and most of these events come after another one. {REMEDY}"
            )


REMEDY = (
    "Weigh these first contacts instead, in a column `weight` of the events, leave the events that come before out of "
    "the table, or let later contacts count as well: --no-exclude-seen. See docs/weights_and_positions.md."
)


def _standing(events: pl.DataFrame, items: pl.DataFrame) -> pl.DataFrame:
    """The events of known items that were not cancelled."""
    if "cancels" in events.columns:
        cancelled = events["cancels"].drop_nulls().unique()
        is_cancelled = pl.col("event_id").is_in(cancelled.implode()).fill_null(value=False)
        events = events.filter(pl.col("cancels").is_null() & ~is_cancelled)
    return events.join(items.select("item_id"), on="item_id", how="semi", maintain_order="left")
