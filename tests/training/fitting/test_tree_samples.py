from __future__ import annotations

import lightgbm as lgb
import numpy as np
import pytest

from tolerances import close
from training.fitting.fit_ranker import RankerConfig, lightgbm_parameters
from training.fitting.tree_pairs import TreePairs
from training.fitting.tree_samples import FEWEST_INPUTS_NOT_COPIED, sampling_parameters

N_QUERIES = 1500
"""More than LightGBM draws in one thread, 1,024."""
N_CANDIDATES = 12
CONFIG = RankerConfig(rounds=8, min_rows_in_leaf=20)


def tree_pairs(n_inputs: int = 5, n_queries: int = N_QUERIES, *, positions: bool = False) -> TreePairs:
    random = np.random.default_rng(0)
    n_pairs = n_queries * N_CANDIDATES
    matrix = random.normal(size=(n_pairs, n_inputs)).astype(np.float32)
    utility = matrix[:, 0] + matrix[:, 1] * matrix[:, 2] + random.normal(size=n_pairs)
    return TreePairs(
        matrix=matrix,
        labels=(utility > 1.5).astype(np.int8),
        lengths=np.full(n_queries, N_CANDIDATES),
        start=(matrix[:, 0] / 2).astype(np.float32),
        positions=np.tile(np.arange(N_CANDIDATES), n_queries) if positions else None,
    )


def fitted(pairs: TreePairs, config: RankerConfig, **more: object) -> lgb.Booster:
    parameters = lightgbm_parameters(config, pairs) | {"seed": 3, "verbose": -1} | more
    names = [f"input_{column}" for column in range(pairs.matrix.shape[1])]
    dataset = pairs.dataset(names)
    dataset.params["num_threads"] = parameters["num_threads"]
    booster = lgb.Booster(parameters, dataset)
    for _ in range(config.rounds):
        booster.update()
    return booster


def trees_text(booster: lgb.Booster) -> str:
    """The trees alone: the parameters after them name the number of threads."""
    return booster.model_to_string().split("\nparameters:\n")[0]


@pytest.mark.parametrize("share", [0.3, 0.5, 0.51, 0.7, 0.9, 1.0])
@pytest.mark.parametrize("n_inputs", [5, FEWEST_INPUTS_NOT_COPIED])
def test_training_scores_are_those_of_the_trees_in_and_outside_the_samples(share: float, n_inputs: int) -> None:
    pairs = tree_pairs(n_inputs, n_queries=300)
    booster = fitted(pairs, RankerConfig(rounds=10, min_rows_in_leaf=20, row_share=share))
    # What the next tree would be fitted on: LightGBM's own scores of the rows, which include where they start from.
    training_scores = booster._Booster__inner_predict(data_idx=0)
    close(training_scores, pairs.start + booster.predict(pairs.matrix), "float64")


@pytest.mark.parametrize("share", [0.5, 0.7, 1.0])
def test_any_number_of_threads_grows_the_same_trees(share: float) -> None:
    pairs = tree_pairs()
    config = RankerConfig(rounds=CONFIG.rounds, min_rows_in_leaf=20, row_share=share)
    texts = {trees_text(fitted(pairs, config, num_threads=n_threads)) for n_threads in (1, 2, 4, 2)}
    assert len(texts) == 1


def test_trees_of_many_inputs_are_the_same_on_any_number_of_threads() -> None:
    pairs = tree_pairs(FEWEST_INPUTS_NOT_COPIED)
    texts = {trees_text(fitted(pairs, CONFIG, num_threads=n_threads)) for n_threads in (1, 2, 4)}
    assert len(texts) == 1


def test_trees_are_fitted_on_a_share_of_whole_queries() -> None:
    assert sampling_parameters(0.7) == {"bagging_fraction": 0.7, "bagging_freq": 2, "bagging_by_query": True}
    assert sampling_parameters(0.5) == {"bagging_fraction": 0.5, "bagging_freq": 1, "bagging_by_query": True}
    assert sampling_parameters(0.7, tree_pairs(n_queries=2)) == sampling_parameters(0.7)
    # A query is in a sample as a whole: the first tree was fitted on a multiple of its length.
    booster = fitted(tree_pairs(), RankerConfig(rounds=1, min_rows_in_leaf=20))
    assert booster.dump_model()["tree_info"][0]["tree_structure"]["internal_count"] % N_CANDIDATES == 0


def test_all_queries_need_no_sample() -> None:
    assert sampling_parameters(1.0) == {}


def test_pairs_are_sampled_where_positions_or_many_inputs_rule_out_queries() -> None:
    of_pairs = {"bagging_fraction": 0.7, "bagging_freq": 1}
    assert sampling_parameters(0.7, tree_pairs(n_queries=2, positions=True)) == of_pairs
    assert sampling_parameters(0.7, tree_pairs(FEWEST_INPUTS_NOT_COPIED, n_queries=2)) == of_pairs
