"""Computes the lift ledger from figures of queries: means, differences, and their intervals."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from feature_store.arrays import BoolArray
from training.evaluation.ledger import (
    HEADLINE_METRIC,
    LEARNED_PART,
    UNTRAINED_PART,
    WITH_MATCH,
    WITH_SIMILARITY,
    WITHOUT_MATCH,
    Interval,
    Ledger,
    Protocol,
    Row,
    Slice,
    rounded,
)
from training.evaluation.metrics import PerQuery, mean_over_queries
from training.evaluation.paired_figures import PairedFigures, paired_differences
from training.evaluation.slices import PositiveSlice


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

    `per_query[row][metric]` has one figure per query, NaN where a query has none; the rows `ranker_without_match` and
    `ranker_with_match` are required, and `ranker_with_text_similarity` gives the lift's parts. `users` names the user
    of each query: the bootstrap draws users, not queries. A slice is a mask over queries (its figure is NDCG@10) or a
    `PositiveSlice`; one without queries is left out. Raises ValueError if rows, metrics or lengths do not fit.
    """
    _check(protocol.queries, per_query, slices, users)
    without = per_query[WITHOUT_MATCH]
    with_ = per_query[WITH_MATCH]
    by_metric = {metric: PairedFigures(without[metric], with_[metric]) for metric in without}
    by_slice = {name: paired_slice(part, without, with_) for name, part in slices.items()}
    by_slice = {name: figures for name, figures in by_slice.items() if figures.n_queries}
    by_part = _parts(per_query)
    # One bootstrap for all of them, so that a further slice changes no other interval.
    paired = [*by_metric.values(), *by_slice.values(), *by_part.values()]
    intervals = _intervals(paired, users, n_resamples, generator)
    return Ledger(
        protocol=protocol,
        rows=tuple(Row(name, _means(figures)) for name, figures in per_query.items()),
        lift={metric: figures.lift(next(intervals)) for metric, figures in by_metric.items()},
        slices={name: slice_entry(figures, next(intervals), slices[name]) for name, figures in by_slice.items()},
        retrieval={name: rounded(value) for name, value in (retrieval or {}).items()},
        parts={name: figures.lift(next(intervals)) for name, figures in by_part.items()},
    )


def _parts(per_query: Mapping[str, Mapping[str, PerQuery]]) -> dict[str, PairedFigures]:
    """The lift in two steps, by way of the ranker with untrained text; nothing if that was not evaluated."""
    if WITH_SIMILARITY not in per_query:
        return {}
    similarity = per_query[WITH_SIMILARITY][HEADLINE_METRIC]
    return {
        UNTRAINED_PART: PairedFigures(per_query[WITHOUT_MATCH][HEADLINE_METRIC], similarity),
        LEARNED_PART: PairedFigures(similarity, per_query[WITH_MATCH][HEADLINE_METRIC]),
    }


def paired_slice(
    part: BoolArray | PositiveSlice, without: Mapping[str, PerQuery], with_: Mapping[str, PerQuery]
) -> PairedFigures:
    """The figures of two rankings on a slice; `without` and `with_` are read for a mask over queries."""
    if isinstance(part, PositiveSlice):
        return PairedFigures(part.without, part.with_, part.n_positives)
    return PairedFigures(
        np.where(part, without[HEADLINE_METRIC], np.nan),
        np.where(part, with_[HEADLINE_METRIC], np.nan),
    )


def slice_entry(figures: PairedFigures, ci95: Interval, part: BoolArray | PositiveSlice) -> Slice:
    """The ledger's entry of a slice, from its figures and the interval of their difference."""
    lift = figures.lift(ci95)
    if isinstance(part, PositiveSlice):
        n_positives = int(part.n_positives[figures.defined].sum())
        return Slice(figures.n_queries, lift.without, lift.with_, ci95, part.metric, n_positives, part.n_items)
    return Slice(figures.n_queries, lift.without, lift.with_, ci95)


def _intervals(
    paired: Sequence[PairedFigures], users: NDArray[Any], n_resamples: int, generator: np.random.Generator
) -> Iterator[Interval]:
    differences = paired_differences(paired, users, n_resamples=n_resamples, generator=generator)
    return ((rounded(difference.low), rounded(difference.high)) for difference in differences)


def _means(figures: Mapping[str, PerQuery]) -> dict[str, float]:
    return {metric: rounded(mean_over_queries(values)) for metric, values in figures.items()}


def _check(
    n_queries: int,
    per_query: Mapping[str, Mapping[str, PerQuery]],
    slices: Mapping[str, BoolArray | PositiveSlice],
    users: NDArray[Any],
) -> None:
    problems = [*_problems_of_rankers(per_query), *_problems_of_lengths(n_queries, per_query, slices, users)]
    if not n_queries:
        problems.append("protocol.queries: expected at least one test query, got 0. Start the test period earlier.")
    if problems:
        raise ValueError("\n".join(problems))


def _problems_of_rankers(per_query: Mapping[str, Mapping[str, PerQuery]]) -> Iterable[str]:
    optional = (WITH_SIMILARITY,) if WITH_SIMILARITY in per_query else ()
    for name in (WITHOUT_MATCH, WITH_MATCH, *optional):
        if HEADLINE_METRIC not in per_query.get(name, {}):
            yield f"per_query: expected the row {name} with {HEADLINE_METRIC}, got {sorted(per_query)}."
    if per_query.get(WITHOUT_MATCH, {}).keys() != per_query.get(WITH_MATCH, {}).keys():
        yield f"per_query: expected the same metrics for {WITHOUT_MATCH} and {WITH_MATCH}."


def _problems_of_lengths(
    n_queries: int,
    per_query: Mapping[str, Mapping[str, PerQuery]],
    slices: Mapping[str, BoolArray | PositiveSlice],
    users: NDArray[Any],
) -> Iterable[str]:
    lengths = {"users": len(users)}
    for name, figures in per_query.items():
        lengths |= {f"{name} {metric}": len(values) for metric, values in figures.items()}
    for name, part in slices.items():
        lengths[f"slice {name}"] = len(part.without if isinstance(part, PositiveSlice) else part)
    for name, length in lengths.items():
        if length != n_queries:
            yield f"{name}: expected one entry for each of {n_queries} queries, got {length}."
