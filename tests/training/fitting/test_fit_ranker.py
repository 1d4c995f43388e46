from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from feature_store import DataError
from feature_store.ragged import Ragged
from recmem.ranking.pair_features import PairFeatures
from recmem.ranking.ranker_inputs import ranker_inputs
from tolerances import close
from training.fitting.fit_ranker import RankerConfig, RankingData, best_round, fit_blend, fit_ranker

COLUMNS = ("match_raw", "item_age", "noise")
CONFIG = RankerConfig(rounds=30, smoothing=5, min_rows_in_leaf=20)


def data(n_queries: int = 60, n_candidates: int = 12, seed: int = 0) -> RankingData:
    """Who matches best is the positive, unless it is young or old: a rule for the trees on top of the blend."""
    random, n_pairs = np.random.default_rng(seed), n_queries * n_candidates
    values = {name: random.normal(size=n_pairs).astype(np.float32) for name in COLUMNS}
    utility = np.where(np.abs(values["item_age"]) > 0.7, -9, values["match_raw"]).reshape(n_queries, n_candidates)
    labels = (utility == utility.max(1, keepdims=True)).astype(np.int8).ravel()
    pairs = PairFeatures(Ragged.from_lengths(np.arange(n_pairs), np.full(n_queries, n_candidates)), values)
    return RankingData(pairs, labels)


def mean_place(ranking: RankingData, scores: np.ndarray) -> float:
    """Mean place of the positives, 0 at best; queries of twelve."""
    table, labels = scores.reshape(-1, 12), ranking.labels.reshape(-1, 12) > 0
    return float((table > table[labels][:, None]).sum(1).mean())


def test_ranker_learns_the_rule_and_says_how_it_went() -> None:
    fitted = fit_ranker(data(200), COLUMNS, CONFIG, seed=0)
    unseen = data(seed=1)
    place = mean_place(unseen, fitted.ranker.scores(unseen.pairs))
    blend = fitted.ranker.blend.scores(ranker_inputs(unseen.pairs, COLUMNS))
    assert place < 0.8 < 1.0 < mean_place(unseen, blend)
    assert len(fitted.curve) == CONFIG.rounds
    assert all(0 < figure <= 1 for figure in fitted.curve)
    assert fitted.ranker.features == COLUMNS


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
def test_rounds_are_chosen_where_the_curve_is_high_and_not_where_it_jumps(
    curve: list[float], width: int, expected: int
) -> None:
    assert best_round(curve, width) == expected


def test_same_seed_gives_the_same_ranker() -> None:
    first, second, other = (fit_ranker(data(), COLUMNS, CONFIG, seed=seed).ranker.to_files() for seed in (3, 3, 4))
    assert first == second
    assert first["ranker.txt"] != other["ranker.txt"]


def test_queries_without_positives_teach_nothing() -> None:
    whole = data()
    empty = replace(data(20, seed=5), labels=np.zeros(20 * 12, np.int8))
    pairs = PairFeatures.concat([whole.pairs, empty.pairs])
    more = RankingData(pairs, np.concatenate([whole.labels, empty.labels]))
    fitted = [fit_ranker(each, COLUMNS, CONFIG, seed=0).ranker.to_files() for each in (whole, more)]
    assert fitted[0] == fitted[1]


def test_no_positive_is_refused() -> None:
    nothing = replace(data(), labels=np.zeros(60 * 12, np.int8))
    with pytest.raises(DataError, match=r"events: expected at least 2 queries with a retrieved positive .*, got 0\."):
        fit_ranker(nothing, COLUMNS, CONFIG, seed=0)


def test_labels_follow_the_queries_that_are_taken() -> None:
    whole = data(3, 4)
    taken = whole.take(np.array([2, 0]))
    close(taken.labels, np.concatenate([whole.labels[8:], whole.labels[:4]]), "exact")
    close(taken.pairs.values["noise"][:4], whole.pairs.values["noise"][8:], "exact")


def test_the_same_data_gives_the_same_ranker_every_time() -> None:
    # Many rows: LightGBM shares out few of them to one thread only.
    ranking, random = data(12_000, seed=4), np.random.default_rng(0)
    for name in COLUMNS:
        ranking.pairs.values[name] += random.normal(size=len(ranking.labels)).astype(np.float32)
    fits = [fit_ranker(ranking, COLUMNS, RankerConfig(rounds=30), 0) for _ in range(3)]
    assert len({fitted.ranker.to_files()["ranker.txt"] for fitted in fits}) == 1


@settings(max_examples=20)
@given(st.integers(0, 1000))
def test_blend_is_where_the_slope_of_the_loss_ends(seed: int) -> None:
    ranking = data(15, seed=seed)
    features, l2 = ranker_inputs(ranking.pairs, COLUMNS), 0.02
    blend = fit_blend(features, ranking.labels, ranking.pairs.candidates.lengths, l2)
    names = [f"{name}_z" for name in COLUMNS]
    assert list(blend.weights) == names
    inputs = torch.from_numpy(np.stack([features[name] for name in names], axis=1)).double().reshape(15, 12, 3)
    weights = torch.tensor([blend.weights[name] for name in names], dtype=torch.float64, requires_grad=True)
    log_probability = (inputs @ weights).log_softmax(1)
    positive = torch.from_numpy(ranking.labels.reshape(15, 12) > 0)
    loss = -log_probability[positive].mean() + l2 * weights.square().sum()
    loss.backward()
    assert weights.grad is not None
    # Steps in float32: the slope at zero is of the order of one.
    assert float(weights.grad.abs().max()) < 2e-3


def test_blend_weighs_every_query_alike_however_many_positives_it_has() -> None:
    one = np.array([1, 0, 0, 0], np.int8)
    column = {"a_z": np.array([1.5, -0.5, -0.5, -0.5, -0.5, -0.5, -0.5, 1.5], np.float32)}
    lengths = np.array([4, 4])
    # The first query wants a high column; the second wants a low one, three times over.
    blend = fit_blend(column, np.concatenate([one, 1 - one[::-1]]), lengths, 1e-3)
    single = fit_blend(column, np.concatenate([one, np.array([1, 0, 0, 0], np.int8)]), lengths, 1e-3)
    close(blend.weights["a_z"], single.weights["a_z"], "tf32")


@pytest.mark.parametrize(("setting", "value"), [("rounds", 0), ("smoothing", 4), ("smoothing", 0)])
def test_settings_that_mean_nothing_are_refused(setting: str, value: int) -> None:
    with pytest.raises(ValueError, match=rf"{setting}: expected .*, got {value}\."):
        RankerConfig(**{setting: value})
