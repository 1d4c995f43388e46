"""Planted logs: the match helps, is noise, helped only in the past, or buries new items."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, replace

import numpy as np
import pytest

from feature_store import EventLog
from feature_store.arrays import Float32Array
from feature_store.ragged import Ragged
from recmem.matching.matcher import MATCH_FEATURES
from recmem.ranking.pair_features import PairFeatures
from recmem.ranking.ranker import Ranker
from slow_reference import Event
from strategies import event_log
from tolerances import close
from training.evaluation.held_out import HeldOutRanks, held_out_ranks, what_ships
from training.evaluation.ledger import WITH_MATCH, WITHOUT_MATCH, HeldOut
from training.fitting.fit_ranker import RankerConfig, RankingData, fit_ranker
from training.queries import Queries

N_QUERIES = 240
N_CANDIDATES = 30
N_ITEMS = 60
FIRST_COLD = 45
"""Items from here on have no event."""
CONFIG = RankerConfig(rounds=20, smoothing=5, min_rows_in_leaf=20)
FEATURES = {WITHOUT_MATCH: ("popularity",), WITH_MATCH: ("popularity", *MATCH_FEATURES)}


@dataclass(frozen=True)
class Planted:
    queries: Queries
    data: RankingData

    def outcome(self) -> HeldOut:
        ranks = held_out_ranks(self.queries, self.data, FEATURES, fit, seed=0)
        return what_ships(ranks, log(), generator=np.random.default_rng(0))


def fit(data: RankingData, names: tuple[str, ...]) -> Ranker:
    return fit_ranker(data, names, CONFIG, 0).ranker


def log() -> EventLog:
    """Every item that is not cold has an event before all queries."""
    return event_log([Event(0, item, 1) for item in range(FIRST_COLD)])


def planted(*, early: float, late: float, seed: int, cold_sign: float = 1.0) -> Planted:
    """The positive is the candidate of the highest popularity plus hidden taste; the match shows the taste.

    The other match features are noise. `early` and `late` are the match's weight on the taste in the two halves of the
    queries, beside noise; `cold_sign` multiplies it for the late half's cold items.
    """
    random = np.random.default_rng(seed)
    items = np.concatenate([np.sort(random.permutation(N_ITEMS)[:N_CANDIDATES]) for _ in range(N_QUERIES)])
    shape = (N_QUERIES, N_CANDIDATES)
    taste = random.normal(size=shape)
    popularity = random.normal(size=shape)
    utility = popularity + 2 * taste
    labels = (utility == utility.max(axis=1, keepdims=True)).astype(np.int8)
    weight = np.where(np.arange(N_QUERIES) < N_QUERIES // 2, early, late)[:, None]
    is_late_cold = (items.reshape(shape) >= FIRST_COLD) & (np.arange(N_QUERIES) >= N_QUERIES // 2)[:, None]
    match = weight * np.where(is_late_cold, cold_sign, 1.0) * taste + random.normal(size=shape)
    values = {name: random.normal(size=shape) for name in MATCH_FEATURES}
    values |= {"popularity": popularity, "match_raw": match}
    candidates = Ragged.from_lengths(items, np.full(N_QUERIES, N_CANDIDATES))
    pairs = PairFeatures(candidates, {name: column.ravel().astype(np.float32) for name, column in values.items()})
    positives = Ragged.from_lengths(items[labels.ravel() > 0], np.ones(N_QUERIES, np.int64))
    queries = Queries(np.arange(N_QUERIES) % 40, 100 + np.arange(N_QUERIES), positives)
    return Planted(queries, RankingData(pairs, labels.ravel()))


def test_a_match_that_helps_ranks() -> None:
    outcome = planted(early=2, late=2, seed=0).outcome()
    assert outcome.ships == WITH_MATCH
    assert outcome.queries == N_QUERIES // 2
    assert outcome.lift is not None
    assert outcome.lift.ci95[0] > 0
    assert outcome.cold is not None
    assert outcome.cold.difference > 0


def test_matches_that_are_noise_do_not_rank_but_by_a_rare_chance() -> None:
    outcomes = [planted(early=0, late=0, seed=seed).outcome() for seed in range(10)]
    ships = [outcome.ships for outcome in outcomes]
    # Seed 2 draws a lift of nearly two standard errors; a mean above zero alone would let more of them pass.
    assert ships.count(WITHOUT_MATCH) >= 9
    assert sum(outcome.lift is not None and outcome.lift.difference > 0 for outcome in outcomes) >= 3


@pytest.mark.parametrize(("n_gain", "expected"), [(36, WITH_MATCH), (26, WITHOUT_MATCH)])
def test_a_lift_must_exceed_its_standard_error(n_gain: int, expected: str) -> None:
    # A user gains .37 of NDCG or loses .63: with 26 who gain the mean is +.02, and its standard error .08.
    n = 40
    queries = Queries(np.arange(n), np.arange(5, 5 + n), Ragged.from_lists([[0]] * n))
    without = np.full(n, 2.0)
    with_ = np.where(np.arange(n) < n_gain, 1.0, np.inf)
    ranks = {WITHOUT_MATCH: without, WITH_MATCH: with_}
    outcome = what_ships(HeldOutRanks(queries, np.full(n, 4), ranks), log(), generator=np.random.default_rng(0))
    assert outcome.lift is not None
    assert outcome.lift.difference > 0
    assert outcome.ships == expected


def test_a_match_that_helped_only_in_the_past_does_not_rank() -> None:
    outcome = planted(early=2, late=-2, seed=0).outcome()
    assert outcome.ships == WITHOUT_MATCH
    assert outcome.lift is not None
    assert outcome.lift.ci95[1] < 0


def test_a_match_that_helps_on_the_whole_but_buries_new_items_does_not_rank() -> None:
    outcome = planted(early=2, late=2, seed=0, cold_sign=-1).outcome()
    assert outcome.lift is not None
    assert outcome.lift.difference > 0
    assert outcome.cold is not None
    assert outcome.cold.ci95[1] < 0
    assert outcome.ships == WITHOUT_MATCH


def test_the_later_queries_labels_change_nothing_about_what_they_are_ranked_by() -> None:
    log_of = planted(early=2, late=2, seed=0)
    labels = log_of.data.labels.copy()
    n_early = N_QUERIES // 2 * N_CANDIDATES
    labels[n_early:] = np.random.default_rng(5).permutation(labels[n_early:])
    changed = RankingData(log_of.data.pairs, labels)
    before, after = (held_out_ranks(log_of.queries, data, FEATURES, fit, seed=0) for data in (log_of.data, changed))
    assert before is not None
    assert after is not None
    for name in FEATURES:
        close(after.ranks[name], before.ranks[name], "exact")


def test_no_ranker_predicts_while_another_is_fitted(monkeypatch: pytest.MonkeyPatch) -> None:
    # LightGBM's number of threads is the process's: a prediction would change it for the fit.
    log_of = planted(early=2, late=2, seed=0)
    n_running = 0
    running_at_prediction: list[int] = []
    first_is_fitted = threading.Event()

    def slow_second(data: RankingData, names: tuple[str, ...]) -> Ranker:
        nonlocal n_running
        n_running += 1
        if names == FEATURES[WITH_MATCH]:
            first_is_fitted.wait()
            time.sleep(0.2)
        ranker = fit(data, names)
        n_running -= 1
        first_is_fitted.set()
        return ranker

    scores = Ranker.scores

    def watched(self: Ranker, pairs: PairFeatures) -> Float32Array:
        running_at_prediction.append(n_running)
        return scores(self, pairs)

    monkeypatch.setattr(Ranker, "scores", watched)
    assert held_out_ranks(log_of.queries, log_of.data, FEATURES, slow_second, seed=0) is not None
    assert running_at_prediction == [0, 0]


def test_every_part_but_the_first_is_ranked_by_rankers_of_what_lies_before_it() -> None:
    log_of = planted(early=2, late=2, seed=0)
    n_fitted: list[int] = []

    def counted(data: RankingData, names: tuple[str, ...]) -> Ranker:
        n_fitted.append(len(data.pairs.candidates))
        return fit(data, names)

    found = held_out_ranks(log_of.queries, log_of.data, FEATURES, counted, seed=0, parts=3)
    assert found is not None
    assert n_fitted == [80, 80, 160, 160]
    assert found.queries.times.tolist() == list(range(180, 340))
    assert sorted(set(found.begins.tolist())) == [179, 259]


def test_items_that_come_out_at_the_one_time_of_all_queries_are_cold_to_all_of_them() -> None:
    # As in a log of few dates: the rankers are fitted and tested on queries of the same one.
    log_of = planted(early=2, late=2, seed=0, cold_sign=-1)
    queries = replace(log_of.queries, times=np.full(N_QUERIES, 100))
    ranks = held_out_ranks(queries, log_of.data, FEATURES, fit, seed=0)
    events = [Event(0, item, 1) for item in range(FIRST_COLD)]
    events += [Event(user, item, 100) for user in range(3) for item in range(FIRST_COLD, N_ITEMS)]
    outcome = what_ships(ranks, event_log(events), generator=np.random.default_rng(0))
    assert outcome.cold is not None
    late = queries.positives.values[N_QUERIES // 2 :]
    assert outcome.cold.positives == (late >= FIRST_COLD).sum() > 0
    assert outcome.ships == WITHOUT_MATCH


def test_a_positive_that_was_not_retrieved_is_missed_by_both() -> None:
    log_of = planted(early=2, late=2, seed=0)
    # The last query's positive is none of its candidates.
    candidates = set(log_of.data.pairs.candidates.row(N_QUERIES - 1).tolist())
    absent = min(set(range(N_ITEMS)) - candidates)
    items = log_of.queries.positives.values.copy()
    items[-1] = absent
    positives = Ragged(items, log_of.queries.positives.offsets)
    queries = Queries(log_of.queries.users, log_of.queries.times, positives)
    found = held_out_ranks(queries, log_of.data, FEATURES, fit, seed=0)
    assert found is not None
    assert [found.ranks[name][-1] for name in FEATURES] == [np.inf, np.inf]


def test_too_few_queries_ship_the_ranker_without_the_match() -> None:
    log_of = planted(early=2, late=2, seed=0)
    first = np.arange(2)
    assert held_out_ranks(log_of.queries.take(first), log_of.data.take(first), FEATURES, fit, seed=0) is None
    assert what_ships(None, log(), generator=np.random.default_rng(0)) == HeldOut(WITHOUT_MATCH, 0, None, None)


def test_equal_rankers_ship_without_the_match_and_without_cold_items_there_is_no_figure_for_them() -> None:
    queries = Queries(np.array([0, 1]), np.array([5, 6]), Ragged.from_lists([[0], [1]]))
    ranks = {WITHOUT_MATCH: np.array([1.0, 2.0]), WITH_MATCH: np.array([1.0, 2.0])}
    outcome = what_ships(HeldOutRanks(queries, np.array([4, 4]), ranks), log(), generator=np.random.default_rng(0))
    assert outcome.ships == WITHOUT_MATCH
    assert outcome.lift is not None
    assert outcome.lift.difference == 0
    assert outcome.cold is None
