from __future__ import annotations

import math

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

from tolerances import close
from training.fitting.losses import sampled_softmax

SEEDS = st.integers(0, 10_000)


def case(seed: int, n_queries: int = 3, n_candidates: int = 5) -> tuple[torch.Tensor, ...]:
    """Scores, positives (at least one per query), excluded candidates (never positives), and log draws."""
    random = np.random.default_rng(seed)
    positives = random.random((n_queries, n_candidates)) < 0.3
    positives[np.arange(n_queries), random.integers(n_candidates, size=n_queries)] = True
    excluded = (random.random(positives.shape) < 0.3) & ~positives
    scores = random.normal(size=positives.shape) * 3
    draws = np.log(random.uniform(0.01, 1, n_candidates))
    return tuple(torch.from_numpy(array) for array in (scores, positives, excluded, draws))


def slow_loss(scores: torch.Tensor, positives: torch.Tensor, excluded: torch.Tensor, draws: torch.Tensor) -> float:
    losses = []
    for row in range(len(scores)):
        among = [c for c in range(scores.shape[1]) if not excluded[row, c]]
        corrected = {c: float(scores[row, c] - draws[c]) for c in among}
        total = math.log(math.fsum(math.exp(value) for value in corrected.values()))
        wanted = [corrected[c] - total for c in among if positives[row, c]]
        losses.append(-math.fsum(wanted) / len(wanted))
    return math.fsum(losses) / len(losses)


def test_loss_of_a_case_by_hand() -> None:
    scores = torch.tensor([[1.0, 2.0, 50.0]])
    positives = torch.tensor([[True, False, False]])
    excluded = torch.tensor([[False, False, True]])
    draws = torch.log(torch.tensor([0.5, 1.0, 1.0]))
    close(sampled_softmax(scores, positives, excluded, draws), math.log(1 + math.e**2 / (2 * math.e)), "float32")


@given(SEEDS)
def test_loss_is_that_of_the_oracle(seed: int) -> None:
    close(sampled_softmax(*case(seed)), slow_loss(*case(seed)), "float64")


@given(SEEDS)
def test_loss_of_a_batch_is_the_mean_of_single_ones(seed: int) -> None:
    scores, positives, excluded, draws = case(seed)
    singles = [sampled_softmax(scores[row, None], positives[row, None], excluded[row, None], draws) for row in range(3)]
    close(sampled_softmax(scores, positives, excluded, draws), torch.stack(singles).mean(), "float64")


@given(SEEDS, st.permutations(range(5)))
def test_order_of_the_candidates_does_not_matter(seed: int, order: list[int]) -> None:
    scores, positives, excluded, draws = case(seed)
    permuted = sampled_softmax(scores[:, order], positives[:, order], excluded[:, order], draws[order])
    close(permuted, sampled_softmax(scores, positives, excluded, draws), "float64")


@given(SEEDS)
def test_excluded_candidates_change_neither_loss_nor_gradient(seed: int) -> None:
    scores, positives, excluded, draws = case(seed)
    scores.requires_grad_()
    loss = sampled_softmax(scores, positives, excluded, draws)
    loss.backward()
    assert scores.grad is not None
    assert not scores.grad[excluded].any()
    close(sampled_softmax(scores + 1000.0 * excluded, positives, excluded, draws), loss, "float64")


@given(SEEDS)
def test_a_weight_multiplies_the_log_probability_of_its_positive(seed: int) -> None:
    scores, positives, excluded, draws = case(seed)
    weights = torch.from_numpy(np.random.default_rng(seed).uniform(0, 3, positives.shape))
    corrected = (scores - draws).masked_fill(excluded, -torch.inf)
    log_probability = corrected.log_softmax(1)
    parts = [-(weights[row] * log_probability[row])[positives[row]].mean() for row in range(len(positives))]
    weighted = sampled_softmax(scores, positives, excluded, draws, weights)
    close(weighted, torch.stack(parts).mean(), "float64")
    twice = torch.full(positives.shape, 2.0, dtype=torch.float64)
    close(sampled_softmax(*case(seed), twice), 2 * sampled_softmax(*case(seed)), "float64")


def test_candidates_that_are_drawn_often_count_less() -> None:
    positives = torch.tensor([[True, False]])
    nothing = torch.zeros(1, 2, dtype=torch.bool)
    often = sampled_softmax(torch.zeros(1, 2), positives, nothing, torch.tensor([0.0, -5.0]))
    seldom = sampled_softmax(torch.zeros(1, 2), positives, nothing, torch.tensor([-5.0, 0.0]))
    assert seldom < math.log(2) < often
