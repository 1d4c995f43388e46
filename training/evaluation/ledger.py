"""The lift ledger: what the match score adds to the ranker, beside baselines and per slice, with paired intervals.

`build_ledger` turns figures of queries into a `Ledger`, whose `to_json` is the file `ledger.json`; `better_than` asks
whether a challenger may take the champion's place.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from feature_store.arrays import BoolArray, IntArray
from training.evaluation.intervals import paired_bootstrap, paired_bootstraps
from training.evaluation.metrics import (
    Offsets,
    PerPositive,
    PerQuery,
    mean_over_queries,
    recall,
)

WITHOUT_MATCH = "ranker_without_match"
WITH_MATCH = "ranker_with_match"
HEADLINE_METRIC = "ndcg@10"

_DIGITS = 6

Interval = tuple[float, float]


@dataclass(frozen=True)
class Protocol:
    """What was measured."""

    queries: int
    """Test queries, one a (user, timestamp) or one an impression."""
    catalogue: int
    """Items that can be ranked."""
    test_from: str
    """The first moment of the test period, ISO 8601."""
    candidates: Literal["catalogue", "impressions"]
    """What a query ranks: the whole catalogue, or what was shown."""
    users: int = 0
    positives: int = 0
    exclude_seen: bool = True
    """Whether items that the user already has are left out of the ranking."""
    test_digest: str = ""
    """`digest_of_queries` of the test queries: figures compare only where it is the same."""


@dataclass(frozen=True)
class Row:
    """One ranking and its mean figures (NaN where no query has the figure)."""

    name: str
    metrics: Mapping[str, float]


@dataclass(frozen=True)
class Lift:
    """One metric of the ranker without and with the match score; the interval is of the difference."""

    without: float
    with_: float
    difference: float
    ci95: Interval


@dataclass(frozen=True)
class Slice:
    """`metric` of both rankers over a part of the queries, or of the positives."""

    queries: int
    without: float
    with_: float
    ci95: Interval
    metric: str = HEADLINE_METRIC
    positives: int | None = None
    """How many positives the slice counts, where it is a slice of positives."""

    @property
    def difference(self) -> float:
        """With minus without."""
        return _figure(self.with_ - self.without)


@dataclass(frozen=True)
class PositiveSlice:
    """A slice of positives, as figures of queries: NaN where a query has none of these positives."""

    metric: str
    without: PerQuery
    with_: PerQuery
    n_positives: IntArray
    """Positives of the slice in each query. They weigh the queries: a recall is the share of the positives found."""

    @classmethod
    def of_recall(
        cls,
        ranks_without: PerPositive,
        ranks_with: PerPositive,
        offsets: Offsets,
        *,
        among: BoolArray,
        k: int = 10,
    ) -> PositiveSlice:
        """Recall@k of the positives under the mask `among`; both rankings give the ranks of the same positives."""
        counts = np.bincount(np.repeat(np.arange(len(offsets) - 1), np.diff(offsets)), among, len(offsets) - 1)
        return cls(
            metric=f"recall@{k}",
            without=recall(ranks_without, offsets, k=k, among=among),
            with_=recall(ranks_with, offsets, k=k, among=among),
            n_positives=counts.astype(np.int64),
        )


@dataclass(frozen=True)
class Ledger:
    """All figures of one run, rounded to six digits."""

    protocol: Protocol
    rows: tuple[Row, ...]
    lift: Mapping[str, Lift]
    slices: Mapping[str, Slice]
    retrieval: Mapping[str, float] = field(default_factory=dict)

    def row(self, name: str) -> Row | None:
        """The row of this name, or None."""
        return next((row for row in self.rows if row.name == name), None)

    def to_json(self) -> str:
        """The text of `ledger.json`; an undefined figure is null."""
        document = {
            "protocol": asdict(self.protocol),
            "rows": [{"name": row.name, **row.metrics} for row in self.rows],
            "lift": {metric: _with_json_names(asdict(lift)) for metric, lift in self.lift.items()},
            "slices": {name: _with_json_names(asdict(part)) for name, part in self.slices.items()},
            "retrieval": dict(self.retrieval),
        }
        return json.dumps(_nan_to_null(document), indent=2, ensure_ascii=False, allow_nan=False) + "\n"

    @classmethod
    def from_json(cls, text: str) -> Ledger:
        """The ledger that `to_json` wrote; keys that it does not know are passed over."""
        document = json.loads(text)
        return cls(
            protocol=Protocol(**_known(Protocol, document["protocol"])),
            rows=tuple(Row(row["name"], _floats(row)) for row in document["rows"]),
            lift={metric: _lift_from(entry) for metric, entry in document["lift"].items()},
            slices={name: _slice_from(entry) for name, entry in document["slices"].items()},
            retrieval=_floats(document.get("retrieval", {})),
        )


# Building


def build_ledger(
    protocol: Protocol,
    per_query: Mapping[str, Mapping[str, PerQuery]],
    slices: Mapping[str, BoolArray | PositiveSlice],
    users: NDArray[Any],
    *,
    generator: np.random.Generator,
    retrieval: Mapping[str, float] | None = None,
    n_resamples: int = 2000,
) -> Ledger:
    """The ledger of a run; the same seed gives the same text, byte for byte.

    `per_query[row][metric]` has one figure a query, NaN where a query has none; the rows `ranker_without_match` and
    `ranker_with_match` must be among them. `users` names the user of each query: intervals draw users, not queries.
    A slice is a mask over queries (its figure is NDCG@10) or a `PositiveSlice`; one that holds no query is left out.
    Raises ValueError where rows, metrics or lengths do not fit.
    """
    _check_lengths(protocol.queries, per_query, slices, users)
    without, with_ = per_query[WITHOUT_MATCH], per_query[WITH_MATCH]
    pairs = [_Pair(without[metric], with_[metric], None) for metric in without]
    kept = {name: pair for name, part in slices.items() if (pair := _slice_pair(part, without, with_)).queries}
    intervals = _intervals([*pairs, *kept.values()], users, n_resamples, generator)
    return Ledger(
        protocol=protocol,
        rows=tuple(Row(name, _means(figures)) for name, figures in per_query.items()),
        lift={metric: pair.lift(next(intervals)) for metric, pair in zip(without, pairs, strict=True)},
        slices={name: _slice(pair, next(intervals), slices[name]) for name, pair in kept.items()},
        retrieval={name: _figure(value) for name, value in (retrieval or {}).items()},
    )


class _Pair(NamedTuple):
    """Figures of the same queries without and with the match score, and what each query weighs (None: 1)."""

    without: PerQuery
    with_: PerQuery
    weights: IntArray | None

    @property
    def defined(self) -> BoolArray:
        return ~np.isnan(self.without) & ~np.isnan(self.with_)

    @property
    def queries(self) -> int:
        return int(self.defined.sum())

    def mean(self, figures: PerQuery) -> float:
        if not self.queries:
            return math.nan
        weights = None if self.weights is None else self.weights[self.defined]
        return float(np.average(figures[self.defined], weights=weights))

    def lift(self, ci95: Interval) -> Lift:
        without, with_ = _figure(self.mean(self.without)), _figure(self.mean(self.with_))
        return Lift(without, with_, _figure(with_ - without), ci95)


def _slice_pair(
    part: BoolArray | PositiveSlice, without: Mapping[str, PerQuery], with_: Mapping[str, PerQuery]
) -> _Pair:
    if isinstance(part, PositiveSlice):
        return _Pair(part.without, part.with_, part.n_positives)
    metric = HEADLINE_METRIC
    return _Pair(np.where(part, without[metric], np.nan), np.where(part, with_[metric], np.nan), None)


def _slice(pair: _Pair, ci95: Interval, part: BoolArray | PositiveSlice) -> Slice:
    lift = pair.lift(ci95)
    if isinstance(part, PositiveSlice):
        n_positives = int(part.n_positives[pair.defined].sum())
        return Slice(pair.queries, lift.without, lift.with_, ci95, part.metric, n_positives)
    return Slice(pair.queries, lift.without, lift.with_, ci95)


def _intervals(
    pairs: list[_Pair], users: NDArray[Any], n_resamples: int, generator: np.random.Generator
) -> Iterator[Interval]:
    gains = np.stack([pair.with_ - pair.without for pair in pairs], axis=1)
    ones = np.ones(len(gains))
    weights = np.stack([ones if pair.weights is None else pair.weights for pair in pairs], axis=1)
    found = paired_bootstraps(gains, groups=users, weights=weights, n_resamples=n_resamples, generator=generator)
    return ((_figure(each.low), _figure(each.high)) for each in found)


def _means(figures: Mapping[str, PerQuery]) -> dict[str, float]:
    return {metric: _figure(mean_over_queries(values)) for metric, values in figures.items()}


def _check_lengths(
    n_queries: int,
    per_query: Mapping[str, Mapping[str, PerQuery]],
    slices: Mapping[str, BoolArray | PositiveSlice],
    users: NDArray[Any],
) -> None:
    faults = []
    for name in (WITHOUT_MATCH, WITH_MATCH):
        if HEADLINE_METRIC not in per_query.get(name, {}):
            faults.append(f"per_query: expected the row {name} with {HEADLINE_METRIC}, got {sorted(per_query)}.")
    if len({frozenset(per_query.get(name, {})) for name in (WITHOUT_MATCH, WITH_MATCH)}) > 1:
        faults.append(f"per_query: expected the same metrics for {WITHOUT_MATCH} and {WITH_MATCH}.")
    lengths = {"users": len(users)}
    lengths |= {f"{name} {metric}": len(values) for name, row in per_query.items() for metric, values in row.items()}
    lengths |= {
        f"slice {name}": len(part.without if isinstance(part, PositiveSlice) else part) for name, part in slices.items()
    }
    faults += [
        f"{name}: expected one entry for each of {n_queries} queries, got {length}."
        for name, length in lengths.items()
        if length != n_queries
    ]
    if not n_queries:
        faults.append("protocol.queries: expected at least one test query, got 0. Choose an earlier test period.")
    if faults:
        raise ValueError("\n".join(faults))


# Promotion


@dataclass(frozen=True)
class TestFigures:
    """A model's figures on the test queries, kept beside it so that a later model can be held against it."""

    __test__ = False

    digest: str
    """`digest_of_queries` of the test queries."""
    users: NDArray[Any]
    metrics: Mapping[str, PerQuery]


