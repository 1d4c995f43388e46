"""Optional columns and settings that change what is learned: which of them a training uses, in words."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import polars as pl

from feature_store import DataError
from feature_store.settings import number_text
from training.event_weights import weights_by_name
from training.fitting.fit_ranker import RankerConfig


def used_inputs(
    events: pl.DataFrame, impressions: pl.DataFrame, texts: Sequence[str], *, debiases: bool
) -> Iterator[str]:
    """A sentence about each of weights by name, columns of weights, and positions that the training uses."""
    if texts:
        listed = ", ".join(f"{name!r} weighs {number_text(weight)}" for name, weight in weights_by_name(texts).items())
        yield f"events.event: as training targets, {listed}; other events weigh 1."
    for name, table in (("events", events), ("impressions", impressions)):
        if "weight" in table.columns and (n_rows := table["weight"].count()):
            weights = table["weight"].drop_nulls().to_numpy()
            low = number_text(float(weights.min()))
            high = number_text(float(weights.max()))
            yield f"{name}.weight: {n_rows:,} of {len(table):,} rows weigh {low} to {high} in training; others 1."
    if debiases and "position" in impressions.columns:
        yield (
            f"impressions.position: {impressions['position'].drop_nulls().n_unique():,} positions, whose part in the "
            "clicks is learned beside the ranker and left out of its scores. Metrics still count clicks as they are."
        )


def require_weights(impressions: pl.DataFrame) -> None:
    """Raises DataError if impressions have clicks, and all of them weigh nothing."""
    clicked = impressions.filter(pl.col("label") > 0)
    if "weight" in clicked.columns and len(clicked) and (clicked["weight"].fill_null(1.0) == 0).all():
        raise DataError(
            "impressions.weight: expected a weight above 0 for some clicked item, got 0 for all. Without one there is "
            "nothing to learn from. Leave the column empty to weigh all alike."
        )


def require_positions(impressions: pl.DataFrame, config: RankerConfig) -> None:
    """Raises DataError if clicks are to be debiased by positions, and the store's impressions have not two of them."""
    if config.position_debiasing and impressions["position"].drop_nulls().n_unique() < 2:
        got = "no impressions" if impressions.is_empty() else "fewer than two in the store"
        raise DataError(
            f"impressions.position: expected the positions at which items were shown, for position debiasing, got "
            f"{got}. Give the impressions again, with this column: positions of stored impressions are filled in. Or "
            "leave out --position-debiasing."
        )
