from __future__ import annotations

import functools
import math

import lightgbm as lgb
import numpy as np
import pytest

import slow_reference
from feature_store import DataError
from feature_store.ragged import Ragged
from recmem.ranking import ranker as ranker_module
from recmem.ranking.features import PairFeatures
from recmem.ranking.ranker import Blend, Ranker, feature_matrix, feature_names, ranking_features
from tolerances import close

COLUMNS = ("match_raw", "item_age", "user_gap", "item_price")
FEATURES = ("match_raw_z", "item_age_z", "item_price_z", "item_age", "user_gap")


def pairs(lengths: tuple[int, ...] = (5, 1, 8, 4), seed: int = 0) -> PairFeatures:
    """Random columns; prices are missing here and there."""
    random, n_pairs = np.random.default_rng(seed), sum(lengths)
    values = {name: random.normal(size=n_pairs).astype(np.float32) for name in COLUMNS}
    values["item_price"][::3] = np.nan
    return PairFeatures(Ragged.from_lengths(np.arange(n_pairs), np.array(lengths)), values)


@functools.cache
def ranker() -> Ranker:
    """A blend and trees over random columns, the trees on the raw age above all."""
    data = pairs((20,) * 40, seed=1)
    matrix = feature_matrix(ranking_features(data, COLUMNS), FEATURES)
    target = matrix[:, 0] * matrix[:, 3] + np.nan_to_num(matrix[:, 2])
    parameters = {"verbose": -1, "num_leaves": 7, "min_data_in_leaf": 10, "num_threads": 1}
    dataset = lgb.Dataset(matrix, label=target, feature_name=list(FEATURES))
    booster = lgb.train(parameters, dataset, num_boost_round=10)
    return Ranker(booster, Blend({"match_raw_z": 0.75, "item_price_z": -0.5}), COLUMNS, FEATURES)


def test_features_are_relative_columns_then_those_that_mean_the_same_everywhere() -> None:
    assert feature_names(COLUMNS) == FEATURES


def test_features_are_raw_columns_and_z_scores_within_the_query() -> None:
    data = pairs()
    features = ranking_features(data, COLUMNS)
    assert set(features) == {*COLUMNS, "match_raw_z", "item_age_z", "item_price_z"}
    for name in COLUMNS:
        close(features[name], data.values[name], "exact")
    for begin, end in zip(data.candidates.offsets, data.candidates.offsets[1:], strict=False):
        expected = slow_reference.z_scores(data.values["item_price"][begin:end].tolist())
        close(features["item_price_z"][begin:end], expected, "float32")


def test_matrix_holds_the_features_in_the_order_asked_for() -> None:
    features = ranking_features(pairs(), COLUMNS)
    matrix = feature_matrix(features, ("user_gap", "match_raw_z"))
    close(matrix, np.stack([features["user_gap"], features["match_raw_z"]], axis=1), "exact")


def test_blend_is_a_weighted_sum_in_which_the_missing_is_the_mean() -> None:
    blend = Blend({"a_z": 2.0, "b_z": -0.5})
    columns = {"a_z": np.array([1.0, np.nan], np.float32), "b_z": np.array([4.0, 2.0], np.float32)}
    close(blend.scores(columns), [0.0, -1.0], "float32")


def test_score_is_the_blend_and_the_trees() -> None:
    features = ranking_features(pairs(), COLUMNS)
    trees = np.array([ranker().booster.predict(row[None])[0] for row in feature_matrix(features, FEATURES)])
    blend = 0.75 * features["match_raw_z"] - 0.5 * np.nan_to_num(features["item_price_z"])
    close(ranker().scores(pairs()), blend + trees, "float32")


@pytest.mark.parametrize("share", [0.0, 0.3, 0.7])
def test_in_a_cascade_the_best_by_the_blend_are_scored_in_full_and_the_others_follow(
    share: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ranker_module, "LEAST_KEPT", 2)
    data, model = pairs(), ranker()
    whole, scores = model.scores(data), model.scores(data, trees_share=share)
    blend = model.blend.scores(ranking_features(data, COLUMNS))
    n_seen = 0
    for begin, end in zip(data.candidates.offsets, data.candidates.offsets[1:], strict=False):
        order = np.argsort(-blend[begin:end]) + begin
        n_kept = min(max(math.ceil(share * (end - begin)), 2), end - begin)
        kept, others = order[:n_kept], order[n_kept:]
        close(scores[kept], whole[kept], "exact")
        assert (np.diff([scores[kept].min(), *scores[others]]) < 0).all()
        n_seen += n_kept
    assert model.n_seen(data, share) == n_seen