@dataclass(frozen=True)
class Verdict:
    """Whether the challenger is better, and the reason as a sentence."""

    better: bool
    reason: str
    lift: Lift | None = None


def better_than(
    champion: TestFigures,
    challenger: TestFigures,
    *,
    metric: str = HEADLINE_METRIC,
    n_resamples: int = 2000,
    generator: np.random.Generator,
) -> Verdict:
    """Better only if, on the same test queries, the 95% interval of challenger - champion lies wholly above zero."""
    if champion.digest != challenger.digest:
        return Verdict(
            False, f"not comparable: measured on other test queries ({champion.digest}, not {challenger.digest})"
        )
    before, after = champion.metrics[metric], challenger.metrics[metric]
    found = paired_bootstrap(before, after, groups=challenger.users, n_resamples=n_resamples, generator=generator)
    lift = _Pair(before, after, None).lift((_figure(found.low), _figure(found.high)))
    better = lift.ci95[0] > 0
    words = "better" if better else "not shown to be better"
    return Verdict(
        better,
        f"{words}: {metric} {lift.without:.4f} to {lift.with_:.4f} "
        f"({lift.difference:+.4f}, 95% interval {lift.ci95[0]:+.4f} to {lift.ci95[1]:+.4f})",
        lift,
    )


def digest_of_queries(*columns: NDArray[Any]) -> str:
    """A short hash of the test queries: of the values and order of the columns (users, times, offsets, positive items).

    Integers, strings and times count by value, so that int32 and int64 of the same numbers give the same digest.
    """
    digest = hashlib.sha256()
    for column in columns:
        values = column.astype("datetime64[us]").astype(np.int64) if column.dtype.kind == "M" else column
        digest.update(json.dumps(values.tolist(), ensure_ascii=True).encode())
        digest.update(b"\n")
    return digest.hexdigest()[:16]


