"""The match in plain torch against a case by hand, the float64 oracle, and what must hold for any backend."""

from __future__ import annotations

import math
from dataclasses import fields, replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

import slow_reference
from recmem.kernels import LOGIT_LIMIT, MatchTables, RetrievedSlots, match_contributions, match_scores
from tolerances import close

N_TEXTS = 7
DIM = 6
N_HEADS = 2
HEAD_DIM = 3
ROWS = st.integers(0, N_TEXTS - 1)
MEMORIES = st.lists(st.lists(ROWS, max_size=5), min_size=1, max_size=4)
CANDIDATES = st.lists(ROWS, min_size=1, max_size=5)
SEEDS = st.integers(0, 1000)
SCALES = st.sampled_from([0.1, 1.0, 4.0])

FEWER = settings(max_examples=40)  # the oracle takes its time


def random_tables(seed: int, scale: float = 1.0) -> MatchTables:
    generator = torch.Generator().manual_seed(seed)

    def draw(*shape: int) -> Tensor:
        return torch.randn(shape, generator=generator) * scale

    return MatchTables(
        unit=torch.nn.functional.normalize(draw(N_TEXTS, DIM), dim=1),
        query=draw(N_TEXTS, N_HEADS * HEAD_DIM),
        key=draw(N_TEXTS, N_HEADS * HEAD_DIM),
        probe=draw(N_TEXTS, N_HEADS * HEAD_DIM),
        value=draw(N_TEXTS, N_HEADS * HEAD_DIM),
        prior=draw(N_TEXTS),
        null_value=draw(N_TEXTS, N_HEADS),
        alpha=draw(N_HEADS),
        gamma=draw(N_HEADS),
        null_logit=draw(N_HEADS),
    )


def slot_terms(memories: list[list[int]], seed: int) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed + 1)
    n_slots = sum(map(len, memories))
    return tuple(torch.randn((n_slots, N_HEADS), generator=generator) for _ in range(2))  # type: ignore[return-value]


def flat(memories: list[list[int]]) -> tuple[Tensor, Tensor]:
    slots = torch.tensor([row for memory in memories for row in memory], dtype=torch.int64)
    owner = torch.tensor([place for place, memory in enumerate(memories) for _ in memory], dtype=torch.int64)
    return slots, owner


def scores(
    tables: MatchTables, memories: list[list[int]], candidates: list[int], terms: tuple[Tensor, Tensor]
) -> Tensor:
    slots, owner = flat(memories)
    return match_scores(tables, slots, owner, *terms, torch.tensor(candidates), len(memories))


def in_float64(tables: MatchTables) -> dict[str, np.ndarray]:
    return {field.name: getattr(tables, field.name).double().numpy() for field in fields(tables)}


def oracle_scores(
    tables: MatchTables, memories: list[list[int]], candidates: list[int], terms: tuple[Tensor, Tensor]
) -> list[list[float]]:
    numbers = in_float64(tables)
    rows = []
    first = 0
    for memory in memories:
        bias, sign = (term[first : first + len(memory)].double().numpy() for term in terms)
        first += len(memory)
        rows.append([slow_reference.match(numbers, memory, bias, sign, item, N_HEADS).score for item in candidates])
    return rows


def test_one_head_and_one_slot_by_hand() -> None:
    tables = MatchTables(
        unit=torch.tensor([[1.0, 0.0], [0.6, 0.8]]),
        query=torch.tensor([[2.0], [0.0]]),
        key=torch.tensor([[0.0], [0.5]]),
        probe=torch.tensor([[3.0], [0.0]]),
        value=torch.tensor([[0.0], [0.1]]),
        prior=torch.tensor([0.25, 9.0]),
        null_value=torch.tensor([[-0.5], [9.0]]),
        alpha=torch.tensor([2.0]),
        gamma=torch.tensor([0.5]),
        null_logit=torch.tensor([0.3]),
    )
    terms = torch.tensor([[-0.2]]), torch.tensor([[-1.0]])
    weight = math.exp(2.0 * 0.5 + 2.0 * 0.6 - 0.2)
    null = math.exp(0.3)
    value = 3.0 * 0.1 + 0.5 * 0.6
    expected = 0.25 + (null * -0.5 - weight * value) / (null + weight)
    close(scores(tables, [[1]], [0], terms), [[expected]], "float32")


@FEWER
@given(MEMORIES, CANDIDATES, SEEDS, SCALES)
def test_scores_are_those_of_the_oracle(
    memories: list[list[int]], candidates: list[int], seed: int, scale: float
) -> None:
    tables = random_tables(seed, scale)
    terms = slot_terms(memories, seed)
    expected = oracle_scores(tables, memories, candidates, terms)
    # What is added up may be larger than the sum: the tolerance holds for numbers of about one.
    size = max(1.0, scale**2 * 8)
    close(scores(tables, memories, candidates, terms) / size, np.array(expected) / size, "float32")


