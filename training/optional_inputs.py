"""Optional columns, tables and settings that change what is learned: which a training uses, and how, in words."""

from __future__ import annotations

from collections.abc import Iterator

import polars as pl

from feature_store import DataError
from feature_store.settings import number_text
from training.fitting.fit_ranker import RankerConfig
from training.target_counts import TargetCounts
from training.user_features import UsersConfig, user_feature_names


def used_inputs(
    events: pl.DataFrame, impressions: pl.DataFrame, counts: TargetCounts, *, debiases: bool
) -> Iterator[str]:
    """A sentence about each of weights by name, columns of weights, and positions that the training uses."""
    if counts.weighted:
        listed = ", ".join(map(str, counts.weighted))
        yield f"events.event: as training targets, {listed}; other events weigh 1 ({counts.n_others:,} targets)."
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


def used_users(users: pl.DataFrame, config: UsersConfig, *, has_encoder: bool) -> Iterator[str]:
    """A sentence about how the columns of the users table are taken; nothing without such columns."""
    names = [name for name in config.features or user_feature_names(users, config.interests) if name in users.columns]
    numbers = [name for name in names if users[name].dtype.is_numeric()]
    categories = [name for name in names if name not in numbers]
    interests = config.interests
    parts = [
        f"{', '.join(numbers)} as numbers" if numbers else "",
        f"{', '.join(categories)} as categories" if categories else "",
    ]
    if has_encoder and interests in users.columns and users[interests].count():
        parts.append(f"{interests} as declared interests, compared with the items' texts")
    if any(parts):
        yield f"users: {'; '.join(filter(None, parts))}."


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
