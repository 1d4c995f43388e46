"""What each kind of memory and of text features is worth on a log: plain data, and its place in `ledger.json`.

`training.ablation` measures it. The file is made to be read by programs: five runs with five seeds are five files, and
`python -m benchmarks.ablation` makes one table of them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from training.evaluation.ledger import Interval, Lift, interval, number

VALIDATION = "validation"
TEST = "test"
PARTS = (VALIDATION, TEST)
"""What is measured on: later queries of the ranker's windows, which decide, and the test, which is only reported."""
ALL = "all"
"""Among the slices: all queries."""


@dataclass(frozen=True)
class Worth:
    """The figures of the same queries without and with a kind."""

    slices: Mapping[str, Lift]
    """`all`, and parts of the queries or of the positives by name; a part that is empty is left out."""

    @property
    def all(self) -> Lift:
        """Of all queries."""
        return self.slices[ALL]


@dataclass(frozen=True)
class KindWorth:
    """A kind of memory or of text features: what it is worth, and whether the training goes on with it."""

    name: str
    words: str
    """Its name for people."""
    was_on: bool
    """In the configuration that was given."""
    is_on: bool
    """In the one that the training went on with."""
    retrained: bool
    """Whether the match module was trained anew to measure it; else the ranker alone."""
    changes: Mapping[str, Any]
    """The settings that switch it over, with their values."""
    parts: Mapping[str, Worth]
    """By part: `validation` and `test`."""
    decides: Interval
    """On validation, the interval that decides: those of all kinds hold together in 95% of cases."""
    again: Interval | None = None
    """The same with the control's seed; None unless the kind passed with the seed that was given."""

    @property
    def gain(self) -> float:
        """What switching it over gains on validation."""
        difference = self.parts[VALIDATION].all.difference
        return -difference if self.was_on else difference

    @property
    def is_switched(self) -> bool:
        """Whether the training went on with it switched over."""
        return self.was_on != self.is_on


@dataclass(frozen=True)
class Ablation:
    """An ablation on one log with one seed."""

    metric: str
    """`ndcg@10`, or `auc` where impressions are ranked."""
    seed: int
    queries: Mapping[str, int]
    """By part."""
    users: Mapping[str, int]
    """By part."""
    figures: Mapping[str, float]
    """By part: the figure of the configuration that was given, of the ranker with text features."""
    control: Mapping[str, Lift]
    """By part: the same configuration with this seed (`without`) and with another one (`with`)."""
    kinds: tuple[KindWorth, ...]
    not_tried: Mapping[str, str] = field(default_factory=dict)
    """The other kinds, by their words, and why they were not tried."""
    changed: Mapping[str, Any] = field(default_factory=dict)
    """Settings that the training went on with, where they are not those that were given."""
    chosen: Mapping[str, Lift] = field(default_factory=dict)
    """By part: what was given (`without`) and what the training went on with (`with`); empty if that is the same."""

    @property
    def switched(self) -> list[KindWorth]:
        """The kinds that the training went on with switched over."""
        return [kind for kind in self.kinds if kind.is_switched]

    def to_document(self) -> dict[str, Any]:
        """The entry `ablation` of `ledger.json`; an undefined figure is NaN here and null there."""
        document = asdict(self)
        document["kinds"] = [_kind_document(kind) for kind in self.kinds]
        for name in ("control", "chosen"):
            document[name] = {part: lift.to_document() for part, lift in getattr(self, name).items()}
        return document

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> Ablation:
        """What `to_document` gave, also from a newer version: entries that are not known are ignored."""
        known = {name: document[name] for name in cls.__dataclass_fields__ if name in document}
        lifts = {
            name: {part: Lift.from_document(entry) for part, entry in document.get(name, {}).items()}
            for name in ("control", "chosen")
        }
        figures = {part: number(value) for part, value in document["figures"].items()}
        kinds = tuple(_kind_from(entry) for entry in document["kinds"])
        return cls(**{**known, **lifts, "figures": figures, "kinds": kinds})

    def metrics(self) -> dict[str, float]:
        """Its figures by the names that they have in MLflow: `ablation_validation/<kind>`, ..."""
        return {
            f"ablation_{part}/{kind.name}": kind.parts[part].all.difference for kind in self.kinds for part in PARTS
        }


def _kind_document(kind: KindWorth) -> dict[str, Any]:
    parts = {
        part: {name: lift.to_document() for name, lift in worth.slices.items()} for part, worth in kind.parts.items()
    }
    return asdict(kind) | {"parts": parts}


def _kind_from(entry: Mapping[str, Any]) -> KindWorth:
    known = {name: entry[name] for name in KindWorth.__dataclass_fields__ if name in entry}
    parts = {
        part: Worth({name: Lift.from_document(lift) for name, lift in slices.items()})
        for part, slices in entry["parts"].items()
    }
    again = entry.get("again")
    intervals = {"decides": interval(entry["decides"]), "again": None if again is None else interval(again)}
    return KindWorth(**{**known, **intervals, "parts": parts})
