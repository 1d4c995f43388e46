"""Warnings about ratings that do not fit the thresholds: on a scale of 0 to 1 no rating reaches 4."""

from __future__ import annotations

import json
import re

import polars as pl

from feature_store.data_errors import DataError
from feature_store.signals import SignalConfig

_FEWEST = 20
"""Ratings needed to estimate the scale."""
_HIGH = 0.75
_LOW = 0.25
"""Where the suggested thresholds lie on the scale: 4 and 2 of 1 to 5."""
_RATING_KINDS = re.compile(
    r"(product|item|user|movie|book|song|star)?(rate[sd]?|ratings?|review(s|ed)?|stars?|scored?)"
)
"""Names of events whose value is surely a rating, in lower case, letters and digits only."""
_MAX_NAMED = 5
_SIGNS = {1: "positive", 0: "neutral", -1: "negative", None: "by their values"}


def rating_warnings(events: pl.DataFrame, signals: SignalConfig) -> list[str]:
    """What looks wrong about how checked rows of the events table will be judged, a sentence or two each."""
    return [*_without_event(events, signals), *_unread_values(events, signals), *_scale(events, signals)]


def unread_ratings(events: pl.DataFrame, signals: SignalConfig) -> list[str]:
    """Names of events that surely are ratings, by name and values, and whose values are not read; sorted."""
    if not signals.rating_events:
        return []
    counts = events.group_by("event").agg(values=pl.col("value").count()).drop_nulls("event").sort("event")
    return [
        kind
        for kind, n_values in counts.iter_rows()
        if n_values and _is_rated(kind) and signals.judge(kind).sign is not None
    ]


def check_positives(events: pl.DataFrame, signals: SignalConfig) -> None:
    """Raises DataError if no event is positive: then there is nothing to learn from."""
    if not len(events) or (signals.signs(events) > 0).any():
        return
    values = _ratings(events, signals)
    if not len(values):
        kinds = ", ".join(repr(kind) for kind in events["event"].drop_nulls().unique().sort().head(_MAX_NAMED))
        remedy = "Name what is positive with --positive-events (positive_events in Python)."
        raise DataError(f"events.event: expected positive events, got only {kinds}. {remedy}")
    lowest, highest = _range(values)
    raise DataError(
        f"events.value: expected positive events, got none: {len(values):,} ratings lie between "
        f"{lowest:g} and {highest:g}, and positive are those from {signals.positive_from:g} on. "
        f"{_suggestion(values)}"
    )


def _without_event(events: pl.DataFrame, signals: SignalConfig) -> list[str]:
    if not signals.rating_events or not _has_values(events) or not events["event"].null_count():
        return []
    rows = events.filter(pl.col("event").is_null() & pl.col("value").is_not_null())
    if not len(rows):
        return []
    return [
        f"value: {len(rows):,} of {len(events):,} rows have a value, such as {rows['value'][0]:g}, and no event. They "
        f"count as ratings: positive from {signals.positive_from:g} on, negative up to {signals.negative_to:g}. If "
        "`value` is a price or a quantity, name the event, such as 'purchase': then they count as positive."
    ]


def _unread_values(events: pl.DataFrame, signals: SignalConfig) -> list[str]:
    """Names of ratings whose values are not read, and the setting by which they are."""
    ratings = unread_ratings(events, signals)
    if not ratings:
        return []
    decided = signals.decided(events)
    named = ", ".join(f"{kind!r} ({_SIGNS[decided.judge(kind).sign]})" for kind in ratings[:_MAX_NAMED])
    setting = _toml_list([*signals.rating_events, *ratings])
    return [
        f"value: it is not read in rows whose event is {named}, which all count the same, whatever their value. If it "
        f"is a rating, train with --set 'signals.rating_events={setting}'."
    ]


def _scale(events: pl.DataFrame, signals: SignalConfig) -> list[str]:
    if len(events) < _FEWEST or not _has_values(events):
        return []
    values = _ratings(events, signals)
    if len(values) < _FEWEST:
        return []
    lowest, highest = _range(values)
    scale = f"value: {len(values):,} ratings lie between {lowest:g} and {highest:g}"
    judged = f"positive are those from {signals.positive_from:g} on, negative those up to {signals.negative_to:g}"
    if highest < signals.positive_from:
        return [f"{scale}, and none is positive: {judged}. {_suggestion(values)}"]
    if lowest >= signals.positive_from:
        return [f"{scale}, and all are positive: {judged}. {_suggestion(values)}"]
    if signals.positive_from - lowest < (highest - lowest) / 2:
        n_positive = int((values >= signals.positive_from).sum())
        return [f"{scale}, and {n_positive:,} are positive, low ones too: {judged}. {_suggestion(values)}"]
    return []


def _has_values(events: pl.DataFrame) -> bool:
    return events["value"].null_count() < len(events)


def _ratings(events: pl.DataFrame, signals: SignalConfig) -> pl.Series:
    return events["value"].filter(signals.is_rating(events)).drop_nulls()


def _suggestion(values: pl.Series) -> str:
    """Thresholds that fit the scale of the values, as options of `recmem train`."""
    lowest, highest = _range(values)
    if lowest == highest:
        return "Train with --positive-from and --negative-to that fit the scale, or rename the event."
    high = lowest + _HIGH * (highest - lowest)
    low = lowest + _LOW * (highest - lowest)
    positive_from, _ = _range(values.filter(values >= high))
    _, negative_to = _range(values.filter(values <= low))
    return f"For this scale, train with --positive-from {positive_from:.3g} --negative-to {negative_to:.3g}."


def _range(values: pl.Series) -> tuple[float, float]:
    cells = values.to_numpy()
    return float(cells.min()), float(cells.max())


def _toml_list(names: list[str]) -> str:
    """The names as a setting takes them: `["rating", "review"]`."""
    return json.dumps(names, ensure_ascii=False)


def _is_rated(kind: str) -> bool:
    return _RATING_KINDS.fullmatch(_bare(kind)) is not None


def _bare(name: str) -> str:
    """The name in lower case, letters and digits only."""
    return re.sub(r"[\W_]", "", name.casefold())
