from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from feature_store import DataError
from feature_store.ragged import Ragged
from recmem.ranking.pair_features import PairFeatures
from recmem.ranking.ranker import Ranker
from recmem.ranking.ranker_inputs import ranker_inputs
from tolerances import close
from training.fitting.fit_ranker import (
    RankerConfig,
    RankingData,
    best_round,
    fit_ranker,
    lightgbm_parameters,
    refit_ranker,
)
from training.member_seeds import member_seed
from training.queries import UNKNOWN_POSITION

FEATURES = ("match_raw", "item_age", "noise")
CONFIG = RankerConfig(rounds=30, smoothing=5, min_rows_in_leaf=20)


def data(n_queries: int = 60, n_candidates: int = 12, seed: int = 0) -> RankingData:
    """The best match is the positive, unless it is very new or very old: a rule for the trees on top of the blend."""
    random, n_pairs = np.random.default_rng(seed), n_queries * n_candidates
    values = {name: random.normal(size=n_pairs).astype(np.float32) for name in FEATURES}
    utility = np.where(np.abs(values["item_age"]) > 0.7, -9, values["match_raw"]).reshape(n_queries, n_candidates)
    labels = (utility == utility.max(1, keepdims=True)).astype(np.int8).ravel()
    pairs = PairFeatures(Ragged.from_lengths(np.arange(n_pairs), np.full(n_queries, n_candidates)), values)
    return RankingData(pairs, labels)


def mean_rank(ranking: RankingData, scores: np.ndarray) -> float:
    """Mean rank of the positives, 0 at best; queries of twelve."""
    table, labels = scores.reshape(-1, 12), ranking.labels.reshape(-1, 12) > 0
    return float((table > table[labels][:, None]).sum(1).mean())


def test_ranker_learns_the_rule_and_returns_its_validation_curve() -> None:
    fitted = fit_ranker(data(200), FEATURES, CONFIG, seed=0)
    unseen = data(seed=1)
    rank = mean_rank(unseen, fitted.ranker.scores(unseen.pairs))
    blend = fitted.ranker.blend.scores(ranker_inputs(unseen.pairs, FEATURES))
    assert rank < 0.8 < 1.0 < mean_rank(unseen, blend)
    assert len(fitted.curve) == CONFIG.rounds
    assert all(0 < figure <= 1 for figure in fitted.curve)
    assert fitted.ranker.features == FEATURES


def test_trees_split_categories_as_such_and_unseen_ones_count_as_missing() -> None:
    def with_category(ranking: RankingData, seed: int) -> RankingData:
        """Positives have one of four categories (0, 3, 6, 9), the others one of four others (1, 4, 7, 10)."""
        random = np.random.default_rng(seed)
        category = 3 * random.integers(0, 4, len(ranking.labels)) + np.where(ranking.labels > 0, 0, 1)
        values = ranking.pairs.values | {"categories.shelf": category.astype(np.float32)}
        return replace(ranking, pairs=PairFeatures(ranking.pairs.candidates, values))

    features = ("noise", "categories.shelf")
    fitted = fit_ranker(with_category(data(200), 1), features, CONFIG, seed=0, members=2)
    assert fitted.ranker.inputs == ("noise_z", "categories.shelf")
    unseen = with_category(data(seed=1), 2)
    assert mean_rank(unseen, fitted.ranker.scores(unseen.pairs)) < 0.2
    assert fitted.ranker.importance()["categories.shelf"] > 0.3
    again = Ranker.from_files(fitted.ranker.to_files())
    close(again.scores(unseen.pairs), fitted.ranker.scores(unseen.pairs), "exact")

    def scores_with(value: float) -> np.ndarray:
        values = unseen.pairs.values | {"categories.shelf": np.full(len(unseen.labels), value, np.float32)}
        return fitted.ranker.scores(PairFeatures(unseen.pairs.candidates, values))

    close(scores_with(400), scores_with(np.nan), "exact")
    assert np.abs(scores_with(0) - scores_with(1)).max() > 0.1
    constant, parts = fitted.ranker.contributions(unseen.pairs)
    close(constant + sum(parts.values()), fitted.ranker.scores(unseen.pairs), "float32")


