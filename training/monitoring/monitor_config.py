"""Settings of `recmem monitor`: from where on a difference is worth a look, and from where on it is a change."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields, replace
from difflib import get_close_matches

from feature_store.settings import check_settings, setting, type_hints

_LIMITED = ("psi", "ks", "share", "ndcg", "ratio", "topic")
"""Each has a limit of warnings, `<name>_warn`, and one of alerts, `<name>_alert`."""


@dataclass(frozen=True)
class MonitorConfig:
    """Limits. A figure warns or alerts only if it is also beyond what chance explains at `significance`."""

    psi_warn: float = setting(0.1, above=0)
    """Population stability index from which on a figure warns: the field's rule of thumb."""
    psi_alert: float = setting(0.25, above=0)
    """Population stability index from which on a figure alerts: the field's rule of thumb."""
    ks_warn: float = setting(0.125, above=0, high=1)
    """Kolmogorov-Smirnov distance from which on a figure warns. A shift of a normal distribution with an index of 0.1
    has this distance."""
    ks_alert: float = setting(0.2, above=0, high=1)
    """Kolmogorov-Smirnov distance from which on a figure alerts; likewise for an index of 0.25."""
    share_warn: float = setting(0.05, above=0, high=1)
    """Rise of a share (unknown items, missing values, ...) from which on it warns: 0.05 is five rows more in 100."""
    share_alert: float = setting(0.2, above=0, high=1)
    """Rise of a share from which on it alerts."""
    ndcg_warn: float = setting(0.1, above=0, high=1)
    """Loss of NDCG@10, as a part of the reference's, from which on it warns."""
    ndcg_alert: float = setting(0.25, above=0, high=1)
    """Loss of NDCG@10, as a part of the reference's, from which on it alerts."""
    ratio_warn: float = setting(1.25, above=1)
    """Ratio of the positives to those that `match_score` leads to expect, or its reciprocal, that warns."""
    ratio_alert: float = setting(2.0, above=1)
    """Ratio of the positives to those that `match_score` leads to expect, or its reciprocal, that alerts."""
    topic_warn: float = setting(0.05, above=0, high=1)
    """Change of a topic's share of the events, up or down, from which on it warns: 0.05 is five events in 100."""
    topic_alert: float = setting(0.2, above=0, high=1)
    """Change of a topic's share of the events from which on it alerts."""
    topics: int = setting(20, low=0, high=200)
    """Topics that the texts of the items are divided into, at most; fewer where few items were chosen. 0 for none."""
    topic_events: int = setting(50_000, low=1000, high=100_000_000)
    """Events that topics are compared on, at most, of each period. Of a longer one whole users are drawn."""
    significance: float = setting(0.01, above=0, below=0.5)
    """Chance of any warning or alert at all if nothing has changed: divided by the number of figures (Bonferroni).
    Outcomes do not count among them: they are held against their own 95% intervals."""
    rows: int = setting(200_000, low=1000, high=100_000_000)
    """Rows that are compared, at most. Of a longer file whole queries are taken, by a hash."""
    seed: int = setting(0, low=0, high=2**31 - 1)
    """Random seed of intervals, ties and topics."""

    def __post_init__(self) -> None:
        check_settings(self, self._conflicts)

    def _conflicts(self) -> Iterator[str]:
        for name in _LIMITED:
            warn = f"{name}_warn"
            alert = f"{name}_alert"
            if getattr(self, warn) > getattr(self, alert):
                got = f"{getattr(self, warn)} and {getattr(self, alert)}"
                yield f"{warn}, {alert}: expected a warning before an alert, got {got}. Lower {warn}."


def config_with(assignments: Sequence[str]) -> MonitorConfig:
    """The settings with changes such as `psi_warn=0.2`.

    Raises ValueError with all faults, a line each: no setting of that name, or a value that it cannot have.
    """
    hints = type_hints(MonitorConfig)
    changes: dict[str, float] = {}
    faults = []
    for assignment in assignments:
        name, _, text = (part.strip() for part in assignment.partition("="))
        if name not in hints:
            near = get_close_matches(name, [each.name for each in fields(MonitorConfig)], n=1)
            remedy = f"Did you mean {near[0]}?" if near else f"There are {', '.join(hints)}."
            faults.append(f"{name}: expected the name of a setting, got none. {remedy}")
            continue
        try:
            changes[name] = hints[name](text)
        except ValueError:
            kind = "a whole number" if hints[name] is int else "a number"
            faults.append(f"{name}: expected {kind}, got {text!r}. Write {name}=VALUE.")
    if faults:
        raise ValueError("\n".join(faults))
    return replace(MonitorConfig(), **changes)  # type: ignore[arg-type]
