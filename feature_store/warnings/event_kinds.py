"""How the events of each name are taken, and warnings about names that no rule knows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import polars as pl

from feature_store.signals import SignalConfig
from feature_store.warnings.rating_scale import unread_ratings

_MAX_NAMED = 5
_MAX_LISTED = 12
_SIGNS = {1: "positive", 0: "neutral", -1: "negative"}
_REMEDY = "Name them with --positive-events, --negative-events or --neutral-events"


@dataclass(frozen=True)
class EventKind:
    """The events of one name in a log."""

    event: str | None
    """None for events without a name."""
    n_events: int
    n_positive: int
    n_neutral: int
    n_negative: int
    rule: str
    """What decides: "named" (the settings), "common" (a common name), "rating" (the values), "unnamed" (nothing: they
    are neutral), "only" (no rule names them, and no other event would be positive), or "no name"."""

    @property
    def taken_as(self) -> str:
        """`positive`, or `3 positive, 2 negative` where the values decide."""
        counts = {"positive": self.n_positive, "neutral": self.n_neutral, "negative": self.n_negative}
        found = {word: n for word, n in counts.items() if n}
        return next(iter(found)) if len(found) == 1 else ", ".join(f"{n:,} {word}" for word, n in found.items())

    @property
    def reason(self) -> str:
        """The rule in words."""
        return {
            "named": "named by an option",
            "common": "a common name",
            "rating": "by their values",
            "unnamed": "no rule names them",
            "only": "no rule names them, and no others are positive",
            "no name": "without a name",
        }[self.rule]

    def __str__(self) -> str:
        name = "without a name" if self.event is None else repr(self.event)
        return f"{self.n_events:,} {name} ({self.taken_as}{'' if self.event is None else f': {self.reason}'})"


def event_kinds(events: pl.DataFrame, signals: SignalConfig) -> tuple[EventKind, ...]:
    """The kinds of a checked events table, the most frequent first, as a training on it takes them.

    Rows that cancel an event are no events.
    """
    if "cancels" in events.columns:
        events = events.filter(pl.col("cancels").is_null())
    decided = signals.decided(events)
    sign = pl.Series("sign", decided.signs(events))
    rated = decided.is_rating(events).alias("rated")
    # An empty name is none.
    name = pl.when(pl.col("event") != "").then(pl.col("event")).alias("name")
    counts = (
        events.select(name, sign, rated)
        .group_by("name", pl.col("rated") & pl.col("name").is_null())
        .agg(pl.len().alias("n"), *((pl.col("sign") == number).sum().alias(word) for number, word in _SIGNS.items()))
        .sort(["n", "name"], descending=[True, False])
    )
    return tuple(
        EventKind(name, n, positive, neutral, negative, _rule(name, is_rated, signals, decided))
        for name, is_rated, n, positive, neutral, negative in counts.iter_rows()
    )


def listed_kinds(kinds: Sequence[EventKind], *, where: str = "") -> str:
    """The most frequent names of events, with counts and how they are taken; `where` the others can be found."""
    n_more = len(kinds) - _MAX_LISTED
    more = [f"{n_more:,} more {'name' if n_more == 1 else 'names'}{where}"] if n_more > 0 else []
    return "; ".join([*map(str, kinds[:_MAX_LISTED]), *more])


def unnamed_warnings(events: pl.DataFrame, signals: SignalConfig) -> list[str]:
    """A sentence about events that no rule names, as rows that are judged by `signals` or by a later training.

    Nothing where the table has no other positive events: then they are what the log is about. Names of ratings have a
    warning of their own, see `rating_warnings`.
    """
    decided = signals.decided(events)
    ratings = unread_ratings(events, signals)
    unnamed = [kind for kind in event_kinds(events, decided) if kind.rule == "unnamed" and kind.event not in ratings]
    if not unnamed or decided.unnamed == "positive":
        return []
    return [f"event: {_listed(unnamed)} taken as neutral, because no rule names them. {_REMEDY} of `recmem train`."]


def kind_warnings(kinds: tuple[EventKind, ...], *, ratings: Sequence[str] = ()) -> list[str]:
    """Sentences about the kinds of a training's log that no rule names, but for a log of a single kind.

    `ratings`: names of ratings, which have a warning of their own, see `unread_ratings`.
    """
    warnings = []
    is_single = len(kinds) == 1
    kinds = tuple(kind for kind in kinds if kind.event not in ratings)
    neutral = [kind for kind in kinds if kind.rule == "unnamed"]
    if neutral:
        warnings.append(
            f"event: {_listed(neutral)} taken as {neutral[0].taken_as}, because no rule names them. {_REMEDY}."
        )
    positive = [kind for kind in kinds if kind.rule == "only"]
    if positive and not is_single:
        warnings.append(
            f"event: {_listed(positive)} taken as positive: no rule names them, and no other event is positive. "
            f"{_REMEDY}."
        )
    return warnings


def _rule(name: str | None, is_rated: bool, signals: SignalConfig, decided: SignalConfig) -> str:
    if name is None:
        return "rating" if is_rated else "no name"
    judged = decided.judge(name)
    if judged.sign is None:
        return "rating"
    if judged.rule == "named" and signals.judge(name).rule == "unnamed":
        return "only"
    return judged.rule


def _listed(kinds: list[EventKind]) -> str:
    n_events = sum(kind.n_events for kind in kinds)
    names = ", ".join(repr(kind.event) for kind in kinds[:_MAX_NAMED])
    more = f" and {len(kinds) - _MAX_NAMED:,} more" if len(kinds) > _MAX_NAMED else ""
    return f"{names}{more} ({n_events:,} {'row' if n_events == 1 else 'rows'})" + (" is" if n_events == 1 else " are")