@pytest.mark.parametrize(
    ("curve", "width", "expected"),
    [
        ([0.1, 0.9, 0.1, 0.5, 0.6, 0.5, 0.1], 1, 2),
        ([0.1, 0.9, 0.1, 0.5, 0.6, 0.5, 0.1], 3, 5),  # The lone peak is chance: .37 around it, .53 around the fifth.
        ([0.1, 0.2, 0.3, 0.4], 3, 4),
        ([0.3], 21, 1),
        ([0.5, 0.5, 0.5], 3, 1),
    ],
)
def test_rounds_are_chosen_at_a_broad_maximum_of_the_curve_and_not_at_a_lone_peak(
    curve: list[float], width: int, expected: int
) -> None:
    assert best_round(curve, width) == expected


def test_same_seed_gives_the_same_ranker() -> None:
    first, second, other = (fit_ranker(data(), FEATURES, CONFIG, seed=seed).ranker.to_files() for seed in (3, 3, 4))
    assert first == second
    assert first["ranker.txt"] != other["ranker.txt"]


def test_queries_without_positives_change_nothing() -> None:
    whole = data()
    empty = replace(data(20, seed=5), labels=np.zeros(20 * 12, np.int8))
    pairs = PairFeatures.concat([whole.pairs, empty.pairs])
    more = RankingData(pairs, np.concatenate([whole.labels, empty.labels]))
    fitted = [fit_ranker(each, FEATURES, CONFIG, seed=0).ranker.to_files() for each in (whole, more)]
    assert fitted[0] == fitted[1]


def test_no_positive_is_refused() -> None:
    nothing = replace(data(), labels=np.zeros(60 * 12, np.int8))
    with pytest.raises(DataError, match=r"events: expected at least 2 queries with a retrieved positive .*, got 0\."):
        fit_ranker(nothing, FEATURES, CONFIG, seed=0)


def test_labels_follow_the_queries_that_are_taken() -> None:
    whole = data(3, 4)
    taken = whole.take(np.array([2, 0]))
    close(taken.labels, np.concatenate([whole.labels[8:], whole.labels[:4]]), "exact")
    close(taken.pairs.values["noise"][:4], whole.pairs.values["noise"][8:], "exact")


def test_the_same_data_gives_the_same_ranker_every_time() -> None:
    # Many rows: with few of them, LightGBM uses one thread only.
    ranking, random = data(12_000, seed=4), np.random.default_rng(0)
    for name in FEATURES:
        ranking.pairs.values[name] += random.normal(size=len(ranking.labels)).astype(np.float32)
    fits = [fit_ranker(ranking, FEATURES, RankerConfig(rounds=30), 0) for _ in range(3)]
    assert len({fitted.ranker.to_files()["ranker.txt"] for fitted in fits}) == 1


@pytest.mark.parametrize(("setting", "value"), [("rounds", 0), ("smoothing", 4), ("smoothing", 0)])
def test_settings_out_of_range_are_refused(setting: str, value: int) -> None:
    with pytest.raises(ValueError, match=rf"{setting}: expected .*, got {value}\."):
        RankerConfig(**{setting: value})


def renamed(ranking: RankingData, names: dict[str, str]) -> RankingData:
    """The same pairs, their features called otherwise."""
    values = {names.get(name, name): column for name, column in ranking.pairs.values.items()}
    return replace(ranking, pairs=PairFeatures(ranking.pairs.candidates, values))


NASTY = [
    'items.price [EUR], {net}: "all in"',
    "items.price  [EUR]",
    "items.Price [EUR]",
    "items.größe 漢字 \U0001f9e6",
    "items.f0",
    "items.noise_z",
    "items.item_age",
    "items." + "x" * 5000,
]


@pytest.mark.parametrize("name", NASTY)
def test_a_feature_of_any_name_is_learned_from_as_under_a_plain_one(name: str) -> None:
    plain = fit_ranker(data(), FEATURES, CONFIG, seed=0).ranker
    other = renamed(data(), {"noise": name})
    fitted = fit_ranker(other, ("match_raw", "item_age", name), CONFIG, seed=0).ranker
    files = fitted.to_files()
    assert files["ranker.txt"] == plain.to_files()["ranker.txt"]
    again = Ranker.from_files(files)
    close(again.scores(other.pairs), plain.scores(data().pairs), "exact")
    assert again.features == ("match_raw", "item_age", name)
    assert list(again.importance().values()) == list(plain.importance().values())
    assert list(again.contributions(other.pairs)[1]) == list(again.features)


