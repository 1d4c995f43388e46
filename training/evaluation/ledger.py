"""The lift ledger: what the text features help to the ranker, beside baselines and per slice, with paired intervals.

Plain data and its file, `ledger.json`. `training.evaluation.build_ledger` computes it.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from training.fitting.position_effects import PositionEffect, effects_document, effects_from

LEDGER_VERSION = 2
"""Version of the file's format. 1 (a file without `version`) called the row `text_similarity` `frozen_cosine`."""

WITHOUT_MATCH = "ranker_without_match"
WITH_MATCH = "ranker_with_match"
WITH_SIMILARITY = "ranker_with_text_similarity"
"""The ranker with all text features but those of the trained match."""
HEADLINE_METRIC = "ndcg@10"
UNTRAINED_PART = "untrained text"
LEARNED_PART = "learned match"
SEEDS_LIFT = "lift"
"""In `Ledger.seeds`: the lift of `ranker_with_match`, whose own figure stands there under its name."""

_ROWS_RENAMED_SINCE_1 = {"frozen_cosine": "text_similarity"}
_DIGITS = 6

Interval = tuple[float, float]


@dataclass(frozen=True)
class Protocol:
    """What was evaluated, on what."""

    queries: int
    """Test queries, one per (user, timestamp) or one per impression."""
    catalogue: int
    """Items that can be ranked."""
    test_from: str
    """Start of the test period, ISO 8601."""
    candidates: Literal["catalogue", "impressions"]
    """What a query ranks: the whole catalogue, or the items that were shown."""
    users: int = 0
    positives: int = 0
    exclude_seen: bool = True
    """Whether items that the user already interacted with are left out of the ranking."""
    test_digest: str = ""
    """`digest_of_queries` of the test queries: figures are comparable only if it is the same."""


@dataclass(frozen=True)
class Row:
    """One ranking and its mean figures (NaN if no query has the figure)."""

    name: str
    metrics: Mapping[str, float]


@dataclass(frozen=True)
class Lift:
    """One metric of the ranker without and with the text features; the interval is of the difference."""

    without: float
    with_: float
    difference: float
    ci95: Interval

    def to_document(self) -> dict[str, Any]:
        """The entry of a file, see `nan_to_null`; `with_` is `with` there."""
        return {"without": self.without, "with": self.with_, "difference": self.difference, "ci95": list(self.ci95)}

    @classmethod
    def from_document(cls, entry: Mapping[str, Any]) -> Lift:
        """What `to_document` gave; null is NaN."""
        return cls(
            number(entry["without"]), number(entry["with"]), number(entry["difference"]), interval(entry["ci95"])
        )


@dataclass(frozen=True)
class Slice:
    """`metric` of both rankers over a part of the queries, or of the positives."""

    queries: int
    without: float
    with_: float
    ci95: Interval
    """Of the difference."""
    metric: str = HEADLINE_METRIC
    positives: int | None = None
    """Number of positives in a slice of positives."""
    items: int | None = None
    """Number of distinct items among these positives; None too in a ledger of an earlier version."""

    @property
    def difference(self) -> float:
        """With minus without."""
        return rounded(self.with_ - self.without)


@dataclass(frozen=True)
class HeldOut:
    """Which ranker ships, and the figures that decide: on the ranker's windows, see `training.evaluation.held_out`."""

    ships: str
    """`ranker_with_match` or `ranker_without_match`."""
    queries: int
    lift: Lift | None
    """Of the headline metric; None without a query to test on."""
    cold: Slice | None
    """Positives without an event before; None without any."""


@dataclass(frozen=True)
class Spread:
    """A figure of each member of a mean on its own: models that differ in their seeds alone."""

    values: tuple[float, ...]
    """One per member."""
    mean: float
    deviation: float
    """Standard deviation of one member, not of the mean that ships."""