def test_a_cascade_takes_queries_without_candidates_and_a_blend_of_nothing() -> None:
    for lengths in ((3, 0, 2), (0, 0)):
        close(ranker().scores(pairs(lengths), trees_share=0.5), ranker().scores(pairs(lengths)), "exact")
    trees_alone = Ranker(ranker().booster, Blend({}), COLUMNS, FEATURES)
    close(trees_alone.scores(pairs(), trees_share=0.5), trees_alone.scores(pairs()), "exact")


def test_in_a_cascade_those_that_tie_at_the_border_are_scored_in_full(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ranker_module, "LEAST_KEPT", 1)
    data = pairs((6,))
    data.values["match_raw"][:], data.values["item_price"][:] = 1, np.nan
    assert ranker().n_seen(data, 0.0) == 6
    close(ranker().scores(data, trees_share=0.0), ranker().scores(data), "exact")


def test_queries_of_a_batch_are_scored_as_single_ones() -> None:
    data, whole = pairs(), ranker().scores(pairs())
    singles = [ranker().scores(data.take(np.array([row]))) for row in range(len(data.candidates))]
    close(np.concatenate(singles), whole, "exact")


def test_permuting_candidates_permutes_scores() -> None:
    data, order = pairs((6,)), np.array([3, 5, 0, 1, 4, 2])
    turned = PairFeatures(data.candidates, {name: column[order] for name, column in data.values.items()})
    close(ranker().scores(turned), ranker().scores(data)[order], "float32")


def test_contributions_of_the_columns_sum_to_the_score() -> None:
    constant, parts = ranker().contributions(pairs())
    assert tuple(parts) == COLUMNS
    close(constant + sum(parts.values()), ranker().scores(pairs()), "explanation")


def test_a_column_that_nothing_reads_contributes_nothing() -> None:
    data = pairs()
    blend_only = Ranker(ranker().booster, Blend({"match_raw_z": 1.0}), COLUMNS, FEATURES)
    parts = {
        name: column - blend_only.contributions(data)[1][name]
        for name, column in ranker().contributions(data)[1].items()
    }
    features = ranking_features(data, COLUMNS)
    close(parts["match_raw"], -0.25 * features["match_raw_z"], "explanation")
    close(parts["item_price"], -0.5 * np.nan_to_num(features["item_price_z"]), "explanation")
    close(parts["user_gap"], 0.0, "exact")


def test_importance_is_shared_out_among_the_columns() -> None:
    shares = ranker().importance()
    assert tuple(shares) == COLUMNS
    close(sum(shares.values()), 1.0, "float64")
    gain = dict(zip(FEATURES, ranker().booster.feature_importance("gain"), strict=True))
    close(shares["item_age"], (gain["item_age"] + gain["item_age_z"]) / sum(gain.values()) / 2, "float64")
    close(shares["match_raw"], gain["match_raw_z"] / sum(gain.values()) / 2 + 0.75 / 1.25 / 2, "float64")


def test_reloaded_ranker_gives_the_same_scores() -> None:
    again = Ranker.from_files(ranker().to_files())
    close(again.scores(pairs()), ranker().scores(pairs()), "exact")
    assert (again.columns, again.features, again.blend) == (ranker().columns, ranker().features, ranker().blend)


def test_no_pair_has_no_score() -> None:
    assert len(ranker().scores(pairs(()))) == 0


@pytest.mark.parametrize("wrong", ["absent", "float64"])
def test_columns_that_are_absent_or_of_another_type_are_refused(wrong: str) -> None:
    data = pairs()
    if wrong == "absent":
        del data.values["item_age"]
    else:
        data.values["item_age"] = data.values["item_age"].astype(np.float64)
    with pytest.raises(DataError, match=r"as float32, got none or another type for item_age\. Build the columns"):
        ranker().scores(data)