def test_names_that_differ_only_in_white_space_case_or_an_ending_are_features_of_their_own() -> None:
    ranking = data()
    names = ["items.a b", "items.a  b", "items.A b", "items.a b_z", "items.a b_z_z"]
    random = np.random.default_rng(1)
    for name in names:
        ranking.pairs.values[name] = random.normal(size=len(ranking.labels)).astype(np.float32)
    fitted = fit_ranker(ranking, ("match_raw", "item_age", *names), CONFIG, seed=0).ranker
    parts = fitted.contributions(ranking.pairs)[1]
    assert list(parts) == ["match_raw", "item_age", *names]
    close(sum(parts.values()) + fitted.contributions(ranking.pairs)[0], fitted.scores(ranking.pairs), "explanation")
    # Every column is compared within its query, those too whose names end as z-scores do.
    assert set(fitted.blend.weights) == {f"{name}_z" for name in ("match_raw", "item_age", *names)}
    shifted = PairFeatures(
        ranking.pairs.candidates, ranking.pairs.values | {names[3]: ranking.pairs.values[names[3]] + 8}
    )
    close(fitted.scores(shifted), fitted.scores(ranking.pairs), "explanation")


def long_data(lengths: tuple[int, ...]) -> RankingData:
    """Queries of which the pair with the highest match is positive."""
    random = np.random.default_rng(0)
    n_pairs = sum(lengths)
    values = {name: random.normal(size=n_pairs).astype(np.float32) for name in FEATURES}
    labels = np.zeros(n_pairs, np.int8)
    begin = 0
    for length in lengths:
        labels[begin + values["match_raw"][begin : begin + length].argmax()] = 1
        begin += length
    return RankingData(PairFeatures(Ragged.from_lengths(np.arange(n_pairs), np.array(lengths)), values), labels)


@pytest.mark.parametrize("lengths", [(10_050, 30, 30, 30), (30, 30, 30, 10_050), (12_000, 11_000)])
def test_queries_longer_than_lightgbm_takes_are_cut_for_the_trees_and_scored_whole(lengths: tuple[int, ...]) -> None:
    ranking = long_data(lengths)
    fitted = fit_ranker(ranking, FEATURES, RankerConfig(rounds=3, smoothing=1), seed=0)
    assert fitted.n_cut == sum(length > 10_000 for length in lengths)
    scores = fitted.ranker.scores(ranking.pairs)
    assert len(scores) == sum(lengths)
    best = [int(part.argmax()) for part in np.split(ranking.pairs.values["match_raw"], np.cumsum(lengths)[:-1])]
    assert [int(part.argmax()) for part in np.split(scores, np.cumsum(lengths)[:-1])] == best


def test_nothing_is_cut_where_queries_are_short() -> None:
    assert fit_ranker(data(), FEATURES, CONFIG, seed=0).n_cut == 0


@pytest.mark.parametrize("column", ["constant", "missing", "huge"])
def test_a_column_without_information_changes_no_order(column: str) -> None:
    ranking = data()
    values = {"constant": 7.0, "missing": np.nan, "huge": 3e38}
    ranking.pairs.values["items.x"] = np.full(len(ranking.labels), values[column], np.float32)
    scores = fit_ranker(ranking, (*FEATURES, "items.x"), CONFIG, seed=0).ranker.scores(ranking.pairs)
    assert np.isfinite(scores).all()
    assert mean_rank(ranking, scores) < 1.0


def test_several_members_score_by_the_mean_of_rankers_with_their_seeds() -> None:
    config = replace(CONFIG, rounds=1)  # one round whatever the curve, so that the fits can be told apart
    unseen = data(seed=1).pairs
    mean = fit_ranker(data(), FEATURES, config, seed=3, members=3).ranker
    parts = [fit_ranker(data(), FEATURES, config, seed=member_seed(3, member)).ranker for member in range(3)]
    assert mean.booster.num_trees() == 3
    close(mean.scores(unseen), np.mean([part.scores(unseen) for part in parts], axis=0), "float64")
    assert mean.blend == parts[0].blend


def test_a_mean_of_members_is_saved_and_its_contributions_add_up() -> None:
    fitted = fit_ranker(data(), FEATURES, CONFIG, seed=0, members=2).ranker
    unseen = data(seed=1).pairs
    loaded = Ranker.from_files(fitted.to_files())
    close(loaded.scores(unseen), fitted.scores(unseen), "exact")
    constant, parts = loaded.contributions(unseen)
    close(constant + sum(parts.values()), loaded.scores(unseen), "float32")


