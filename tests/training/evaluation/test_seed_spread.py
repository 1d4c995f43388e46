from __future__ import annotations

import functools
from collections.abc import Sequence

import numpy as np
import torch

from five_item_dataset import dataset_of, matcher, unit_vectors
from recmem.matching.match_module import MatchModule
from recmem.matching.matcher import Matcher
from recmem.matching.mean_module import mean_module
from recmem.ranking.ranker import Ranker
from slow_reference import Event
from strategies import N_ITEMS, N_USERS
from tolerances import close
from training.config import TrainingConfig
from training.evaluation.catalogue_ranks import retrieved_ranks
from training.evaluation.ledger import SEEDS_LIFT, WITH_MATCH, WITHOUT_MATCH, Spread
from training.evaluation.metrics import ndcg
from training.evaluation.seed_spread import seed_spread
from training.fitting.fit_ranker import RankerConfig, RankingData, fit_ranker
from training.member_seeds import member_seed
from training.queries import Queries
from training.splits import Split
from training.training_data import TrainingData, ranking_data

N_MEMBERS = 3
CONFIG = TrainingConfig()
RANKER = RankerConfig(rounds=1, min_rows_in_leaf=1)


@functools.cache
def members() -> tuple[Matcher, ...]:
    """Modules of three seeds, moved so far that they rank differently."""
    found = []
    for seed in range(N_MEMBERS):
        generator = torch.Generator().manual_seed(seed)
        module = MatchModule(matcher().module.config, generator)
        with torch.no_grad():
            for parameter in module.parameters():
                parameter.add_(torch.randn(parameter.shape, generator=generator))
        found.append(Matcher.of(module.eval(), unit_vectors(), matcher().memory))
    return tuple(found)


@functools.cache
def mean() -> Matcher:
    return Matcher.of(mean_module([member.module for member in members()]), unit_vectors(), matcher().memory)


@functools.cache
def training_data() -> TrainingData:
    random = np.random.default_rng(0)
    log = [
        Event(user, int(item), 20 * step + user)
        for user in range(N_USERS)
        for step in range(4)
        for item in random.permutation(N_ITEMS)[:1]
    ]
    return TrainingData(dataset_of(log), unit_vectors(), Split(0, 40, 3), "none", None)


@functools.cache
def queries_and_data(which: int | None = None) -> tuple[Queries, RankingData]:
    """The candidates with the features of the mean, or of one member."""
    features_of = mean() if which is None else members()[which]
    return ranking_data(training_data(), features_of, -1, 99, 99, CONFIG)


def features() -> dict[str, tuple[str, ...]]:
    """Few, so that the rankers do not fit the few queries perfectly."""
    return {WITHOUT_MATCH: ("together", "memory_size"), WITH_MATCH: ("match_raw", "match_prior", "memory_size")}


@functools.cache
def rankers() -> dict[str, Ranker]:
    _, data = queries_and_data()
    return {name: fit_ranker(data, names, RANKER, 0, members=N_MEMBERS).ranker for name, names in features().items()}


def found_spread() -> dict[str, Spread]:
    return spread_over(members())


def spread_over(matchers: Sequence[Matcher], tree_members: int = N_MEMBERS) -> dict[str, Spread]:
    queries, data = queries_and_data()
    dataset = training_data().dataset
    return seed_spread(dataset, queries, data, matchers, rankers(), tree_members=tree_members, seed=0)


def test_each_members_figure_is_that_of_its_own_match_and_trees() -> None:
    # Small enough that every catalogue is retrieved whole: a member's candidates are those of the mean.
    queries, data = queries_and_data()
    expected = []
    for member in range(N_MEMBERS):
        own = queries_and_data(member)[1].pairs
        assert np.array_equal(np.sort(own.candidates.values), np.sort(data.pairs.candidates.values))
        alone = fit_ranker(data, features()[WITH_MATCH], RANKER, member_seed(0, member)).ranker
        order = RankingData(own, queries_and_data(member)[1].labels)
        ranks = retrieved_ranks(alone.scores(own), order, queries.positives, np.random.default_rng(0))
        expected.append(np.nanmean(ndcg(ranks, queries.positives.offsets, k=10)))
    spread = found_spread()[WITH_MATCH]
    close(np.array(spread.values), np.round(expected, 6), "float64")
    close(spread.mean, np.mean(expected), "float32")
    close(spread.deviation, np.std(expected, ddof=1), "float32")
    assert spread.deviation > 0


def test_the_lift_is_that_over_the_members_own_ranker_without_the_match() -> None:
    queries, data = queries_and_data()
    spread = found_spread()
    without = []
    for member in range(N_MEMBERS):
        alone = fit_ranker(data, features()[WITHOUT_MATCH], RANKER, member_seed(0, member)).ranker
        ranks = retrieved_ranks(alone.scores(data.pairs), data, queries.positives, np.random.default_rng([0, 2]))
        without.append(np.nanmean(ndcg(ranks, queries.positives.offsets, k=10)))
    lifts = np.array(spread[WITH_MATCH].values) - np.array(without)
    close(np.array(spread[SEEDS_LIFT].values), lifts, "float32")


def test_a_single_match_module_has_the_spread_of_the_trees() -> None:
    first = members()[0]
    assert spread_over([first]) == spread_over([first] * N_MEMBERS)


def test_a_single_model_of_trees_has_the_spread_of_the_match_modules() -> None:
    spread = spread_over(members(), tree_members=1)[WITH_MATCH]
    assert len(spread.values) == N_MEMBERS
    assert spread.deviation > 0


def test_one_member_has_no_spread() -> None:
    assert spread_over(members()[:1], tree_members=1) == {}
