"""The oracle: plain Python loops over single events and numbers, in float64, straight from the definitions.

It imports nothing that it tests.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

PRIOR_SHOWN = 20
LOGIT_LIMIT = 30.0


# What was known


@dataclass(frozen=True)
class Event:
    """One event by row numbers; times in microseconds."""

    user: int
    item: int
    time: int
    kind: str = "click"
    value: float | None = None
    available: int | None = None


@dataclass(frozen=True)
class Showing:
    """One item of an impression: who was shown it, when, and whether it was clicked."""

    impression: int
    user: int
    item: int
    time: int
    label: int


def is_known(event: Event, time: int) -> bool:
    """It happened strictly before the time, and had arrived by then."""
    return event.time < time and (event.available is None or event.available <= time)


def sign(event: Event) -> int:
    """+1 positive, 0 neutral, -1 negative, by the default configuration."""
    if event.kind == "skip":
        return -1
    if event.kind == "build":
        return 0
    if event.kind == "build":
        return 0
    if event.kind != "rating":
        return 1
    if event.value is None:
        return 0
    return 1 if event.value >= 4 else -1 if event.value <= 2 else 0


def first_known(event: Event) -> int:
    """The first whole microsecond at which the event is known."""
    return next(time for time in range(event.time, 10**9) if is_known(event, time))


def in_order(log: Sequence[Event]) -> list[Event]:
    """By when the events became known; ties by when they happened, then by rows."""
    return sorted(log, key=lambda event: (first_known(event), event.time, event.user, event.item, sign(event)))


class Remembered(NamedTuple):
    """One event of a history."""

    item: int
    time: int
    sign: int
    recency: int


def history(log: Sequence[Event], user: int, time: int, limit: int) -> list[Remembered]:
    """The newest `limit` known events of the user; recency counts the changes of time up to the newest."""
    known = [event for event in in_order(log) if event.user == user and is_known(event, time)][-limit:]
    remembered = []
    for place, event in enumerate(known):
        later = known[place:]
        recency = sum(later[n].time != later[n + 1].time for n in range(len(later) - 1))
        remembered.append(Remembered(event.item, event.time, sign(event), recency))
    return remembered


# Counters


def item_counters(log: Sequence[Event], item: int, time: int, windows: dict[str, int], span: int) -> dict[str, float]:
    """Counters of one item as of one time; windows reach back from it by when events became known."""
    known = [event for event in in_order(log) if event.item == item and is_known(event, time)]
    recent = {name: sum(not is_known(event, time - width) for event in known) for name, width in windows.items()}
    return {
        "popularity": math.log1p(len(known)),
        **{f"popularity_{name}": math.log1p(count) for name, count in recent.items()},
        "trend": (recent["medium"] + 1) / (recent["long"] + windows["long"] / windows["medium"]),
        "item_age": (time - known[0].time) / span if known else -1.0,
    }


def user_counters(log: Sequence[Event], user: int, time: int, short: int) -> dict[str, float]:
    """Counters of one user as of one time."""
    known = [event for event in in_order(log) if event.user == user and is_known(event, time)]
    gap = math.log1p((time - known[-1].time) / short) if known else -1.0
    return {"user_events": math.log1p(len(known)), "user_gap": gap}


def item_last(log: Sequence[Event], item: int, time: int) -> tuple[int, int] | None:
    """When the newest event of an item became known, and when it happened; None where none is known at the time."""
    known = [(event.time, first_known(event)) for event in log if event.item == item and is_known(event, time)]
    if not known:
        return None
    happened, became_known = max(known)
    return became_known, happened


def click_counters(showings: Sequence[Showing], item: int, time: int) -> dict[str, float]:
    """Click-through of one item as of one time, smoothed towards the average of all items."""
    before = [row for row in showings if row.time < time]
    of_item = [row for row in before if row.item == item]
    average = (sum(row.label for row in before) + 1) / (len(before) + PRIOR_SHOWN)
    clicks = sum(row.label for row in of_item)
    return {
        "click_through": (clicks + PRIOR_SHOWN * average) / (len(of_item) + PRIOR_SHOWN),
        "shown": math.log1p(len(of_item)),
    }


# Item-item models


def visits(log: Sequence[Event]) -> dict[int, list[list[Event]]]:
    """The events of each visit of each user, in order of time."""
    found: dict[int, dict[int, list[Event]]] = {}
    for event in sorted(log, key=lambda event: event.time):
        found.setdefault(event.user, {}).setdefault(event.time, []).append(event)
    return {user: list(by_time.values()) for user, by_time in found.items()}


def pair_counts(log: Sequence[Event], n_items: int) -> Floats:
    """How many users interacted with both items; on the diagonal, with one."""
    counts = np.zeros((n_items, n_items))
    for user in {event.user for event in log}:
        mine = {event.item for event in log if event.user == user}
        for a in mine:
            for b in mine:
                counts[a, b] += 1
    return counts


def together(log: Sequence[Event], n_items: int, shrinkage: float) -> Floats:
    """Shrunk cosine of the users who interacted with both items; 0 on the diagonal."""
    counts = pair_counts(log, n_items)
    weights = np.zeros_like(counts)
    for a in range(n_items):
        for b in range(n_items):
            if a != b:
                weights[a, b] = counts[a, b] / (math.sqrt(counts[a, a] * counts[b, b]) + shrinkage)
    return weights


def follow(log: Sequence[Event], n_items: int, lags: int) -> Floats:
    """1 / lag for every (event, positive event `lag` visits later), over the root of both items' totals + 1.

    An event weighs 1 / sqrt(events of its visit).
    """
    weights = np.zeros((n_items, n_items))
    for of_user in visits(log).values():
        for number, visit in enumerate(of_user):
            for lag, later in enumerate(of_user[number + 1 : number + 1 + lags], start=1):
                for event in visit:
                    for follower in later:
                        if sign(follower) > 0 and event.item != follower.item:
                            share = 1 / math.sqrt(len(visit)) / math.sqrt(len(later))
                            weights[event.item, follower.item] += share / lag
    return weights / np.sqrt(weights.sum(1, keepdims=True) + 1) / np.sqrt(weights.sum(0, keepdims=True) + 1)


def near(log: Sequence[Event], n_items: int, lags: int, shrinkage: float) -> Floats:
    """exp(-lag / 5) for every two events `lag` visits apart, over a shrunk norm of both items' users.

    An event weighs 1 / sqrt(events of its visit). 0 on the diagonal.
    """
    weights = np.zeros((n_items, n_items))
    for of_user in visits(log).values():
        for here, visit in enumerate(of_user):
            for there, other in enumerate(of_user):
                lag = abs(there - here)
                if lag <= lags:
                    share = math.exp(-lag / 5) / math.sqrt(len(visit)) / math.sqrt(len(other))
                    for event in visit:
                        for neighbour in other:
                            weights[event.item, neighbour.item] += share
    n_users = np.diag(pair_counts(log, n_items))
    np.fill_diagonal(weights, 0)
    return weights / (np.sqrt(n_users[:, None] * n_users) + shrinkage)


def ease(log: Sequence[Event], n_items: int, ridge: float, text_gram: Floats | None = None) -> Floats:
    """EASE: each column is the ridge regression of one item on the others; negative weights left out."""
    counts = pair_counts(log, n_items)
    if text_gram is not None:
        counts = counts + text_gram
    weights = np.zeros_like(counts)
    for target in range(n_items):
        others = [item for item in range(n_items) if item != target]
        gram = counts[np.ix_(others, others)] + ridge * np.eye(len(others))
        weights[others, target] = np.linalg.solve(gram, counts[others, target])
    return np.maximum(weights, 0)


# Features


def z_scores(values: Sequence[float], smallest: float = 1e-6) -> list[float]:
    """Within one query: standard deviations above the mean of the known values; 0 where all are alike."""
    known = [float(value) for value in values if not math.isnan(value)]
    mean = math.fsum(known) / len(known) if known else 0.0
    spread = math.sqrt(math.fsum((value - mean) ** 2 for value in known) / len(known)) if known else 0.0
    return [
        math.nan if math.isnan(value) else 0.0 if spread < smallest else (float(value) - mean) / spread
        for value in values
    ]


def similarities(unit: Floats, slots: Sequence[int], signs: Sequence[int], candidate: int) -> dict[str, float]:
    """Pooled cosines of one candidate with one memory; negative slots count only where there are no others."""
    liked = [row for row, sign in zip(slots, signs, strict=True) if sign >= 0] or list(slots)
    cosines = [float(unit[candidate] @ unit[row]) for row in liked]
    best = sorted(cosines, reverse=True)[:3]
    return {
        "similarity_max": max(cosines, default=0.0),
        "similarity_mean": sum(cosines) / len(cosines) if cosines else 0.0,
        "similarity_top3": sum(best) / len(best) if best else 0.0,
        "similarity_last": cosines[-1] if cosines else 0.0,
    }


# The match


class Match(NamedTuple):
    """One score and its parts."""

    prior: float
    null: float
    slots: list[float]

    @property
    def score(self) -> float:
        return self.prior + self.null + math.fsum(self.slots)


def match(
    tables: dict[str, Floats], slots: Sequence[int], bias: Floats, sign: Floats, candidate: int, n_heads: int
) -> Match:
    """One candidate scored against one memory: the formula at the top of `match_reference`, a number at a time.

    `tables` are the fields of `MatchTables` by name, `bias` and `sign` are [slot, head].
    """
    parts = [0.0] * len(slots)
    null_part = 0.0
    for head in range(n_heads):
        weights, values = [], []
        for place, slot in enumerate(slots):
            cosine = _dot(tables["unit"][candidate], tables["unit"][slot])
            query = _head(tables["query"][candidate], head, n_heads)
            key = _head(tables["key"][slot], head, n_heads)
            logit = _dot(query, key) + tables["alpha"][head] * cosine + bias[place, head]
            weights.append(math.exp(_clamp(logit)))
            probe = _head(tables["probe"][candidate], head, n_heads)
            value = _head(tables["value"][slot], head, n_heads)
            values.append(_dot(probe, value) + tables["gamma"][head] * cosine)
        null = math.exp(_clamp(tables["null_logit"][head]))
        total = null + math.fsum(weights)
        null_part += null * tables["null_value"][candidate, head] / total
        for place, (weight, x) in enumerate(zip(weights, values, strict=True)):
            parts[place] += weight * sign[place, head] * x / total
    return Match(float(tables["prior"][candidate]), float(null_part), [float(part) for part in parts])


def _dot(a: Floats, b: Floats) -> float:
    return math.fsum(float(x) * float(y) for x, y in zip(a, b, strict=True))


def _head(row: Floats, head: int, n_heads: int) -> Floats:
    head_dim = len(row) // n_heads
    return row[head * head_dim : (head + 1) * head_dim]


def _clamp(logit: float) -> float:
    return max(-LOGIT_LIMIT, min(LOGIT_LIMIT, float(logit)))