def test_rounds_are_read_off_the_first_members_curve() -> None:
    mean = fit_ranker(data(), FEATURES, CONFIG, seed=0, members=2)
    first = fit_ranker(data(), FEATURES, CONFIG, seed=member_seed(0, 0))
    assert mean.curve == first.curve
    assert mean.ranker.booster.num_trees() == 2 * best_round(mean.curve, CONFIG.smoothing)


# The refit


@pytest.mark.parametrize("members", [1, 2])
def test_refitting_on_the_same_queries_with_as_many_rounds_gives_the_same_ranker(members: int) -> None:
    fitted = fit_ranker(data(), FEATURES, CONFIG, seed=3, members=members)
    n_rounds = best_round(fitted.curve, CONFIG.smoothing)
    again = refit_ranker(fitted.ranker, data(), CONFIG, 3, n_rounds=n_rounds, members=members)
    assert again.to_files() == fitted.ranker.to_files()


def test_refitting_on_more_queries_keeps_features_and_rounds_and_learns_from_them() -> None:
    fitted = fit_ranker(data(30), FEATURES, CONFIG, seed=0).ranker
    refitted = refit_ranker(fitted, data(400), CONFIG, 0, n_rounds=17)
    assert (refitted.features, refitted.inputs) == (fitted.features, fitted.inputs)
    assert refitted.booster.num_trees() == 17
    unseen = data(seed=1)
    assert mean_rank(unseen, refitted.scores(unseen.pairs)) < mean_rank(unseen, fitted.scores(unseen.pairs))


def test_queries_without_a_positive_teach_a_refit_nothing() -> None:
    fitted = fit_ranker(data(), FEATURES, CONFIG, seed=0).ranker
    without = replace(data(20, seed=5), labels=np.zeros(20 * 12, np.int8))
    both = RankingData(
        PairFeatures.concat([data().pairs, without.pairs]), np.concatenate([data().labels, without.labels])
    )
    refitted = [refit_ranker(fitted, pairs, CONFIG, 0, n_rounds=10).to_files() for pairs in (data(), both)]
    assert refitted[0] == refitted[1]


def test_a_refit_on_queries_longer_than_lightgbm_takes_cuts_them_for_the_trees_and_not_for_the_blend() -> None:
    short = fit_ranker(data(), FEATURES, CONFIG, seed=0).ranker
    ranking = long_data((10_050, 30, 30, 30))
    refitted = refit_ranker(short, ranking, CONFIG, 0, n_rounds=3)
    whole = fit_ranker(ranking, FEATURES, replace(CONFIG, rounds=3, smoothing=1), seed=0).ranker
    assert refitted.blend == whole.blend
    assert len(refitted.scores(ranking.pairs)) == 10_140


def test_a_refit_of_several_members_scores_by_the_mean_of_refits_with_their_seeds() -> None:
    fitted = fit_ranker(data(), FEATURES, CONFIG, seed=3).ranker
    unseen = data(seed=1).pairs
    mean = refit_ranker(fitted, data(), CONFIG, 3, n_rounds=1, members=3)
    parts = [refit_ranker(fitted, data(), CONFIG, member_seed(3, member), n_rounds=1) for member in range(3)]
    scores = np.stack([part.scores(unseen) for part in parts])
    assert np.abs(scores[0] - scores[1]).max() > 1e-3
    close(mean.scores(unseen), scores.mean(axis=0), "float64")


def test_settings_are_told_by_lightgbms_own_names_without_seeds() -> None:
    told = lightgbm_parameters(RankerConfig(leaves=31, rounds=50, l2=2.0))
    assert (told["num_leaves"], told["num_iterations"], told["lambda_l2"]) == (31, 50, 2.0)
    assert (told["objective"], told["bagging_fraction"]) == ("lambdarank", 0.7)
    assert not {"seed", "verbose"} & told.keys()


# Weights


def weighted(ranking: RankingData, weights: np.ndarray) -> RankingData:
    return replace(ranking, weights=weights.astype(np.float32))