# JSON


def _figure(value: float) -> float:
    # Adding zero turns -0.0 into 0.0, which JSON would tell apart.
    return round(float(value), _DIGITS) + 0.0


def _with_json_names(entry: dict[str, Any]) -> dict[str, Any]:
    """`with` is a keyword of Python; what is None is not written."""
    return {key.rstrip("_"): value for key, value in entry.items() if value is not None}


def _nan_to_null(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _nan_to_null(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [_nan_to_null(entry) for entry in value]
    return None if isinstance(value, float) and math.isnan(value) else value


def _floats(entry: Mapping[str, Any]) -> dict[str, float]:
    return {key: _float(value) for key, value in entry.items() if value is None or isinstance(value, int | float)}


def _float(value: float | None) -> float:
    return math.nan if value is None else float(value)


def _known(kind: type[Any], entry: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in entry.items() if key in kind.__dataclass_fields__}


def _interval(entry: list[float | None]) -> Interval:
    return (_float(entry[0]), _float(entry[1]))


def _lift_from(entry: Mapping[str, Any]) -> Lift:
    return Lift(_float(entry["without"]), _float(entry["with"]), _float(entry["difference"]), _interval(entry["ci95"]))


def _slice_from(entry: Mapping[str, Any]) -> Slice:
    return Slice(
        queries=entry["queries"],
        without=_float(entry["without"]),
        with_=_float(entry["with"]),
        ci95=_interval(entry["ci95"]),
        metric=entry.get("metric", HEADLINE_METRIC),
        positives=entry.get("positives"),
    )
