"""The test that text features must pass before they may rank: on later queries of the ranker's own windows.

A ranker with and one without them are fitted on the earlier part of the windows' queries and rank the later part, part
after part, so that every figure is of queries that neither ranker nor match module has learned from. The test period
is not read: what ships is chosen without it.

**The rule.** The text features rank if, on these queries,

1. they lift the mean NDCG@10 by more than `MARGIN` standard errors, and
2. they do not bury cold items, see `training.evaluation.cold_items`.

Otherwise the ranker without them ships. A lift need not be significant, since a small log cannot show a small one. But
a mean above zero alone is too little: in six of sixteen planted logs whose match was noise it was, by chance.

Few queries need no rule of their own, since the standard error grows as they get fewer: with 4 to 15 of them, noise
passed in 11 of 72 planted logs and a strong match in 65. A weak one passed in 20; fitted on 4 or 8 queries, rankers
with it were no better than without (+.01 and -.01).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from feature_store import EventLog
from feature_store.arrays import IntArray
from recmem.pipelining import side_by_side
from recmem.ranking.ranker import Ranker
from training.evaluation.catalogue_ranks import retrieved_ranks
from training.evaluation.cold_items import buries_cold_items, cold_positives, cold_recall
from training.evaluation.intervals import paired_bootstrap
from training.evaluation.ledger import WITH_MATCH, WITHOUT_MATCH, HeldOut, Lift, rounded
from training.evaluation.metrics import ndcg
from training.evaluation.paired_figures import PairedFigures
from training.evaluation.ranks import PerPositive
from training.fitting.fit_ranker import FEWEST_QUERIES, RankingData
from training.queries import Queries

PARTS = 2
"""The windows' queries are cut into this many parts of equal size, in order of time; all but the first are ranked.

More parts rank more queries, but two rankers are fitted for each: four take three times as long, for half as many
queries more."""
MARGIN = 1.0
"""Standard errors, by the bootstrap over users, that the lift must exceed."""
K = 10
_INTERVAL_WIDTH = 2 * 1.96
"""Standard errors in a 95% interval."""

RankerFit = Callable[[RankingData, tuple[str, ...]], Ranker]
"""Fits a ranker on pairs, with these features; called by several threads at once."""


@dataclass(frozen=True, eq=False)
class HeldOutRanks:
    """Queries of the ranker's windows, and the ranks of their positives under rankers that have not seen them."""

    queries: Queries
    begins: IntArray
    """The part of each query begins after this time, microseconds."""
    ranks: dict[str, PerPositive]
    """By ranker; `inf` where a positive is not among the candidates."""


def held_out_ranks(
    queries: Queries,
    data: RankingData,
    features: dict[str, tuple[str, ...]],
    fit: RankerFit,
    *,
    seed: int,
    parts: int = PARTS,
) -> HeldOutRanks | None:
    """Ranks of the later queries' positives under rankers that are fitted on the earlier ones; None if too few.

    `queries` and `data` are of the same queries, in order of time. A part is left out if too few queries before it have
    a positive among their candidates.
    """
    ranked: list[IntArray] = []
    begins: list[IntArray] = []
    ranks: dict[str, list[PerPositive]] = {name: [] for name in features}
    for early, late in _earlier_and_later(len(queries), parts):
        fitted_on = data.take(early)
        if len(fitted_on.with_positives().pairs.candidates) < FEWEST_QUERIES:
            continue
        ranked.append(late)
        # Not the last early query's time: where both share it, what happened then is known to neither.
        begins.append(np.full(len(late), queries.times[late[0]] - 1))
        late_data = data.take(late)
        positives = queries.take(late).positives
        # All are fitted before one predicts. LightGBM has one number of threads for the whole process, and a prediction
        # would raise it for a fit that still runs: with several threads the same seed does not give the same trees.
        rankers = list(side_by_side(partial(fit, fitted_on), features.values(), len(features)))
        for name, ranker in zip(features, rankers, strict=True):
            scores = ranker.scores(late_data.pairs)
            # Ties are broken alike for both rankers.
            ranks[name].append(retrieved_ranks(scores, late_data, positives, np.random.default_rng([seed, late[0]])))
    if not ranked:
        return None
    by_ranker = {name: np.concatenate(columns) for name, columns in ranks.items()}
    return HeldOutRanks(queries.take(np.concatenate(ranked)), np.concatenate(begins), by_ranker)


def what_ships(held_out: HeldOutRanks | None, log: EventLog, *, generator: np.random.Generator) -> HeldOut:
    """The outcome of the test, by the rule above; without queries to test on, the text features do not rank."""
    if held_out is None:
        return HeldOut(ships=WITHOUT_MATCH, queries=0, lift=None, cold=None)
    queries = held_out.queries
    without = held_out.ranks[WITHOUT_MATCH]
    with_ = held_out.ranks[WITH_MATCH]
    offsets = queries.positives.offsets
    figures = PairedFigures(ndcg(without, offsets, k=K), ndcg(with_, offsets, k=K))
    change = paired_bootstrap(figures.without, figures.with_, groups=queries.users, generator=generator)
    lift = figures.lift((rounded(change.low), rounded(change.high)))
    is_cold = cold_positives(log, queries, held_out.begins)
    cold = cold_recall(queries, is_cold, without, with_, generator=generator)
    passes = _exceeds_margin(lift) and not buries_cold_items(cold)
    return HeldOut(WITH_MATCH if passes else WITHOUT_MATCH, figures.n_queries, lift, cold)


def _exceeds_margin(lift: Lift) -> bool:
    low, high = lift.ci95
    return lift.difference > 0 and lift.difference > MARGIN * (high - low) / _INTERVAL_WIDTH


def _earlier_and_later(n_queries: int, parts: int) -> Iterator[tuple[IntArray, IntArray]]:
    """For every part of the rows but the first: the rows before it, and its own."""
    cut: Sequence[IntArray] = np.array_split(np.arange(n_queries), parts)
    for number in range(1, parts):
        early = np.concatenate(cut[:number])
        if len(early) and len(cut[number]):
            yield early, cut[number]