@dataclass(frozen=True)
class Ledger:
    """All figures of one run, rounded to six digits."""

    protocol: Protocol
    rows: tuple[Row, ...]
    lift: Mapping[str, Lift]
    slices: Mapping[str, Slice]
    retrieval: Mapping[str, float] = field(default_factory=dict)
    parts: Mapping[str, Lift] = field(default_factory=dict)
    """What the headline's lift is made of: `untrained text`, and what `learned match` adds to that. Empty in a ledger
    of an earlier version."""
    held_out: HeldOut | None = None
    """What decided which ranker ships; None in a ledger of an earlier version."""
    seeds: Mapping[str, Spread] = field(default_factory=dict)
    """Spread of the headline metric over the members of the mean: of `ranker_with_match`, and of its `lift`. Empty if
    nothing is averaged. See `training.evaluation.seed_spread` for what it leaves out."""
    positions: tuple[PositionEffect, ...] = ()
    """What the ranker that ships has learned of the positions, before its refit; empty without position debiasing."""

    ablation: Mapping[str, Any] = field(default_factory=dict)
    """What each kind of memory and of text features is worth, see `training.evaluation.ablation`; empty without
    --ablate."""

    @property
    def ships(self) -> str:
        """The ranker of the bundle."""
        return WITH_MATCH if self.held_out is None else self.held_out.ships

    @property
    def shipped_lift(self) -> Lift:
        """The headline's lift of the ranker that ships over the one without text features: zero if that ships."""
        lift = self.lift[HEADLINE_METRIC]
        return lift if self.ships == WITH_MATCH else Lift(lift.without, lift.without, 0.0, (0.0, 0.0))

    def row(self, name: str) -> Row | None:
        """The row of this name, or None."""
        return next((row for row in self.rows if row.name == name), None)

    def to_json(self) -> str:
        """The text of `ledger.json`; an undefined figure is null."""
        document = {
            "version": LEDGER_VERSION,
            "protocol": asdict(self.protocol),
            "rows": [{"name": row.name, **row.metrics} for row in self.rows],
            "lift": {metric: lift.to_document() for metric, lift in self.lift.items()},
            "slices": {name: _with_json_names(asdict(part)) for name, part in self.slices.items()},
            "retrieval": dict(self.retrieval),
        }
        if self.parts:
            document["parts"] = {name: part.to_document() for name, part in self.parts.items()}
        if self.held_out:
            document["ships"] = self.ships
            document["held_out"] = _held_out_document(self.held_out)
        if self.seeds:
            document["seeds"] = {name: asdict(spread) for name, spread in self.seeds.items()}
        if self.positions:
            document["positions"] = effects_document(self.positions)
        if self.ablation:
            document["ablation"] = dict(self.ablation)
        return json.dumps(nan_to_null(document), indent=2, ensure_ascii=False, allow_nan=False) + "\n"

    @classmethod
    def from_json(cls, text: str) -> Ledger:
        """The ledger that this or an older version wrote; unknown keys, of a newer version, are ignored."""
        document = json.loads(text)
        version = document.get("version", 1)
        if not isinstance(version, int) or version < 1:
            raise ValueError(
                f"ledger.version: expected a number from 1, got {version!r}. Is this a ledger that recmem wrote?"
            )
        renamed = _ROWS_RENAMED_SINCE_1 if version < LEDGER_VERSION else {}
        return cls(
            protocol=Protocol(**_known(Protocol, document["protocol"])),
            rows=tuple(Row(renamed.get(row["name"], row["name"]), _floats(row)) for row in document["rows"]),
            lift={metric: Lift.from_document(entry) for metric, entry in document["lift"].items()},
            slices={name: _slice_from(entry) for name, entry in document["slices"].items()},
            retrieval=_floats(document.get("retrieval", {})),
            parts={name: Lift.from_document(entry) for name, entry in document.get("parts", {}).items()},
            held_out=_held_out_from(document["held_out"]) if "held_out" in document else None,
            seeds={name: _spread_from(entry) for name, entry in document.get("seeds", {}).items()},
            positions=effects_from(document.get("positions", ())),
            ablation=document.get("ablation", {}),
        )


def rounded(value: float) -> float:
    """A figure as the ledger holds it: six digits."""
    # Adding zero turns -0.0, which JSON would write as such, into 0.0.
    return round(float(value), _DIGITS) + 0.0


def _with_json_names(entry: dict[str, Any]) -> dict[str, Any]:
    """Python's `with_` is `with` in the file; entries that are None are not written."""
    return {key.rstrip("_"): value for key, value in entry.items() if value is not None}


def nan_to_null(value: Any) -> Any:
    """A document with null for each undefined figure, since JSON has no NaN."""
    if isinstance(value, Mapping):
        return {key: nan_to_null(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [nan_to_null(entry) for entry in value]
    return None if isinstance(value, float) and math.isnan(value) else value


def _floats(entry: Mapping[str, Any]) -> dict[str, float]:
    return {key: number(value) for key, value in entry.items() if value is None or isinstance(value, int | float)}


def number(value: float | None) -> float:
    """A figure of a file: null is NaN."""
    return math.nan if value is None else float(value)


def _known(kind: type[Any], entry: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in entry.items() if key in kind.__dataclass_fields__}


def interval(entry: Sequence[float | None]) -> Interval:
    """The ends of an interval of a file."""
    low, high = entry
    return number(low), number(high)


def _slice_from(entry: Mapping[str, Any]) -> Slice:
    return Slice(
        queries=entry["queries"],
        without=number(entry["without"]),
        with_=number(entry["with"]),
        ci95=interval(entry["ci95"]),
        metric=entry.get("metric", HEADLINE_METRIC),
        positives=entry.get("positives"),
        items=entry.get("items"),
    )


def _held_out_document(held_out: HeldOut) -> dict[str, Any]:
    document: dict[str, Any] = {"ships": held_out.ships, "queries": held_out.queries}
    if held_out.lift is not None:
        document["lift"] = held_out.lift.to_document()
    if held_out.cold is not None:
        document["cold"] = _with_json_names(asdict(held_out.cold))
    return document


def _held_out_from(entry: Mapping[str, Any]) -> HeldOut:
    return HeldOut(
        ships=entry["ships"],
        queries=entry["queries"],
        lift=Lift.from_document(entry["lift"]) if "lift" in entry else None,
        cold=_slice_from(entry["cold"]) if "cold" in entry else None,
    )


def held_out_from_json(text: str) -> HeldOut:
    """What `held_out_to_json` wrote."""
    return _held_out_from(json.loads(text))


def held_out_to_json(held_out: HeldOut) -> str:
    """The entry `held_out` of `ledger.json`, on its own."""
    return json.dumps(nan_to_null(_held_out_document(held_out)), indent=2, allow_nan=False) + "\n"


def _spread_from(entry: Mapping[str, Any]) -> Spread:
    return Spread(tuple(number(value) for value in entry["values"]), number(entry["mean"]), number(entry["deviation"]))
