"""The written-out backward pass against autograd's, on the definition's numbers."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import fields

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pair_cases import N_TEXTS, flat, moved, random_tables
from recmem.kernels import MatchTables, RetrievedSlots, match_scores, match_scores_training
from recmem.kernels.match_reference import visible_slots
from recmem.kernels.match_training import _Attend
from recmem.matching.match_module import MatchConfig, MatchModule
from recmem.matching.user_memory import N_AGES, Slots
from recmem.text.unit_vectors import exact_units
from stand_in_cuda import stand_in_cuda
from tolerances import close

MEMORIES = st.lists(st.lists(st.integers(0, N_TEXTS - 1), max_size=5), min_size=1, max_size=4)
CANDIDATES = st.lists(st.integers(0, N_TEXTS - 1), min_size=1, max_size=5)


def scores_and_gradients(
    function: Callable[..., torch.Tensor],
    memories: list[list[int]],
    candidates: list[int],
    seed: int,
    retrieved: RetrievedSlots | None,
    size: float,
) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
    """In float64, of a random sum of the scores; `size` times the bias drives logits into the clamp."""
    tables = random_tables(seed)
    n_slots = sum(map(len, memories))
    generator = torch.Generator().manual_seed(seed)
    named = {field.name: getattr(tables, field.name).double() for field in fields(tables)}
    terms = {name: torch.randn((n_slots, 2), generator=generator, dtype=torch.float64) for name in ("bias", "sign")}
    terms["bias"] *= size
    inputs = {name: part.requires_grad_(name != "unit") for name, part in (named | terms).items()}
    owner = torch.tensor([place for place, memory in enumerate(memories) for _ in memory], dtype=torch.int64)
    scores = function(
        MatchTables(**{name: inputs[name] for name in named}),
        flat(memories),
        owner,
        inputs["bias"],
        inputs["sign"],
        torch.tensor(candidates),
        len(memories),
        retrieved,
    )
    weights = torch.randn(scores.shape, generator=generator, dtype=torch.float64)
    (scores * weights).sum().backward()
    return scores.detach(), {name: part.grad for name, part in inputs.items() if part.grad is not None}


def test_a_device_gives_the_gradients_of_the_cpu(device: torch.device) -> None:
    slots = torch.tensor([1, 2, 3, 3, 0])
    owner = torch.tensor([0, 0, 0, 2, 2])
    candidates = torch.tensor([4, 1, 5])
    terms = torch.randn((2, 5, 2), generator=torch.Generator().manual_seed(3))
    found = []
    for on in (device, torch.device("cpu")):
        tables = moved(random_tables(3), on)
        names = [field.name for field in fields(tables) if field.name != "unit"]
        inputs = [getattr(tables, name).requires_grad_() for name in names]
        bias, sign = terms.to(on)
        scores = match_scores_training(tables, slots.to(on), owner.to(on), bias, sign, candidates.to(on), 3)
        scores.square().sum().backward()
        found.append([scores, *(part.grad for part in inputs)])
    for there, here in zip(*found, strict=True):
        close(there, here, "float32")


class KeptContext:
    """What autograd hands from the forward pass to the backward pass."""

    saved_tensors: tuple[torch.Tensor, ...]
    heads: list[object]

    def save_for_backward(self, *tensors: torch.Tensor) -> None:
        self.saved_tensors = tensors


def test_no_tensor_of_the_cpu_comes_into_a_step_on_a_gpu() -> None:
    # By hand, without autograd: the stand-in for a GPU has no gradients.
    def passes(device: torch.device) -> list[torch.Tensor]:
        tables = moved(random_tables(3), device)
        slots, owner, candidates = (
            torch.tensor(rows, device=device) for rows in ([1, 2, 3, 3, 0], [0, 0, 0, 2, 2], [4, 1, 5])
        )
        bias, sign = torch.full((2, 5, 2), 40.0, device=device)
        older = torch.tensor([True, True, False, True, False], device=device)
        cosine = tables.unit[slots] @ tables.unit[candidates].T
        context = KeptContext()
        score = _Attend.forward(
            context,
            cosine,
            visible_slots(cosine, owner, RetrievedSlots(older, 1)),
            owner,
            3,
            tables.query[candidates],
            tables.probe[candidates],
            tables.key[slots],
            tables.value[slots],
            bias,
            sign,
            tables.alpha,
            tables.gamma,
            tables.null_value[candidates],
            tables.null_logit,
        )
        gradients = _Attend.backward(context, torch.ones_like(score))
        return [score.cpu(), *(gradient.cpu() for gradient in gradients if gradient is not None)]

    expected = passes(torch.device("cpu"))
    with nullcontext() if torch.cuda.is_available() else stand_in_cuda():
        found = passes(torch.device("cuda"))
    for there, here in zip(found, expected, strict=True):
        close(there, here, "float32")


@settings(max_examples=40)
@given(MEMORIES, CANDIDATES, st.integers(0, 1000), st.sampled_from([1.0, 40.0]), st.booleans())
def test_scores_and_gradients_are_autograds(
    memories: list[list[int]], candidates: list[int], seed: int, size: float, retrieves: bool
) -> None:
    older = torch.rand(sum(map(len, memories)), generator=torch.Generator().manual_seed(seed)) < 0.5
    retrieved = RetrievedSlots(older, 1) if retrieves else None
    expected = scores_and_gradients(match_scores, memories, candidates, seed, retrieved, size)
    found = scores_and_gradients(match_scores_training, memories, candidates, seed, retrieved, size)
    close(found[0], expected[0], "float64")
    assert found[1].keys() == expected[1].keys()
    for name, gradient in expected[1].items():
        close(found[1][name], gradient, "float64")


@pytest.mark.parametrize("memories", [[[]], [[], [1]]])
def test_an_empty_memory_has_gradients_of_its_prior_and_null_slot(memories: list[list[int]]) -> None:
    _, gradients = scores_and_gradients(match_scores_training, memories, [2, 3], 1, None, 1.0)
    assert gradients["prior"].abs().sum() > 0
    assert gradients["null_value"].abs().sum() > 0


def test_the_same_step_gives_the_same_gradients_to_the_last_bit() -> None:
    generator = torch.Generator().manual_seed(0)
    module = MatchModule(MatchConfig(dim=64, n_heads=4, head_dim=32), generator)
    unit = exact_units(torch.randn((1500, 64), generator=generator))

    def rows(below: int, n: int) -> torch.Tensor:
        return torch.randint(below, (n,), generator=generator)

    slots = Slots(rows(1500, 3000), rows(N_AGES, 3000), rows(module.n_kinds, 3000), rows(64, 3000).sort().values, 64)
    candidates = rows(1500, 700)
    found = []
    for _ in range(8):
        module.zero_grad()
        module(module.tables(unit), slots, candidates).square().mean().backward()
        found.append({name: weight.grad for name, weight in module.named_parameters() if weight.grad is not None})
    for again in found[1:]:
        for name, gradient in found[0].items():
            close(again[name], gradient, "exact")
