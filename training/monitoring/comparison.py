"""Compares rows and events with a reference, figure by figure."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from feature_store.arrays import BoolArray, Float32Array, Float64Array, IntArray
from recmem.ranking.feature import Group
from recmem.ranking.feature_computation import USER_CATEGORY_PREFIX, USER_PREFIX
from recmem.ranking.feature_names import ATTRIBUTE_PREFIX
from recmem.ranking.feature_table import FEATURES, OPTIONAL
from recmem.reference.distribution import Distribution, bin_of, effective_rows
from recmem.reference.drift import ks_distance, ks_limit, share_limit, stability_index, stability_limit
from recmem.reference.reference import MAX_CATEGORIES, Categories, Reference, Share
from recmem.serving.scoring import MATCH_SCORE
from training.monitoring.event_rows import EVENT, EventRows
from training.monitoring.findings import EVENTS, ROWS, SCORES, Finding, Limit, worst
from training.monitoring.monitor_config import MonitorConfig
from training.monitoring.row_figures import SCORE, TEXT_LENGTH, RowFigures

_GROUPS: dict[str, str] = {feature.name: feature.group for feature in (*FEATURES, *OPTIONAL)} | {
    MATCH_SCORE: SCORES,
    SCORE: SCORES,
    TEXT_LENGTH: ROWS,
}
_MEDIAN = 0.5
_TESTS_OF_A_FIGURE = 2
"""The index and the distance of each figure, both held against chance."""


def significance_level(
    reference: Reference, rows: RowFigures, events: EventRows | None, config: MonitorConfig, n_topics: int = 0
) -> float:
    """The significance of one test, so that `MonitorConfig.significance` holds for all of a call, topics included."""
    names = [name for name in reference.figures if name in rows.figures]
    columns = [name for name in reference.categories if name in rows.categories]
    n_figures = len(names) + len(columns) + len(rows.shares) + (0 if events is None else len(events.shares) + 1)
    return config.significance / max(_TESTS_OF_A_FIGURE * (n_figures + n_topics), 1)


def compared_rows(
    reference: Reference, rows: RowFigures, events: EventRows | None, config: MonitorConfig, *, n_topics: int = 0
) -> list[Finding]:
    """The findings of all figures that both have. `n_topics`: topics that are compared beside them."""
    names = [name for name in reference.figures if name in rows.figures]
    columns = [name for name in reference.categories if name in rows.categories]
    level = significance_level(reference, rows, events, config, n_topics)
    found = [
        _distribution_finding(name, reference.figures[name], rows.figures[name], rows.users, config, level)
        for name in names
    ]
    for name in columns:
        found.append(
            _categories_finding(name, reference.categories[name], *rows.categories[name], rows.users, config, level)
        )
    found += _share_findings(reference, rows.shares, rows.users, ROWS, config, level)
    if events is not None and len(events):
        # Candidates that are given as a reference have no events, so that nothing is known of their shares.
        shares = {name: has for name, has in events.shares.items() if name in reference.shares}
        found += _share_findings(reference, shares, events.users, EVENTS, config, level)
        if EVENT in reference.categories:
            found.append(
                _categories_finding(EVENT, reference.categories[EVENT], *events.kinds, events.users, config, level)
            )
    return found


def group_of(name: str) -> str:
    """What a figure is about."""
    if name in _GROUPS:
        return str(_GROUPS[name])
    if name.startswith((USER_PREFIX, USER_CATEGORY_PREFIX)):
        return str(Group.USER_ATTRIBUTE)
    return str(Group.ATTRIBUTE if name.startswith(ATTRIBUTE_PREFIX) else Group.CANDIDATE)


def _distribution_finding(
    name: str,
    reference: Distribution,
    values: Float32Array,
    users: IntArray,
    config: MonitorConfig,
    level: float,
) -> Finding:
    edges = reference.edges
    bins = bin_of(values, edges)
    current_shares = np.bincount(bins, minlength=len(edges) + 2) / len(values)
    reference_shares = reference.bin_shares()
    effective = effective_rows(bins, users)
    has_value = np.isfinite(values)
    present = values[has_value]
    limits = {}
    distance = ks_distance(reference, values)
    if not math.isnan(distance):
        # Of the rows that have a value: a rise of those without one is a figure of its own.
        sizes = _Sizes(
            max(reference.effective * (1 - reference.missing), 1.0), effective_rows(bins[has_value], users[has_value])
        )
        limits["psi"] = _index_limit(_of_present(reference_shares), _of_present(current_shares), sizes, config, level)
        chance = ks_limit(n_reference=sizes.reference, n_current=sizes.current, significance=level)
        limits["ks"] = Limit(distance, chance, config.ks_warn, config.ks_alert)
    missing = float(1 - len(present) / len(values))
    note = ""
    if missing or reference.missing:
        note = f"Missing: {missing:.1%}, in the reference {reference.missing:.1%}."
        limits["rise"] = _rise_limit(Share(reference.missing, reference.effective), missing, effective, config, level)
    return Finding(
        name=name,
        group=group_of(name),
        status=worst(limits.values()),
        reference=reference.quantile(_MEDIAN),
        current=float(np.median(present)) if len(present) else math.nan,
        rows=len(values),
        effective=effective,
        limits=limits,
        note=note,
        reference_bins=tuple(reference_shares.tolist()),
        current_bins=tuple(current_shares.tolist()),
        edges=tuple(edges.tolist()),
    )


def _categories_finding(
    name: str,
    reference: Categories,
    codes: IntArray,
    names: tuple[str, ...],
    users: IntArray,
    config: MonitorConfig,
    level: float,
) -> Finding:
    places = {value: place for place, value in enumerate(reference.names)}
    other = len(places)
    # Per name of the current rows, the place among the reference's; the last entry is that of rows without a text.
    place_of = np.array([*(places.get(value, other) for value in names), other], np.int64)
    bins = place_of[codes]
    current_shares = np.bincount(bins, minlength=other + 1) / len(codes)
    reference_shares = np.append(reference.shares, max(1 - sum(reference.shares), 0.0))
    effective = effective_rows(bins, users)
    sizes = _Sizes(reference.effective, effective)
    limit = _index_limit(reference_shares, current_shares, sizes, config, level)
    n_rows_of = np.bincount(codes[codes >= 0], minlength=len(names))
    new = [value for value, n_rows in zip(names, n_rows_of, strict=True) if n_rows and value not in places]
    note = ""
    if new:
        # Of a longer list the reference keeps the most frequent names only.
        where = "in the reference" if other < MAX_CATEGORIES else f"among the reference's {other} most frequent"
        note = f"Not {where}: {', '.join(new[:5])}{', ...' if len(new) > 5 else ''}."
    return Finding(
        name=name,
        group=EVENTS if name == EVENT else group_of(name),
        status=limit.status,
        # Of the reference's most frequent name.
        reference=float(reference_shares[:-1].max(initial=0.0)),
        current=float(current_shares[int(np.argmax(reference_shares[:-1]))]) if other else 0.0,
        rows=len(codes),
        effective=effective,
        limits={"psi": limit},
        note=note,
    )


def _share_findings(
    reference: Reference,
    shares: dict[str, BoolArray],
    users: IntArray,
    group: str,
    config: MonitorConfig,
    level: float,
) -> Iterator[Finding]:
    for name, has in shares.items():
        # Of a share that the reference does not have, such as new categories, training had none.
        before = reference.shares.get(name) or Share(0.0, float(max(reference.users, 1)))
        share = float(has.mean())
        effective = effective_rows(has.astype(np.int64), users)
        limit = _rise_limit(before, share, effective, config, level)
        yield Finding(
            name=name,
            group=group,
            status=limit.status,
            reference=before.share,
            current=share,
            rows=len(has),
            effective=effective,
            limits={"rise": limit},
        )


def _rise_limit(before: Share, share: float, effective: float, config: MonitorConfig, level: float) -> Limit:
    both = (before.share * before.effective + share * effective) / (before.effective + effective)
    chance = share_limit(both, n_reference=before.effective, n_current=effective, significance=level)
    return Limit(share - before.share, chance, config.share_warn, config.share_alert)


class _Sizes(NamedTuple):
    """Effective sample sizes of the rows that shares were counted over."""

    reference: float
    current: float


def _index_limit(
    reference: Float64Array, current: Float64Array, sizes: _Sizes, config: MonitorConfig, level: float
) -> Limit:
    value = stability_index(reference, current, n_reference=sizes.reference, n_current=sizes.current)
    n_bins = int(((reference > 0) | (current > 0)).sum())
    chance = stability_limit(n_bins, n_reference=sizes.reference, n_current=sizes.current, significance=level)
    return Limit(value, chance, config.psi_warn, config.psi_alert)


def _of_present(shares: Float64Array) -> Float64Array:
    """The shares of the bins among the rows with a value; the last is that of the others."""
    present: Float64Array = shares[:-1] / shares[:-1].sum()
    return present
