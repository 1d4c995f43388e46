"""A log without a positive event teaches nothing: the refusal says which events there are, and what would count."""

from __future__ import annotations

import polars as pl

from feature_store import DataError, SignalConfig

_POSITIVE_SHARE = 0.75
_NEGATIVE_SHARE = 0.25
"""Of the ratings' range; on a scale of 1 to 5 these are the defaults, 4 and 2."""
_N_NAMES = 3


def refuse_without_positives(events: pl.DataFrame, signals: SignalConfig) -> None:
    """Raises DataError that names the ratings, with thresholds that suit them, or the names of the events."""
    is_rating = pl.col("event").is_in(signals.rating_events) & pl.col("value").is_not_null()
    ratings = events.filter(is_rating)["value"]
    consequence = "No event is positive, so there is nothing to learn."
    if len(ratings):
        lowest = float(ratings.min())  # type: ignore[arg-type]
        highest = float(ratings.max())  # type: ignore[arg-type]
        positive, negative = suggested_thresholds(lowest, highest)
        raise DataError(
            f"events.value: expected ratings of at least {signals.positive_from:g} (positive_from), "
            f"got {lowest:g} to {highest:g} in {len(ratings):,} rows. {consequence} If high ratings are good ones, set "
            f"positive_from={positive:g} and negative_to={negative:g} "
            f"(--positive-from {positive:g} --negative-to {negative:g})."
        )
    counts = events["event"].fill_null("no name").value_counts(sort=True).head(_N_NAMES)
    names = ", ".join(f"{name} ({n:,} rows)" for name, n in counts.iter_rows())
    raise DataError(
        f"events.event: expected events that are positive, got only {names}. {consequence} "
        f"{', '.join(signals.negative_events)} are negative, and {', '.join(signals.rating_events)} needs a value."
    )


def suggested_thresholds(lowest: float, highest: float) -> tuple[float, float]:
    """positive_from and negative_to for ratings of this range: its upper and its lower quarter."""
    width = highest - lowest
    if not width:
        return highest, highest - 1
    return lowest + _POSITIVE_SHARE * width, lowest + _NEGATIVE_SHARE * width