def two_tastes(n_queries: int = 200) -> RankingData:
    """Queries that want a good match and an age near 0, which only trees can tell, and twice as many that do not."""
    ranking = data(n_queries, seed=7)
    values = ranking.pairs.values
    utility = (values["match_raw"] - 2 * np.abs(values["item_age"])).reshape(n_queries, 12)
    wanted = np.where((np.arange(n_queries) % 3 == 0)[:, None], utility, -utility)
    labels = (wanted == wanted.max(1, keepdims=True)).astype(np.int8).ravel()
    return replace(ranking, labels=labels)


def test_blend_and_trees_follow_the_queries_that_weigh_most() -> None:
    ranking = two_tastes()
    weights = np.repeat(np.where(np.arange(200) % 3 == 0, 1, 0.05), 12)
    plain = fit_ranker(ranking, FEATURES, CONFIG, seed=0).ranker
    fitted = fit_ranker(weighted(ranking, weights), FEATURES, CONFIG, seed=0).ranker
    refitted = refit_ranker(fitted, weighted(ranking, weights), CONFIG, 0, n_rounds=20)

    def trees_like_young(ranker: Ranker) -> float:
        trees = ranker.scores(ranking.pairs) - ranker.blend.scores(ranker_inputs(ranking.pairs, FEATURES))
        return float(np.corrcoef(trees, -np.abs(ranking.pairs.values["item_age"]))[0, 1])

    assert plain.blend.weights["match_raw_z"] < -0.05
    assert trees_like_young(plain) < -0.3
    for ranker in (fitted, refitted):
        assert ranker.blend.weights["match_raw_z"] > 0.3
        assert trees_like_young(ranker) > 0.3


def test_clicks_that_weigh_nothing_teach_neither_blend_nor_trees() -> None:
    whole = data(200)
    is_false = whole.pairs.values["match_raw"] < -1
    assert not whole.labels[is_false].any()
    clicked = replace(whole, labels=np.maximum(whole.labels, is_false).astype(np.int8))
    unseen = data(seed=1)
    ranks = {}
    for name, ranking in {"true": whole, "all": clicked, "weighted": weighted(clicked, ~is_false)}.items():
        fitted = fit_ranker(ranking, FEATURES, CONFIG, seed=0).ranker
        ranks[name] = mean_rank(unseen, fitted.scores(unseen.pairs))
    assert ranks["weighted"] < ranks["true"] + 0.1
    assert ranks["all"] > ranks["true"] + 0.3


def test_only_the_ratios_of_weights_matter_and_equal_weights_are_none() -> None:
    ranking = data()
    weights = np.random.default_rng(0).uniform(0, 2, len(ranking.labels))
    # A power of two, which rounds nothing.
    once, again = (fit_ranker(weighted(ranking, scale * weights), FEATURES, CONFIG, 0).ranker for scale in (1, 4096))
    assert once.to_files() == again.to_files()
    plain = fit_ranker(ranking, FEATURES, CONFIG, 0).ranker
    assert once.to_files() != plain.to_files()
    equal = fit_ranker(weighted(ranking, np.full(len(weights), 0.2)), FEATURES, CONFIG, 0).ranker
    assert equal.to_files() == plain.to_files()


def test_a_query_whose_positives_weigh_nothing_is_one_without_positives() -> None:
    ranking = data()
    weights = np.ones(len(ranking.labels))
    weights[: 20 * 12][ranking.labels[: 20 * 12] > 0] = 0
    found = fit_ranker(weighted(ranking, weights), FEATURES, CONFIG, 0).ranker
    later = fit_ranker(ranking.take(np.arange(20, 60)), FEATURES, CONFIG, 0).ranker
    assert found.to_files() == later.to_files()


def test_weights_and_positions_go_with_the_queries_that_are_taken_and_joined() -> None:
    whole = replace(data(3, 4), weights=np.arange(12, dtype=np.float32), positions=np.arange(12))
    taken = whole.take(np.array([2, 0]))
    close(taken.weights, [8, 9, 10, 11, 0, 1, 2, 3], "exact")
    close(taken.positions, [8, 9, 10, 11, 0, 1, 2, 3], "exact")
    joined = RankingData.concat([taken, data(1, 2)])
    close(joined.weights, [8, 9, 10, 11, 0, 1, 2, 3, 1, 1], "exact")
    close(joined.positions, [8, 9, 10, 11, 0, 1, 2, 3, UNKNOWN_POSITION, UNKNOWN_POSITION], "exact")
    assert RankingData.concat([data(1, 2), data(1, 2)]).weights is None


