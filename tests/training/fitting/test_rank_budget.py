from __future__ import annotations

import torch

from recmem.text.encoder_tuning import EncoderTuning, tunable
from tiny_encoder import tiny_encoder
from tolerances import close
from training.fitting.rank_budget import ORTHOGONALITY, RankBudget

RANK = 4
N_MATRICES = 3 * 6


def model() -> torch.nn.Module:
    prepared: torch.nn.Module = tunable(tiny_encoder().model, EncoderTuning("adalora", rank=RANK))
    return prepared


def singular_values(adapted: torch.nn.Module) -> torch.Tensor:
    return torch.cat([weight.flatten() for name, weight in adapted.named_parameters() if ".lora_E." in name])


def run(adapted: torch.nn.Module, budget: RankBudget, steps: range) -> None:
    generator = torch.Generator().manual_seed(steps.start)
    for step in steps:
        for name, weight in adapted.named_parameters():
            if weight.requires_grad:
                weight.grad = torch.randn(weight.shape, generator=generator)
                with torch.no_grad():
                    weight -= 0.01 * weight.grad
                assert "lora" in name
        budget.after_step(step)


def test_at_the_last_step_as_many_directions_are_left_as_the_rank_says() -> None:
    adapted = model()
    assert len(singular_values(adapted)) == N_MATRICES * (RANK + RANK // 2)
    run(adapted, RankBudget(adapted, 40, drops=True), range(1, 41))
    n_left = int((singular_values(adapted) != 0).sum())
    assert abs(n_left - N_MATRICES * RANK) <= 1


def test_a_later_fit_leaves_dropped_directions_at_zero_and_moves_the_others() -> None:
    adapted = model()
    run(adapted, RankBudget(adapted, 40, drops=True), range(1, 41))
    before = singular_values(adapted).clone()
    run(adapted, RankBudget(adapted, 10, drops=False), range(1, 11))
    after = singular_values(adapted)
    close((after == 0).float(), (before == 0).float(), "exact")
    assert (after != before)[before != 0].all()


def test_a_restored_budget_drops_the_same_directions() -> None:
    cut = model()
    budget = RankBudget(cut, 40, drops=True)
    run(cut, budget, range(1, 21))
    state = {name: tensor.clone() for name, tensor in budget.state().items()}
    resumed = model()
    resumed.load_state_dict(cut.state_dict())
    again = RankBudget(resumed, 40, drops=True)
    again.restore(state)
    run(cut, budget, range(21, 41))
    run(resumed, again, range(21, 41))
    close(singular_values(resumed), singular_values(cut), "exact")
    assert (singular_values(cut) == 0).any()


def test_orthonormal_directions_have_no_penalty_and_others_have_one() -> None:
    adapted = model()
    budget = RankBudget(adapted, 10, drops=True)
    rank = RANK + RANK // 2
    with torch.no_grad():
        for name, weight in adapted.named_parameters():
            if ".lora_A." in name:
                weight.copy_(torch.eye(rank, weight.shape[1]))
            if ".lora_B." in name:
                weight.copy_(torch.eye(weight.shape[0], rank))
    close(budget.penalty().detach(), 0.0, "float32")
    with torch.no_grad():
        for name, weight in adapted.named_parameters():
            if ".lora_A." in name:
                weight.zero_()
    # Half of the sides are now as far off as a Gram matrix of zeros is from the identity.
    close(budget.penalty().detach(), ORTHOGONALITY * rank**0.5 / 2, "float32")


def test_weights_that_are_loaded_after_the_budget_was_made_keep_their_directions() -> None:
    """As in a run that was killed and goes on: the encoder is new, with all directions at zero."""
    first = model()
    run(first, RankBudget(first, 40, drops=True), range(1, 41))
    later = model()
    assert not singular_values(later).any()
    budget = RankBudget(later, 10, drops=False)
    later.load_state_dict(first.state_dict())
    budget.note_kept()
    run(later, budget, range(1, 11))
    close((singular_values(later) != 0).float(), (singular_values(first) != 0).float(), "exact")