@FEWER
@given(CANDIDATES, SEEDS)
def test_an_empty_memory_scores_the_prior_and_the_null_values(candidates: list[int], seed: int) -> None:
    tables = random_tables(seed)
    found = scores(tables, [[], []], candidates, slot_terms([], seed))
    expected = tables.prior[candidates] + tables.null_value[candidates].sum(1)
    close(found, torch.stack([expected, expected]), "float32")


@FEWER
@given(MEMORIES, CANDIDATES, SEEDS)
def test_memories_of_a_batch_are_scored_as_single_ones(
    memories: list[list[int]], candidates: list[int], seed: int
) -> None:
    tables = random_tables(seed)
    bias, sign = slot_terms(memories, seed)
    batch = scores(tables, memories, candidates, (bias, sign))
    first = 0
    for place, memory in enumerate(memories):
        part = slice(first, first + len(memory))
        first += len(memory)
        close(scores(tables, [memory], candidates, (bias[part], sign[part]))[0], batch[place], "float32")


@FEWER
@given(MEMORIES, st.permutations(range(N_TEXTS)), SEEDS)
def test_permuting_candidates_permutes_scores(memories: list[list[int]], candidates: list[int], seed: int) -> None:
    tables = random_tables(seed)
    terms = slot_terms(memories, seed)
    in_order = scores(tables, memories, list(range(N_TEXTS)), terms)
    close(scores(tables, memories, candidates, terms), in_order[:, candidates], "float32")


@FEWER
@given(st.permutations(range(5)), SEEDS)
def test_the_order_of_the_slots_does_not_matter(order: list[int], seed: int) -> None:
    memory = [3, 1, 1, 6, 0]
    tables = random_tables(seed)
    bias, sign = slot_terms([memory], seed)
    turned = scores(tables, [[memory[place] for place in order]], [2, 5], (bias[order], sign[order]))
    close(turned, scores(tables, [memory], [2, 5], (bias, sign)), "float32")


@FEWER
@given(st.lists(ROWS, max_size=6), CANDIDATES, SEEDS)
def test_contributions_sum_to_the_score(memory: list[int], candidates: list[int], seed: int) -> None:
    tables = random_tables(seed)
    terms = slot_terms([memory], seed)
    slots, _ = flat([memory])
    prior, null, parts = match_contributions(tables, slots, *terms, torch.tensor(candidates))
    close(prior + null + parts.sum(0), scores(tables, [memory], candidates, terms)[0], "explanation")


@FEWER
@given(st.lists(ROWS, max_size=6), CANDIDATES, SEEDS)
def test_contributions_are_those_of_the_oracle(memory: list[int], candidates: list[int], seed: int) -> None:
    tables = random_tables(seed)
    terms = slot_terms([memory], seed)
    slots, _ = flat([memory])
    prior, null, parts = match_contributions(tables, slots, *terms, torch.tensor(candidates))
    bias, sign = (term.double().numpy() for term in terms)
    for place, item in enumerate(candidates):
        expected = slow_reference.match(in_float64(tables), memory, bias, sign, item, N_HEADS)
        close(prior[place], expected.prior, "float32")
        close(null[place], expected.null, "float32")
        close(parts[:, place], expected.slots, "float32")


@FEWER
@given(MEMORIES, CANDIDATES, st.integers(1, 3), st.integers(0, 5), SEEDS)
def test_of_the_older_slots_those_most_similar_to_a_candidate_are_visible_to_it(
    memories: list[list[int]], candidates: list[int], n_kept: int, n_recent: int, seed: int
) -> None:
    memories = [list(dict.fromkeys(memory)) for memory in memories]  # equal cosines would all be kept
    tables = random_tables(seed)
    bias, sign = slot_terms(memories, seed)
    older = torch.tensor([len(memory) - place > n_recent for memory in memories for place in range(len(memory))]).bool()
    slots, owner = flat(memories)
    found = match_scores(
        tables, slots, owner, bias, sign, torch.tensor(candidates), len(memories), RetrievedSlots(older, n_kept)
    )
    numbers = in_float64(tables)
    first = 0
    for number, memory in enumerate(memories):
        cut = max(len(memory) - n_recent, 0)
        for place, item in enumerate(candidates):
            by_cosine = sorted(
                range(cut), key=lambda slot: -float(numbers["unit"][item] @ numbers["unit"][memory[slot]])
            )
            visible = sorted([*by_cosine[:n_kept], *range(cut, len(memory))])
            terms = [term[[first + slot for slot in visible]].double().numpy() for term in (bias, sign)]
            expected = slow_reference.match(numbers, [memory[slot] for slot in visible], *terms, item, N_HEADS)
            close(found[number, place], expected.score, "float32")
        first += len(memory)


