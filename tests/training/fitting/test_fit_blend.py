from __future__ import annotations

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from feature_store.ragged import Ragged
from recmem.ranking.pair_features import PairFeatures
from recmem.ranking.ranker_inputs import ranker_inputs
from tolerances import close
from training.fitting.fit_blend import fit_blend
from training.fitting.fit_ranker import RankingData

FEATURES = ("match_raw", "item_age", "noise")
N_QUERIES = 15
N_CANDIDATES = 12


def data(seed: int) -> RankingData:
    """The best match is the positive, unless the item is very new or very old."""
    random = np.random.default_rng(seed)
    n_pairs = N_QUERIES * N_CANDIDATES
    values = {name: random.normal(size=n_pairs).astype(np.float32) for name in FEATURES}
    utility = np.where(np.abs(values["item_age"]) > 0.7, -9, values["match_raw"]).reshape(N_QUERIES, N_CANDIDATES)
    labels = (utility == utility.max(1, keepdims=True)).astype(np.int8).ravel()
    candidates = Ragged.from_lengths(np.arange(n_pairs), np.full(N_QUERIES, N_CANDIDATES))
    return RankingData(PairFeatures(candidates, values), labels)


@settings(max_examples=20)
@given(st.integers(0, 1000))
def test_gradient_of_the_loss_is_zero_at_the_blend(seed: int) -> None:
    ranking = data(seed)
    features = ranker_inputs(ranking.pairs, FEATURES)
    l2 = 0.02
    blend = fit_blend(features, ranking.labels, ranking.pairs.candidates.lengths, l2)
    names = [f"{name}_z" for name in FEATURES]
    assert list(blend.weights) == names
    inputs = (
        torch.from_numpy(np.stack([features[name] for name in names], axis=1))
        .double()
        .reshape(N_QUERIES, N_CANDIDATES, 3)
    )
    weights = torch.tensor([blend.weights[name] for name in names], dtype=torch.float64, requires_grad=True)
    log_probability = (inputs @ weights).log_softmax(1)
    positive = torch.from_numpy(ranking.labels.reshape(N_QUERIES, N_CANDIDATES) > 0)
    loss = -log_probability[positive].mean() + l2 * weights.square().sum()
    loss.backward()
    assert weights.grad is not None
    # In float32, where the gradient at the start is of the order of one.
    assert float(weights.grad.abs().max()) < 2e-3


def test_every_query_weighs_the_same_however_many_positives_it_has() -> None:
    first = np.array([1, 0, 0, 0], np.int8)
    column = {"a_z": np.array([1.5, -0.5, -0.5, -0.5, -0.5, -0.5, -0.5, 1.5], np.float32)}
    lengths = np.array([4, 4])
    # The first query wants a high column; the second wants a low one, three times over.
    blend = fit_blend(column, np.concatenate([first, 1 - first[::-1]]), lengths, 1e-3)
    single = fit_blend(column, np.concatenate([first, np.array([1, 0, 0, 0], np.int8)]), lengths, 1e-3)
    close(blend.weights["a_z"], single.weights["a_z"], "tf32")


def test_missing_value_counts_as_the_mean_of_its_query() -> None:
    labels = np.array([1, 0, 0, 0, 1, 0], np.int8)
    lengths = np.array([3, 3])
    missing = {"a_z": np.array([1.2, np.nan, -1.2, np.nan, 1.0, -1.0], np.float32)}
    filled = {"a_z": np.nan_to_num(missing["a_z"], nan=0.0)}
    assert fit_blend(missing, labels, lengths, 1e-3) == fit_blend(filled, labels, lengths, 1e-3)
