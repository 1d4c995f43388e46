from __future__ import annotations

import subprocess
import sys
from dataclasses import fields

import numpy as np
import pytest
import torch
from torch import Tensor

import slow_reference
from further_slots import add_note_kind
from recmem.kernels import MatchTables
from recmem.matching import memory_kinds
from recmem.matching.match_module import INITIAL_ATTENTION, INITIAL_SCORE, MatchConfig, MatchModule, term_of
from recmem.matching.user_memory import N_AGES, Slots
from tolerances import close

CONFIG = MatchConfig(dim=12, n_heads=2, head_dim=4)
NEGATIVE, NEUTRAL, POSITIVE = range(3)


def unit_vectors(n_texts: int = 6, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.nn.functional.normalize(torch.randn((n_texts, CONFIG.dim), generator=generator), dim=1)


def module(*, trained: bool) -> MatchModule:
    """Fresh, or with every parameter moved so that none hides behind a zero."""
    generator = torch.Generator().manual_seed(1)
    made = MatchModule(CONFIG, generator)
    if trained:
        with torch.no_grad():
            for parameter in made.parameters():
                parameter.add_(torch.randn(parameter.shape, generator=generator) * 0.3)
    return made


def slots(memories: list[list[tuple[int, int, int]]]) -> Slots:
    """Memories of (row, age bucket, kind)."""
    entries = [entry for memory in memories for entry in memory]
    rows, ages, kinds = torch.tensor(entries, dtype=torch.int64).reshape(-1, 3).T
    memory_index = torch.arange(len(memories)).repeat_interleave(torch.tensor([len(memory) for memory in memories]))
    return Slots(rows, ages, kinds, memory_index, len(memories))


MEMORIES = [[(0, 3, POSITIVE), (1, 0, NEGATIVE)], [], [(5, 23, NEUTRAL), (0, 4, POSITIVE), (0, 0, POSITIVE)]]
CANDIDATES = torch.tensor([2, 3, 0])


def test_cosines_are_of_the_frozen_numbers_alone_and_projections_read_all() -> None:
    config = MatchConfig(dim=12, n_heads=2, head_dim=4, similarity_dim=5)
    vectors = unit_vectors()
    made = MatchModule.from_weights(config, module(trained=True).state_dict())
    tables = made.tables(vectors)
    close(tables.unit, vectors[:, :5], "exact")
    whole = module(trained=True).tables(vectors)
    close(tables.query, whole.query, "exact")
    close(tables.prior, whole.prior, "exact")
    changed = vectors.clone()
    changed[:, 5:] = 0
    assert not torch.equal(made.tables(changed).query, tables.query)
    close(made.tables(changed).unit, tables.unit, "exact")


@pytest.mark.parametrize("similarity_dim", [0, 13])
def test_a_similarity_dim_beyond_the_vector_is_refused(similarity_dim: int) -> None:
    with pytest.raises(ValueError, match=r"similarity_dim: expected a number from 1 to dim \(12\), got"):
        MatchConfig(dim=12, similarity_dim=similarity_dim)


def test_an_untrained_module_ranks_by_the_cosine() -> None:
    vectors = unit_vectors()
    made = module(trained=False)
    with torch.no_grad():
        for projection in (made.query, made.probe):
            projection.zero_()
        found = made(made.tables(vectors), slots([[(1, 0, POSITIVE)]]), CANDIDATES)[0]
    cosine = vectors[CANDIDATES] @ vectors[1]
    weight = torch.exp(INITIAL_ATTENTION * cosine)
    close(found, INITIAL_SCORE * cosine * weight / (weight + 1), "float32")


def test_the_fresh_projections_add_little_to_the_cosine() -> None:
    vectors = unit_vectors()
    made = module(trained=False)
    tables = made.tables(vectors)
    close((tables.key @ tables.query.T).abs().max() < INITIAL_ATTENTION / 10, True, "exact")
    close((tables.value @ tables.probe.T).abs().max() < INITIAL_SCORE / 10, True, "exact")


def test_scores_are_those_of_the_oracle_from_the_parameters_up() -> None:
    vectors = unit_vectors()
    made = module(trained=True)
    with torch.no_grad():
        found = made(made.tables(vectors), slots(MEMORIES), CANDIDATES)
    weights = {name: parameter.detach().double().numpy() for name, parameter in made.named_parameters()}
    unit = vectors.double().numpy()
    scale = CONFIG.head_dim**-0.5
    tables = {
        "unit": unit,
        "query": unit @ weights["query"].T * scale,
        "key": unit @ weights["key"].T + weights["key_bias"],
        "probe": unit @ weights["probe"].T * scale,
        "value": unit @ weights["value"].T + weights["value_bias"],
        "prior": unit @ weights["prior"],
        "null_value": unit @ weights["null_value"].T + weights["null_offset"],
        "alpha": weights["alpha"],
        "gamma": weights["gamma"],
        "null_logit": weights["null_logit"],
    }
    for place, memory in enumerate(MEMORIES):
        rows = [row for row, _, _ in memory]
        bias = np.array([weights["age"][age] + weights["kind"][kind] for _, age, kind in memory])
        sign = np.array([weights["sign"][kind] for _, _, kind in memory])
        expected = [
            slow_reference.match(tables, rows, bias, sign, int(item), CONFIG.n_heads).score for item in CANDIDATES
        ]
        close(found[place], expected, "float32")


def test_an_empty_memory_has_the_score_of_prior_and_null_slot() -> None:
    made = module(trained=True)
    tables = made.tables(unit_vectors())
    found = made(tables, slots([[]]), CANDIDATES)[0]
    close(found, tables.prior[CANDIDATES] + tables.null_value[CANDIDATES].sum(1), "float32")


def test_age_and_kind_of_a_slot_change_the_score() -> None:
    made = module(trained=True)
    tables = made.tables(unit_vectors())
    variants = [(1, 0, POSITIVE), (1, 5, POSITIVE), (1, 0, NEGATIVE), (1, 0, NEUTRAL)]
    found = made(tables, slots([[variant] for variant in variants]), CANDIDATES[:1])
    assert len(found.unique()) == len(variants)


def test_the_table_of_terms_has_those_of_every_slot() -> None:
    made = module(trained=True)
    every = [(0, age, kind) for age in range(N_AGES) for kind in range(made.n_kinds)]
    found = slots([every])
    for table, terms in zip(made.terms(), made.slot_terms(found), strict=True):
        close(table[term_of(found)], terms, "exact")


def test_a_negative_sign_reverses_the_value_of_a_slot() -> None:
    made = module(trained=False)
    with torch.no_grad():
        made.sign[NEGATIVE] = -1
    tables = made.tables(unit_vectors())
    positive = made(tables, slots([[(1, 0, POSITIVE)]]), CANDIDATES)
    negative = made(tables, slots([[(1, 0, NEGATIVE)]]), CANDIDATES)
    close(negative, -positive, "float32")


def test_dropout_reaches_the_projections_and_not_the_cosine() -> None:
    vectors = unit_vectors()
    made = module(trained=True)
    whole = made.tables(vectors)
    dropped = made.tables(vectors, dropped=torch.zeros_like(vectors))
    close(dropped.unit, whole.unit, "exact")
    assert not dropped.query.any()
    close(dropped.key, made.key_bias.expand(len(vectors), -1), "exact")


def test_same_generator_gives_the_same_module() -> None:
    first, second = (MatchModule(CONFIG, torch.Generator().manual_seed(4)).state_dict() for _ in range(2))
    other = MatchModule(CONFIG, torch.Generator().manual_seed(5)).state_dict()
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert not torch.equal(first["query"], other["query"])


def test_reloaded_weights_give_the_same_scores() -> None:
    made = module(trained=True)
    again = MatchModule.from_weights(CONFIG, made.state_dict())
    found = [each(each.tables(unit_vectors()), slots(MEMORIES), CANDIDATES) for each in (made, again)]
    close(found[0], found[1], "exact")


LOAD = """
import sys
from recmem.matching.match_module import MatchConfig, MatchModule
config = MatchConfig(dim=12, n_heads=2, head_dim=4)
before = set(sys.modules)
MatchModule.from_weights(config, MatchModule(config).state_dict())
print(*sorted(name for name in set(sys.modules) - before if name in ("torch._dynamo", "sympy")))
"""


def test_reading_weights_does_not_import_torchs_compiler() -> None:
    done = subprocess.run([sys.executable, "-c", LOAD], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []


def test_weights_of_another_shape_are_refused() -> None:
    with pytest.raises(ValueError, match=r"query: expected weights of shape \(8, 16\), got \(8, 12\)"):
        MatchModule.from_weights(MatchConfig(dim=16, n_heads=2, head_dim=4), module(trained=False).state_dict())


def test_every_parameter_is_learned_from_a_loss() -> None:
    made = module(trained=True)
    (made(made.tables(unit_vectors()), slots(MEMORIES), CANDIDATES) ** 2).sum().backward()
    without = [name for name, weight in made.named_parameters() if weight.grad is None or not weight.grad.any()]
    assert without == []


def test_heads_lie_side_by_side() -> None:
    tables = module(trained=True).tables(unit_vectors())
    assert isinstance(tables, MatchTables)
    assert {field.name for field in fields(tables)} >= {"query", "key", "probe", "value"}
    halves = [tables.head(tables.query, head) for head in range(CONFIG.n_heads)]
    close(torch.cat(halves, dim=1), tables.query, "exact")


@pytest.mark.parametrize("name", ["dim", "n_heads", "head_dim"])
def test_widths_below_one_are_refused(name: str) -> None:
    with pytest.raises(ValueError, match=rf"{name}: expected (at least 1|1 to 1,024), got 0\."):
        MatchConfig(**{name: 0})


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"alpha": torch.full((2,), torch.nan)}, r"match\.alpha: expected finite weights, got NaN or infinity"),
        ({"probe": torch.full((8, 12), 1e4)}, r"match\.probe: expected rows of a length up to 30,000, got 3\.46e\+04"),
        ({"value_bias": torch.full((8,), -3e4)}, r"match\.value: expected rows of a length up to 30,000, got 3e\+04"),
        ({"key": torch.full((8, 12), 3e38)}, r"match\.key: expected rows of a length up to 30,000, got 1\.04e\+39"),
        ({"prior": torch.zeros(12, dtype=torch.float64)}, r"match\.prior: expected float32 weights of shape \(12,\)"),
        ({"age": torch.zeros(3, 2)}, r"match\.age: expected float32 weights of shape \(\d+, 2\), got .*\[3, 2\]"),
        ({"null_value": torch.zeros(2)}, r"match\.null_value: expected float32 weights of shape \(2, 12\)"),
        ({"more": torch.zeros(2)}, r"match: expected weights query, .*, got 'more' missing or too many"),
        ({"kind": torch.tensor(1.0)}, r"match\.kind: expected weights of \d memory kinds .*, got 0"),
    ],
)  # fmt: skip
def test_weights_that_do_not_fit_are_refused(changes: dict[str, torch.Tensor], words: str) -> None:
    weights = module(trained=False).state_dict() | changes
    with pytest.raises(ValueError, match=words):
        MatchModule.from_weights(CONFIG, weights)


