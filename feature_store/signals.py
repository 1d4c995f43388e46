"""Which events are positive, neutral or negative for the user's taste in an item."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, Literal, NamedTuple

import polars as pl

from feature_store.arrays import Int8Array
from feature_store.event_names import NEWEST_LIST, common_sign, spelling
from feature_store.settings import check_settings, setting

_NAMES = "a list of names of events"


class Judged(NamedTuple):
    """How the events of one name are taken."""

    sign: int | None
    """+1, 0 or -1; None if by their values, as ratings."""
    rule: Literal["named", "common", "unnamed"]
    """Whether the settings name it, `feature_store.event_names` does, or nothing does."""


@dataclass(frozen=True)
class SignalConfig:
    """Which events are positive, neutral or negative.

    The first that fits counts: the three lists, the ratings, the common names, `unnamed`. An event without a name and
    without a value is positive.
    """

    rating_events: tuple[str, ...] = setting(("rating",))
    """Events whose `value` is a rating. So is a value without an event; if there are no such events, it is none."""
    positive_from: float = setting(4.0)
    """A rating of at least this is positive."""
    negative_to: float = setting(2.0)
    """A rating of at most this is negative; between the two it is neutral."""
    negative_events: tuple[str, ...] = setting((), words=_NAMES)
    """Events that are negative whatever their value."""
    neutral_events: tuple[str, ...] = setting((), words=_NAMES)
    """Events that are neutral: remembered, but neither positive nor negative."""
    positive_events: tuple[str, ...] = setting((), words=_NAMES)
    """Events that are positive whatever their value."""
    common_names: bool = setting(True)
    """Whether names that are common in the field are known (`feature_store.event_names`), and names are the same in
    any case and with `-`, `_` or a space. False for models of before: names count as they are written."""
    name_list: Literal[1, 2] = setting(NEWEST_LIST)
    """Which list of common names is known. The second adds names of GA4, Segment, Snowplow and of media and job sites
    (`product_removed`, `viewItem`, `shown`); models of before were trained with the first."""
    unnamed: Literal["auto", "neutral", "positive"] = setting("auto")
    """How an event is taken whose name nothing above knows. "auto" is for trainings, see `decided`."""

    def __post_init__(self) -> None:
        check_settings(self, self._conflicts)

    def _conflicts(self) -> Iterator[str]:
        if self.negative_to >= self.positive_from:
            yield (
                f"negative_to: expected less than positive_from ({self.positive_from}), got {self.negative_to}. "
                "Leave room for neutral ratings between the two."
            )
        if not self.common_names:
            return
        for first, second in (("positive", "negative"), ("positive", "neutral"), ("negative", "neutral")):
            both = set(self._spelt(f"{first}_events")).intersection(self._spelt(f"{second}_events"))
            if both:
                yield (
                    f"{first}_events, {second}_events: expected each event in one of them, got {min(both)!r} in both. "
                    "Remove it from one."
                )

    def decided(self, events: pl.DataFrame) -> SignalConfig:
        """The rules that a training on this log ships with: they judge an event alone, without the rest of the log.

        Events that no rule names are neutral. But if no event of the log would be positive then, they are what the log
        is about, such as the `build` events of a log that has no others: then those names become positive ones.
        """
        if self.unnamed != "auto":
            return self
        neutral = replace(self, unnamed="neutral")
        if "cancels" in events.columns:
            events = events.filter(pl.col("cancels").is_null())
        unnamed = tuple(kind for kind in _kinds(events) if self.judge(kind).rule == "unnamed")
        if not unnamed or (neutral.signs(events) > 0).any():
            return neutral
        return replace(neutral, positive_events=(*self.positive_events, *unnamed))

    def judge(self, kind: str) -> Judged:
        """How events of this name, which is not empty, are taken."""
        if not self.common_names:
            return self._judge_as_written(kind)
        spelt = spelling(kind)
        for name, sign in (("positive_events", 1), ("negative_events", -1), ("neutral_events", 0)):
            if spelt in self._spelt(name):
                return Judged(sign, "named")
        if spelt in self._spelt("rating_events"):
            return Judged(None, "named")
        common = common_sign(kind, self.name_list)
        if common is not None:
            return Judged(common, "common")
        return Judged(1 if self.unnamed == "positive" else 0, "unnamed")

    def is_rating(self, events: pl.DataFrame) -> pl.Series:
        """Whether each row of the events table is judged by its value: bool[event]."""
        rated = [kind for kind in _kinds(events) if self.judge(kind).sign is None]
        is_rating = pl.col("event").is_in(rated).fill_null(False)
        if self.rating_events:
            # A file of ratings often has no column for the kind of event. Else one star would count as a liked item.
            is_rating |= pl.col("event").is_null() & pl.col("value").is_not_null()
        return events.select(is_rating).to_series()

    def signs(self, events: pl.DataFrame) -> Int8Array:
        """+1 positive, 0 neutral, -1 negative: int8[event]. A rating without a value is neutral."""
        value = pl.col("value")
        rating = pl.when(value >= self.positive_from).then(1).when(value <= self.negative_to).then(-1).otherwise(0)
        judged = {kind: self.judge(kind).sign for kind in _kinds(events)}
        names = {sign: [kind for kind, other in judged.items() if other == sign] for sign in (0, -1)}
        sign = (
            pl.when(self.is_rating(events))
            .then(rating)
            .when(pl.col("event").is_in(names[-1]))
            .then(-1)
            .when(pl.col("event").is_in(names[0]))
            .then(0)
            .otherwise(1)
        )
        return events.select(sign.cast(pl.Int8)).to_series().to_numpy().copy()

    def _judge_as_written(self, kind: str) -> Judged:
        if kind in self.rating_events:
            return Judged(None, "named")
        for names, sign in ((self.negative_events, -1), (self.neutral_events, 0), (self.positive_events, 1)):
            if kind in names:
                return Judged(sign, "named")
        return Judged(0 if self.unnamed == "neutral" else 1, "unnamed")

    def _spelt(self, field: str) -> list[str]:
        return [spelling(name) for name in getattr(self, field)]


RULES_BEFORE: dict[str, Any] = {"positive_events": [], "common_names": False, "unnamed": "positive"}
"""What the settings that were added since were in bundles and memories that lack them, as JSON."""
FIRST_LIST: dict[str, Any] = {"name_list": 1}
"""Likewise, of bundles and memories that know common names already."""


def _kinds(events: pl.DataFrame) -> list[str]:
    """The names of the events, sorted. An empty name is none."""
    kinds = events["event"].unique().drop_nulls().sort().to_list()
    return [kind for kind in kinds if kind]