@FEWER
@given(st.lists(ROWS, min_size=1, max_size=6), CANDIDATES, SEEDS)
def test_contributions_of_a_memory_with_retrieved_slots_sum_to_its_score(
    memory: list[int], candidates: list[int], seed: int
) -> None:
    tables = random_tables(seed)
    bias, sign = slot_terms([memory], seed)
    slots, owner = flat([memory])
    retrieved = RetrievedSlots(torch.arange(len(memory)) < 4, 2)
    rows = torch.tensor(candidates)
    prior, null, parts = match_contributions(tables, slots, bias, sign, rows, retrieved)
    score = match_scores(tables, slots, owner, bias, sign, rows, 1, retrieved)[0]
    close(prior + null + parts.sum(0), score, "explanation")


@pytest.mark.parametrize("size", [35.0, 1e4, 1e30])
def test_logits_are_clamped_and_scores_stay_finite(size: float) -> None:
    memory = [0, 1, 2]
    candidates = [3, 4]
    tables = replace(random_tables(0), null_logit=torch.tensor([-size, size]))
    bias = torch.tensor([[size, -size], [-size, size], [size, size]])
    sign = torch.ones(3, N_HEADS)
    found = scores(tables, [memory], candidates, (bias, sign))
    at_limit = scores(
        replace(tables, null_logit=tables.null_logit.clamp(-LOGIT_LIMIT, LOGIT_LIMIT)),
        [memory],
        candidates,
        # Far beyond the limit either way, so that q k and the cosine cannot bring a logit back inside.
        (bias.sign() * 1e4, sign),
    )
    close(found, oracle_scores(tables, [memory], candidates, (bias, sign)), "float32")
    if size > 100:
        close(found, at_limit, "exact")


def test_a_memory_of_negative_similarities_is_not_taken_for_an_empty_one() -> None:
    unit = torch.nn.functional.normalize(torch.tensor([[1.0, 0.0], [-1.0, 0.1], [-1.0, -0.3]]), dim=1)
    nothing = torch.zeros(3, N_HEADS)
    tables = MatchTables(
        unit=unit,
        query=nothing,
        key=nothing,
        probe=nothing,
        value=nothing,
        prior=torch.zeros(3),
        null_value=nothing,
        alpha=torch.full((N_HEADS,), 10.0),
        gamma=torch.ones(N_HEADS),
        null_logit=torch.full((N_HEADS,), -30.0),
    )
    terms = torch.zeros(2, N_HEADS), torch.ones(2, N_HEADS)
    found = scores(tables, [[1, 2], []], [0], (torch.zeros(2, N_HEADS), torch.ones(2, N_HEADS)))
    cosines = [float(unit[0] @ unit[row]) for row in (1, 2)]
    assert N_HEADS * min(cosines) <= float(found[0, 0]) <= N_HEADS * max(cosines) < 0
    close(found[0], oracle_scores(tables, [[1, 2]], [0], terms)[0], "float32")
    close(found[1], 0.0, "exact")


@FEWER
@given(SEEDS)
def test_slots_of_no_weight_change_no_score(seed: int) -> None:
    memories = [[1, 2], [0]]
    tables = random_tables(seed, 0.1)
    bias, sign = slot_terms(memories, seed)
    padded_bias = torch.cat([bias, torch.full((3, N_HEADS), -1e9)])
    padded = scores(tables, [*memories, [4, 5, 6]], [3], (padded_bias, torch.cat([sign, torch.ones(3, N_HEADS)])))
    close(padded[:2], scores(tables, memories, [3], (bias, sign)), "float32")
    close(padded[2], tables.prior[3] + tables.null_value[3].sum(), "float32")


def test_gradients_are_those_of_finite_differences() -> None:
    memories = [[1, 2, 2], [], [4]]
    candidates = [0, 2, 5]
    tables = random_tables(3)
    slots, owner = flat(memories)
    names = [field.name for field in fields(tables)]
    inputs = [getattr(tables, name).double().requires_grad_() for name in names]
    inputs += [term.double().requires_grad_() for term in slot_terms(memories, 3)]

    def score(*numbers: Tensor) -> Tensor:
        parts = MatchTables(**dict(zip(names, numbers[: len(names)], strict=True)))
        return match_scores(parts, slots, owner, *numbers[len(names) :], torch.tensor(candidates), len(memories))

    assert torch.autograd.gradcheck(score, inputs)


def test_scores_of_a_device_are_those_of_the_oracle(device: torch.device) -> None:
    memories = [[1, 2, 3], [], [6]]
    candidates = [0, 5]
    tables = random_tables(5)
    terms = slot_terms([[1, 2, 3], [], [6]], 5)
    moved = MatchTables(**{field.name: getattr(tables, field.name).to(device) for field in fields(tables)})
    slots, owner = (part.to(device) for part in flat(memories))
    bias, sign = (term.to(device) for term in terms)
    found = match_scores(moved, slots, owner, bias, sign, torch.tensor(candidates, device=device), len(memories))
    assert found.device.type == device.type
    close(found, oracle_scores(tables, memories, candidates, terms), "float32")
