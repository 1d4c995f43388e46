"""A step of match training: the written-out backward pass beside autograd's."""

from __future__ import annotations

from collections.abc import Callable

import torch

from benchmarks.scorer import HEAD_DIM, N_HEADS
from benchmarks.timing import Row, compare
from recmem.kernels import match_scores, match_scores_training
from recmem.matching.match_module import MatchConfig, MatchModule
from recmem.matching.user_memory import N_AGES, Slots

N_TEXTS = 1500
N_MEMORIES = 64
N_SLOTS = 1600
N_CANDIDATES = 700


def training_rows(device: torch.device | None = None) -> list[Row]:
    """Forward and backward of the match of one step's memories with its shared candidates, on a device or the CPU."""
    device = device or torch.device("cpu")
    generator = torch.Generator().manual_seed(0)
    module = MatchModule(MatchConfig(n_heads=N_HEADS, head_dim=HEAD_DIM), generator).to(device)
    unit = torch.nn.functional.normalize(torch.randn((N_TEXTS, 384), generator=generator), dim=1).to(device)
    slots = Slots(
        torch.randint(N_TEXTS, (N_SLOTS,), generator=generator),
        torch.randint(N_AGES, (N_SLOTS,), generator=generator),
        torch.randint(module.n_kinds, (N_SLOTS,), generator=generator),
        torch.randint(N_MEMORIES, (N_SLOTS,), generator=generator).sort().values,
        N_MEMORIES,
    ).to(device)
    candidates = torch.randint(N_TEXTS, (N_CANDIDATES,), generator=generator).to(device)

    def step(function: Callable[..., torch.Tensor]) -> Callable[[], object]:
        def run() -> None:
            module.zero_grad()
            bias, sign = module.slot_terms(slots)
            tables = module.tables(unit)
            scores = function(tables, slots.rows, slots.memory_index, bias, sign, candidates, N_MEMORIES)
            scores.square().mean().backward()

        return run

    ways = {"autograd": step(match_scores), "recmem": step(match_scores_training)}
    gradients = []
    for way in ways.values():
        way()
        gradients.append([weight.grad.clone() for weight in module.parameters() if weight.grad is not None])
    for ours, theirs in zip(*gradients, strict=True):
        if not torch.allclose(ours, theirs, rtol=1e-3, atol=1e-4 * float(theirs.abs().max())):
            raise ArithmeticError("gradients: expected those of autograd, got others. Not timed.")
    shape = f"{device.type}: {N_MEMORIES} memories, {N_SLOTS} slots, {N_CANDIDATES} candidates"
    return compare("match training step", shape, ways, amount=1, unit="steps/s")
