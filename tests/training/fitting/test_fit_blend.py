from __future__ import annotations

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from feature_store.ragged import Ragged
from recmem.ranking.pair_features import PairFeatures
from recmem.ranking.ranker_inputs import ranker_inputs
from tolerances import close
from torch_threads import torch_threads
from training.fitting.fit_blend import PositionBias, fit_blend, fit_debiased_blend
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


def test_any_number_of_threads_gives_the_same_blend() -> None:
    # Sums over 40,000 positives, which torch divides, of inputs that resemble each other.
    random = np.random.default_rng(0)
    lengths = np.full(40_000, 5)
    labels = np.tile(np.arange(5) == 0, len(lengths)).astype(np.int8)
    values = random.normal(size=(10, len(labels)))
    values = values + 0.9 * values[:1] + 0.3 * labels
    features = {f"feature_{number}_z": row.astype(np.float32) for number, row in enumerate(values)}
    blends = []
    for n_threads in (1, 2, 4):
        with torch_threads(n_threads):
            blends.append(fit_blend(features, labels, lengths, 0.02))
    assert blends == [blends[0]] * 3


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


@settings(max_examples=10)
@given(st.integers(0, 1000))
def test_a_query_of_twice_the_weight_counts_as_two(seed: int) -> None:
    ranking = data(seed)
    features = ranker_inputs(ranking.pairs, FEATURES)
    lengths = ranking.pairs.candidates.lengths
    times = np.random.default_rng(seed).integers(1, 4, N_QUERIES)
    repeated = np.repeat(np.arange(N_QUERIES), times)
    pairs = ranking.pairs.candidates.index_of(repeated)
    copies = {name: column[pairs] for name, column in features.items()}
    expected = fit_blend(copies, ranking.labels[pairs], lengths[repeated], 0.02)
    # Whatever the scale of the weights.
    weights = np.repeat(times * 7.0, N_CANDIDATES).astype(np.float32)
    found = fit_blend(features, ranking.labels, lengths, 0.02, weights)
    close(list(found.weights.values()), list(expected.weights.values()), "tf32")


def test_a_candidate_that_weighs_nothing_is_not_there() -> None:
    labels = np.array([1, 0, 0, 0, 1, 0, 0, 1], np.int8)
    column = np.array([1.5, -0.5, 2.5, -0.5, 0.5, -0.5, 0.5, -9], np.float32)
    weights = np.array([1, 1, 0, 1, 1, 1, 1, 0], np.float32)
    found = fit_blend({"a_z": column}, labels, np.array([4, 4]), 0.1, weights)
    kept = weights > 0
    # A positive that weighs nothing halves the weight of its query.
    halved = np.array([2, 2, 2, 1, 1, 1], np.float32)
    expected = fit_blend({"a_z": column[kept]}, labels[kept], np.array([3, 3]), 0.1, halved)
    close(found.weights["a_z"], expected.weights["a_z"], "tf32")
    unweighted = fit_blend({"a_z": column}, labels, np.array([4, 4]), 0.1)
    assert abs(found.weights["a_z"] - unweighted.weights["a_z"]) > 0.1


def test_others_of_a_query_count_in_proportion_to_their_weights() -> None:
    column = np.array([0.5, 1.0, -1.0], np.float32)
    labels = np.array([1, 0, 0], np.int8)
    weights = np.array([5, 4, 2], np.float32)
    found = fit_blend({"a_z": column}, labels, np.array([3]), 0.1, weights).weights["a_z"]
    # Relative to the mean of the others, which is 3.
    odds = np.array([1, 4 / 3, 2 / 3])
    shares = odds * np.exp(column * found)
    gradient = (shares * column).sum() / shares.sum() - column[0] + 2 * 0.1 * found
    assert abs(gradient) < 2e-3


def clicks(n_queries: int, seed: int) -> tuple[dict[str, np.ndarray], np.ndarray, np.ndarray]:
    """One click per query, by a softmax of a column and of the position, which another column decides."""
    random = np.random.default_rng(seed)
    quality = random.normal(size=(n_queries, N_CANDIDATES))
    old = random.normal(size=quality.shape)
    positions = (-old + 0.5 * random.normal(size=old.shape)).argsort(1).argsort(1)
    utility = quality - np.log1p(positions) + random.gumbel(size=quality.shape)
    labels = (utility == utility.max(1, keepdims=True)).astype(np.int8)
    columns = {"quality_z": quality.astype(np.float32).ravel(), "old_z": old.astype(np.float32).ravel()}
    return columns, labels.ravel(), positions.ravel()


def test_debiased_blend_finds_the_weights_and_the_biases_that_the_clicks_were_drawn_by() -> None:
    columns, labels, positions = clicks(4000, 0)
    lengths = np.full(4000, N_CANDIDATES)
    biased = fit_blend(columns, labels, lengths, 1e-4)
    assert biased.weights["old_z"] > 0.4
    bias = PositionBias(positions, N_CANDIDATES)
    blend, biases = fit_debiased_blend(columns, labels, lengths, 1e-4, bias)
    assert abs(blend.weights["quality_z"] - 1) < 0.1
    assert abs(blend.weights["old_z"]) < 0.1
    assert np.abs(biases - biases[0] + np.log1p(np.arange(N_CANDIDATES))).max() < 0.25
    assert fit_debiased_blend(columns, labels, lengths, 1e-4, bias)[0] == blend


def test_regularisation_brings_the_biases_to_0_and_the_blend_to_the_biased_one() -> None:
    columns, labels, positions = clicks(500, 1)
    lengths = np.full(500, N_CANDIDATES)
    blend, biases = fit_debiased_blend(columns, labels, lengths, 1e-4, PositionBias(positions, N_CANDIDATES, 1e3))
    assert np.abs(biases).max() < 1e-3
    plain = fit_blend(columns, labels, lengths, 1e-4)
    assert np.abs(np.subtract(list(blend.weights.values()), list(plain.weights.values()))).max() < 2e-3