def test_cosines_are_of_the_first_numbers_and_projections_of_all() -> None:
    config = MatchConfig(dim=12, n_heads=2, head_dim=4, similarity_dim=6)
    made = MatchModule(config, torch.Generator().manual_seed(4))
    vectors = unit_vectors()
    close(made.tables(vectors).unit, vectors[:, :6], "exact")
    other = torch.cat([vectors[:, :6], vectors[:, 6:].flip(0)], dim=1)
    for name in ("query", "key", "probe", "value"):
        assert (getattr(made.tables(other), name) - getattr(made.tables(vectors), name)).abs().max() > 1e-4
    again = MatchModule.from_weights(config, made.state_dict())
    close(again.tables(vectors).key, made.tables(vectors).key, "exact")


@pytest.mark.parametrize("similarity_dim", [0, 13])
def test_more_similar_numbers_than_a_vector_has_are_refused(similarity_dim: int) -> None:
    with pytest.raises(ValueError, match=r"similarity_dim: expected a number from 1 to dim \(12\), got"):
        MatchConfig(dim=12, similarity_dim=similarity_dim)


def test_a_module_of_before_has_no_weights_of_kinds_that_were_added_since(monkeypatch: pytest.MonkeyPatch) -> None:
    before = module(trained=True)
    add_note_kind(monkeypatch)
    n_kinds = len(memory_kinds.KINDS)
    loaded = MatchModule.from_weights(CONFIG, before.state_dict())
    assert (before.n_kinds, loaded.n_kinds, MatchModule(CONFIG).n_kinds) == (n_kinds - 1, n_kinds - 1, n_kinds)
    for name, weight in before.state_dict().items():
        close(loaded.state_dict()[name], weight, "exact")
    loaded.require_kinds(np.arange(n_kinds) < n_kinds - 1)
    with pytest.raises(ValueError, match=r"match\.kind: expected weights of the memory's kind 'note', got those of"):
        loaded.require_kinds(np.ones(n_kinds, bool))
    few = before.state_dict() | {name: before.state_dict()[name][:2] for name in ("kind", "sign")}
    with pytest.raises(ValueError, match=r"match\.kind: expected weights of \d memory kinds .*, got 2"):
        MatchModule.from_weights(CONFIG, few)