# Positions

SHOWN = ("quality", "level", "old")
N_SHOWN = 10


def shown(n_queries: int, seed: int) -> tuple[RankingData, np.ndarray]:
    """What an old ranker showed, and the relevance of each pair: [query, pair].

    Relevant are pairs of high quality, which is known with some noise, and of a level near 0, a rule for the trees. The
    old ranker's score has nothing to do with relevance, but places the items, and clicks fall with the position.
    """
    random = np.random.default_rng(seed)
    quality, level, old = (random.normal(size=(n_queries, N_SHOWN)) for _ in range(3))
    positions = (-old + 0.5 * random.normal(size=old.shape)).argsort(1).argsort(1)
    relevance = 1 / (1 + np.exp(-(1.5 * quality + 1.5 * (np.abs(level) < 0.6) - 2)))
    labels = random.random(relevance.shape) < relevance / (1 + positions)
    columns = (quality + random.normal(size=quality.shape), level, old)
    values = {name: column.astype(np.float32).ravel() for name, column in zip(SHOWN, columns, strict=True)}
    lengths = np.full(n_queries, N_SHOWN)
    pairs = PairFeatures(Ragged.from_lengths(np.arange(n_queries * N_SHOWN), lengths), values)
    return RankingData(pairs, labels.astype(np.int8).ravel(), positions=positions.ravel()), relevance


def ndcg_of_relevance(scores: np.ndarray, relevance: np.ndarray) -> float:
    """Of all that was shown, with the true relevance as gain."""
    discount = 1 / np.log2(np.arange(N_SHOWN) + 2)
    order = (-scores.reshape(relevance.shape)).argsort(1)
    best = -np.sort(-relevance, 1)
    return float(((np.take_along_axis(relevance, order, 1) * discount).sum(1) / (best * discount).sum(1)).mean())


def test_with_debiasing_relevant_items_come_first_although_clicks_fall_with_the_position() -> None:
    learned_from, _ = shown(2000, 0)
    unseen, relevance = shown(2000, 1)
    config = RankerConfig(rounds=60)
    names = tuple(f"items.{name}" for name in SHOWN)
    learned_from, unseen = (renamed(each, dict(zip(SHOWN, names, strict=True))) for each in (learned_from, unseen))
    figures = {}
    for debiases in (False, True):
        fitted = fit_ranker(learned_from, names, replace(config, position_debiasing=debiases), seed=0)
        figures[debiases] = ndcg_of_relevance(fitted.ranker.scores(unseen.pairs), relevance)
    again = refit_ranker(fitted.ranker, learned_from, replace(config, position_debiasing=True), 0, n_rounds=20)
    assert figures[False] < 0.84
    assert figures[True] > 0.89
    assert ndcg_of_relevance(again.scores(unseen.pairs), relevance) > 0.89
    # The further down, the fewer clicks an item gets: 1 / (1 + position). The first trees take some of it.
    learned = [each.times for each in fitted.positions]
    assert [each.first for each in fitted.positions] == list(range(N_SHOWN))
    assert all(0.6 < times * (1 + position) < 1.7 for position, times in enumerate(learned)), learned
    # What was learned of positions is in no file: scoring does not need them.
    loaded = Ranker.from_files(fitted.ranker.to_files())
    close(loaded.scores(unseen.pairs), fitted.ranker.scores(unseen.pairs), "exact")


def test_a_debiased_fit_is_the_same_every_time() -> None:
    learned_from = renamed(shown(300, 0)[0], {name: f"items.{name}" for name in SHOWN})
    config = replace(CONFIG, position_debiasing=True)
    names = tuple(f"items.{name}" for name in SHOWN)
    first, second = (fit_ranker(learned_from, names, config, seed=0).ranker.to_files() for _ in range(2))
    assert first == second


def test_positions_change_nothing_without_debiasing_and_debiasing_nothing_without_positions() -> None:
    placed = replace(data(), positions=np.tile(np.arange(12), 60))
    plain = fit_ranker(data(), FEATURES, CONFIG, seed=0).ranker
    assert fit_ranker(placed, FEATURES, CONFIG, seed=0).ranker.to_files() == plain.to_files()
    debiased = fit_ranker(data(), FEATURES, replace(CONFIG, position_debiasing=True), seed=0).ranker
    close(debiased.scores(data().pairs), plain.scores(data().pairs), "exact")
