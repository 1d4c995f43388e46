"""What was compared with the reference, and how each figure stands: data that page, terminal, JSON and MLflow show."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from recmem.reference.reference import Outcomes

MONITOR_VERSION = 1
"""Of the layout of `monitor.json`."""
Status = Literal["ok", "warn", "alert", "too few"]
"""`too few`: with so few independent rows even a change as large as an alert's could be chance."""
SCORES = "scores"
ROWS = "rows"
EVENTS = "events"
TOPICS = "topics"
OUTCOMES = "outcomes"
"""Groups of findings, beside the groups of features."""
_FIRST = (OUTCOMES, ROWS, EVENTS, TOPICS)
TOPIC_PREFIX = "topic: "
"""Begins the name of a finding on a topic."""
_ORDER: tuple[Status, ...] = ("ok", "too few", "warn", "alert")
"""The worst last."""


@dataclass(frozen=True)
class Limit:
    """A figure's distance from the reference, and what it is held against."""

    value: float
    """NaN where it cannot be computed."""
    chance: float
    """What chance alone reaches between samples of these sizes, see `MonitorConfig.significance`."""
    warn: float
    alert: float

    @property
    def status(self) -> Status:
        """An alert or a warning only beyond chance."""
        if self.value > self.chance:
            if self.value >= self.alert:
                return "alert"
            if self.value >= self.warn:
                return "warn"
        return "too few" if self.chance > self.alert else "ok"

    @property
    def severity(self) -> tuple[int, float]:
        """The larger, the worse: the status, then the distance as a part of that of an alert."""
        return _ORDER.index(self.status), self.value / self.alert


@dataclass(frozen=True)
class Finding:
    """One figure, compared."""

    name: str
    group: str
    """What it is about: a group of features, `scores`, `rows`, `events`, `topics` or `outcomes`."""
    status: Status
    reference: float
    """The median, share or mean of the reference."""
    current: float
    rows: int
    effective: float
    """Effective sample size of the current rows: independent rows that would tell as much."""
    limits: dict[str, Limit]
    """By `psi`, `ks`, `rise`, `change`, `loss` or `ratio`: what was computed of it."""
    note: str = ""
    reference_bins: tuple[float, ...] = ()
    """Share of the rows in each bin of the reference, the last for rows without a value; empty without bins."""
    current_bins: tuple[float, ...] = ()
    edges: tuple[float, ...] = ()
    """Upper ends of the bins but the last."""


@dataclass(frozen=True)
class Topic:
    """A group of items with similar texts, and its share of the events, in the reference's period and now."""

    words: tuple[str, ...]
    """What tells its texts from the others, the most telling first."""
    example: str
    """The item in its middle, as a person reads it; a long title is cut."""
    events: int
    """Events of now."""
    reference: float
    """Share of the positive events in the reference's period."""
    current: float
    change_ci95: tuple[float, float]
    """95% interval of `change`: a bootstrap over users."""
    effective_reference: float
    """Effective sample size of the reference's events."""
    effective_current: float
    is_new: bool
    """Whether the reference has next to none of it."""

    @property
    def change(self) -> float:
        """By how much the share has risen; negative if it has fallen."""
        return self.current - self.reference

    @property
    def name(self) -> str:
        """Its words; its example if no word tells it from others."""
        return ", ".join(self.words) or self.example


@dataclass(frozen=True)
class Monitoring:
    """All findings of one call."""

    model: str
    """As it was given, without secrets."""
    model_version: str
    """`models:/<name>/<version>` if it is a registered one; else empty."""
    learned_until: str
    reference: dict[str, Any]
    """What the reference is of: `source`, `asked`, `queries`, `users`, `rows`, `since`, `until`."""
    current: dict[str, Any]
    """Likewise of what was compared with it, and `rows_in_file`."""
    findings: tuple[Finding, ...]
    reference_outcomes: Outcomes | None = None
    current_outcomes: Outcomes | None = None
    notes: tuple[str, ...] = field(default=())
    """What was not compared, and why; and what else a reader should know."""
    not_compared: tuple[str, ...] = ()
    """Figures of the reference that the rows do not have."""
    topics: tuple[Topic, ...] = ()
    """Topics of what users choose, the largest change first; empty if they were not compared."""

    @property
    def status(self) -> Status:
        """The worst of the findings. `too few` only if nothing could be judged."""
        return overall(finding.status for finding in self.findings)

    def with_status(self, status: Status) -> tuple[Finding, ...]:
        """The findings of this status: outcomes, rows and events first, then features; the largest distance first."""
        found = [finding for finding in self.findings if finding.status == status]
        return tuple(sorted(found, key=_severity, reverse=True))

    def to_json(self) -> str:
        """All of it as a JSON object; a figure that cannot be computed is null."""
        value = {"version": MONITOR_VERSION, "status": self.status} | asdict(self)
        return json.dumps(_without_nan(value), indent=1, allow_nan=False) + "\n"

    def metrics(self) -> dict[str, float]:
        """The figures by the names that they have in MLflow: `psi/<figure>`, `ks/<figure>`, `rise/<share>`, ...

        Of topics: `topics/largest_change` of a share, and `topics/moved_share`, the part of all events that has moved
        from one topic to another.
        """
        by_name = [each for each in self.findings if not each.name.startswith(TOPIC_PREFIX)]
        found = {f"{kind}/{each.name}": limit.value for each in by_name for kind, limit in each.limits.items()}
        if self.topics:
            # Topics are others in every call, so that only figures of all of them can be followed.
            changes = [abs(topic.change) for topic in self.topics]
            found |= {"topics/largest_change": max(changes), "topics/moved_share": sum(changes) / 2}
        found |= {f"{name}_findings": float(len(self.with_status(name))) for name in ("warn", "alert")}
        if self.current_outcomes is not None:
            found["ndcg_at_10"] = self.current_outcomes.ndcg
        return found


def overall(statuses: Iterable[Status]) -> Status:
    """The worst status; `too few` only if there is no other, or none at all."""
    judged = [status for status in statuses if status != "too few"]
    return max(judged, key=_ORDER.index, default="too few")


def worst(limits: Iterable[Limit]) -> Status:
    """The status of a figure with several distances; `too few` if chance explains any size of one that is not worse."""
    return max((limit.status for limit in limits), key=_ORDER.index, default="too few")


def _severity(finding: Finding) -> tuple[bool, float]:
    """What decides the order. An unknown user moves many features, so what rows lack stands before features."""
    distances = [limit.value / limit.alert for limit in finding.limits.values() if not math.isnan(limit.value)]
    return finding.group in _FIRST, max(distances, default=0.0)


def _without_nan(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _without_nan(part) for name, part in value.items()}
    if isinstance(value, list | tuple):
        return [_without_nan(part) for part in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
