from __future__ import annotations

import lightgbm as lgb
import numpy as np
import pytest

from recmem.ranking.tree_checks import check_trees
from tolerances import close
from training.fitting.mean_trees import mean_trees, trees_of_member

N_ROWS = 600
PARAMETERS = {"verbose": -1, "num_leaves": 7, "min_data_in_leaf": 5, "num_threads": 1}
SAMPLED = {"bagging_fraction": 0.5, "bagging_freq": 1, "feature_fraction": 0.7, "bin_construct_sample_cnt": 200}


def matrix(seed: int = 0) -> np.ndarray:
    """Three random inputs, one with missing values, and one that is constant."""
    values = np.random.default_rng(seed).normal(size=(N_ROWS, 4)).astype(np.float32)
    values[::4, 2] = np.nan
    values[:, 3] = 1
    return values


def booster(seed: int, *, rounds: int = 12, objective: str = "lambdarank") -> lgb.Booster:
    values = matrix()
    labels = (values[:, 0] * values[:, 1] + np.nan_to_num(values[:, 2]) > 0.8).astype(np.int8)
    parameters = PARAMETERS | SAMPLED | {"seed": seed, "objective": objective}
    group = np.full(N_ROWS // 20, 20) if objective == "lambdarank" else None
    return lgb.train(parameters, lgb.Dataset(values, label=labels, group=group), num_boost_round=rounds)


def merged(boosters: list[lgb.Booster]) -> lgb.Booster:
    return lgb.Booster(model_str=mean_trees([one.model_to_string() for one in boosters]))


@pytest.mark.parametrize("n_models", [2, 3])
def test_predictions_are_the_mean_of_the_models_predictions(n_models: int) -> None:
    boosters = [booster(seed) for seed in range(n_models)]
    unseen = matrix(seed=1)
    parts = np.stack([one.predict(unseen, raw_score=True) for one in boosters])
    assert np.abs(parts[0] - parts[1]).max() > 0.01
    close(merged(boosters).predict(unseen, raw_score=True), parts.mean(0), "float64")


def test_contributions_are_means_too_and_add_up_to_the_prediction() -> None:
    boosters = [booster(seed) for seed in (4, 5, 6)]
    unseen = matrix(seed=1)
    mean = merged(boosters)
    contributions = mean.predict(unseen, pred_contrib=True)
    close(contributions, np.mean([one.predict(unseen, pred_contrib=True) for one in boosters], axis=0), "float64")
    close(contributions.sum(1), mean.predict(unseen, raw_score=True), "float64")


def test_splits_of_categories_stay_those_of_the_models() -> None:
    values = matrix()
    values[:, 3] = np.random.default_rng(7).integers(0, 50, N_ROWS)
    values[::9, 3] = np.nan
    labels = (values[:, 3] % 3 == 0).astype(np.int8)
    boosters = []
    for seed in range(3):
        dataset = lgb.Dataset(values, label=labels, group=[20] * (N_ROWS // 20), categorical_feature=[3])
        parameters = PARAMETERS | SAMPLED | {"seed": seed, "objective": "lambdarank", "min_data_per_group": 5}
        boosters.append(lgb.train(parameters, dataset, num_boost_round=8))
    mean = merged(boosters)
    check_trees(mean.model_to_string())
    unseen = matrix(seed=3)
    unseen[:, 3] = np.random.default_rng(8).integers(0, 60, N_ROWS)
    parts = np.stack([one.predict(unseen) for one in boosters])
    assert np.ptp(parts[0]) > 0.1
    close(mean.predict(unseen), parts.mean(0), "float64")


def test_models_of_different_lengths_are_averaged_and_each_is_found_again() -> None:
    boosters = [booster(0, rounds=3), booster(1, rounds=12), booster(2, rounds=6)]
    unseen = matrix(seed=2)
    mean = merged(boosters)
    close(mean.predict(unseen), np.mean([one.predict(unseen) for one in boosters], axis=0), "float64")
    contributions = np.mean([one.predict(unseen, pred_contrib=True) for one in boosters], axis=0)
    close(mean.predict(unseen, pred_contrib=True), contributions, "float64")
    text = mean.model_to_string()
    check_trees(text)
    for member, one in enumerate(boosters):
        found = trees_of_member(text, member, 3)
        check_trees(found)
        close(lgb.Booster(model_str=found).predict(unseen), one.predict(unseen), "float64")


def test_rounds_without_a_split_are_left_out_by_lightgbm_and_members_are_found_all_the_same() -> None:
    values = (np.random.default_rng(0).random((N_ROWS, 3)) < 0.4).astype(np.float32)
    labels = values[:, 0] + values[:, 1]
    # Whether an input can be split depends on the rows that a round samples.
    parameters = PARAMETERS | SAMPLED | {"objective": "regression", "min_data_in_leaf": 120}
    boosters = [
        lgb.train(parameters | {"seed": seed}, lgb.Dataset(values, label=labels), num_boost_round=20) for seed in (0, 1)
    ]
    assert boosters[0].num_trees() != boosters[1].num_trees()
    text = merged(boosters).model_to_string()
    for member, one in enumerate(boosters):
        found = lgb.Booster(model_str=trees_of_member(text, member, 2))
        close(found.predict(values), one.predict(values), "float64")


def test_the_text_passes_the_checks_of_a_bundle_and_lightgbm_writes_it_again() -> None:
    # More than ten trees: the number of a later one takes another byte.
    text = mean_trees([booster(seed).model_to_string() for seed in range(3)])
    assert check_trees(text) > 0
    again = lgb.Booster(model_str=text).model_to_string()
    assert check_trees(again) == check_trees(text)
    assert again.split("\nparameters:")[0] == text.split("\nparameters:")[0]


def test_trees_of_a_single_leaf_are_averaged() -> None:
    values = np.ones((60, 1), np.float32)
    parameters = PARAMETERS | {"objective": "regression"}
    boosters = [
        lgb.train(parameters, lgb.Dataset(values, label=np.full(60, target)), num_boost_round=1)
        for target in (2.0, 6.0)
    ]
    text = mean_trees([one.model_to_string() for one in boosters])
    check_trees(text)
    close(lgb.Booster(model_str=text).predict(values[:2]), np.array([4.0, 4.0]), "float64")


def test_uses_of_an_input_are_added_up_over_the_models() -> None:
    boosters = [booster(seed) for seed in (0, 1)]
    expected = sum(one.feature_importance("split") for one in boosters)
    assert merged(boosters).feature_importance("split").tolist() == expected.tolist()


def test_one_model_is_its_own_mean() -> None:
    text = booster(0).model_to_string()
    assert mean_trees([text]) == text


def test_models_of_other_inputs_or_objectives_are_refused() -> None:
    with pytest.raises(ValueError, match="texts: expected models of the same inputs and objective"):
        mean_trees([booster(0).model_to_string(), booster(0, objective="regression").model_to_string()])
    with pytest.raises(ValueError, match="texts: expected at least one model, got none"):
        mean_trees([])


def test_a_member_is_found_again_in_the_mean() -> None:
    boosters = [booster(seed) for seed in range(3)]
    text = mean_trees([one.model_to_string() for one in boosters])
    unseen = matrix(seed=1)
    for member, one in enumerate(boosters):
        found = trees_of_member(text, member, 3)
        check_trees(found)
        close(lgb.Booster(model_str=found).predict(unseen), one.predict(unseen), "float64")


def test_members_of_another_number_of_trees_are_refused() -> None:
    with pytest.raises(ValueError, match="text: expected a multiple of 5 trees, got 12"):
        trees_of_member(booster(0).model_to_string(), 0, 5)
