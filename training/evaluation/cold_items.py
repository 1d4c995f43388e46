"""Cold items, which have no event yet when a part of the log begins: whether a change buries them."""

from __future__ import annotations

import numpy as np

from feature_store import EventLog
from feature_store.arrays import BoolArray, IntArray
from training.evaluation.intervals import paired_bootstrap
from training.evaluation.ledger import Slice, rounded
from training.evaluation.paired_figures import PairedFigures
from training.evaluation.ranks import PerPositive
from training.evaluation.slices import PositiveSlice
from training.queries import Queries

K = 10


def cold_positives(log: EventLog, queries: Queries, begins: IntArray) -> BoolArray:
    """bool[positive]: its item has no event up to `begins`, int64[query], that time included."""
    positives = queries.positives
    is_cold: BoolArray = log.by_item.counts(positives.values, begins[positives.row_index] + 1) == 0
    return is_cold


def cold_recall(
    queries: Queries,
    is_cold: BoolArray,
    without: PerPositive,
    with_: PerPositive,
    *,
    generator: np.random.Generator,
) -> Slice | None:
    """Recall@10 of the cold positives without and with a change; None if there are none.

    `without` and `with_` are the ranks of the positives. The interval is a paired bootstrap over users.
    """
    part = PositiveSlice.of_recall(without, with_, queries.positives, among=is_cold, k=K)
    figures = PairedFigures(part.without, part.with_, part.n_positives)
    if not figures.n_queries:
        return None
    difference = paired_bootstrap(
        part.without, part.with_, groups=queries.users, weights=part.n_positives, generator=generator
    )
    lift = figures.lift((rounded(difference.low), rounded(difference.high)))
    return Slice(figures.n_queries, lift.without, lift.with_, lift.ci95, part.metric, int(is_cold.sum()), part.n_items)


def buries_cold_items(cold: Slice | None) -> bool:
    """Whether significantly fewer are found with the change: the 95% interval lies below zero.

    A loss that chance may explain is no reason to refuse a change: of a few dozen cold positives a handful are found,
    and one of them more or less says nothing. If each is another user's and none is gained, three lost are not
    significant, and four are.
    """
    return cold is not None and cold.ci95[1] < 0
