from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from feature_store.point_in_time.histories import Histories
from feature_store.ragged import Ragged
from recmem.kernels import match_contributions
from recmem.matching.match_module import MatchConfig, MatchModule
from recmem.matching.matcher import Matcher
from recmem.matching.mean_module import mean_module
from recmem.matching.user_memory import MemoryConfig, Slots
from tolerances import close

CONFIG = MatchConfig(dim=12, n_heads=2, head_dim=4)
CANDIDATES = torch.tensor([2, 3, 0])


def unit_vectors(n_texts: int = 6) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.nn.functional.normalize(torch.randn((n_texts, CONFIG.dim), generator=generator), dim=1)


def trained_module(seed: int, config: MatchConfig = CONFIG) -> MatchModule:
    """Every parameter is moved, so that none hides behind a zero."""
    generator = torch.Generator().manual_seed(seed)
    made = MatchModule(config, generator)
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=generator) * 0.3)
    return made.eval()


def slots() -> Slots:
    """A memory of three slots, an empty one, and one of a negative slot alone."""
    return Slots(
        rows=torch.tensor([0, 1, 5, 4]),
        ages=torch.tensor([3, 0, 23, 1]),
        kinds=torch.tensor([2, 0, 1, 0]),
        memory_index=torch.tensor([0, 0, 0, 2]),
        n_memories=3,
    )


@pytest.mark.parametrize("n_modules", [2, 3, 5])
def test_scores_are_the_mean_of_the_modules_scores(n_modules: int) -> None:
    modules = [trained_module(seed) for seed in range(n_modules)]
    vectors = unit_vectors()
    merged = mean_module(modules)
    with torch.inference_mode():
        found = merged(merged.tables(vectors), slots(), CANDIDATES)
        parts = [module(module.tables(vectors), slots(), CANDIDATES) for module in modules]
    assert merged.config == replace(CONFIG, n_heads=2 * n_modules)
    assert float((parts[0] - parts[1]).abs().max()) > 0.1  # the mean is not that of equals
    close(found, torch.stack(parts).mean(0), "float32")


def test_prior_null_part_and_slots_are_means_too() -> None:
    modules = [trained_module(seed) for seed in (7, 8, 9)]
    vectors = unit_vectors()
    merged = mean_module(modules)
    memory = Slots(
        torch.tensor([0, 5]), torch.tensor([0, 2]), torch.tensor([2, 0]), torch.zeros(2, dtype=torch.int64), 1
    )

    def contributions(module: MatchModule) -> tuple[Tensor, Tensor, Tensor]:
        return match_contributions(module.tables(vectors), memory.rows, *module.slot_terms(memory), CANDIDATES)

    with torch.inference_mode():
        found = contributions(merged)
        parts = [contributions(module) for module in modules]
        score = merged(merged.tables(vectors), memory, CANDIDATES)[0]
    for kind, contribution in enumerate(found):
        close(contribution, torch.stack([part[kind] for part in parts]).mean(0), "float32")
    close(found[0] + found[1] + found[2].sum(0), score, "explanation")


def test_features_of_pairs_are_the_mean_through_the_kernels() -> None:
    modules = [trained_module(seed) for seed in (1, 2)]
    histories = Histories(
        items=Ragged.from_lists([[0, 1, 4], [5]]),
        times=np.array([10, 20, 30, 5]),
        signs=np.array([1, -1, 1, 1], np.int8),
        recency=np.array([2, 1, 0, 0]),
    )
    candidates = Ragged.from_lists([[2, 3], [0, 1, 2]])
    memory = MemoryConfig()
    vectors = unit_vectors()
    merged = Matcher.of(mean_module(modules), vectors, memory).pair_features(histories, candidates)
    parts = [Matcher.of(module, vectors, memory).pair_features(histories, candidates) for module in modules]
    for name, column in merged.items():
        close(column, np.mean([part[name] for part in parts], axis=0), "float32")


def test_one_module_is_its_own_mean() -> None:
    alone = trained_module(3)
    assert mean_module([alone]) is alone


def test_the_mean_of_copies_scores_as_each_of_them() -> None:
    vectors = unit_vectors()
    merged = mean_module([trained_module(4), trained_module(4)])
    alone = trained_module(4)
    with torch.inference_mode():
        close(
            merged(merged.tables(vectors), slots(), CANDIDATES),
            alone(alone.tables(vectors), slots(), CANDIDATES),
            "float32",
        )


def test_modules_of_two_shapes_are_refused() -> None:
    wide = trained_module(0, replace(CONFIG, n_heads=3))
    with pytest.raises(ValueError, match=r"modules: expected match modules of one shape, got .*n_heads=2.*n_heads=3"):
        mean_module([trained_module(0), wide])


def test_no_module_is_refused() -> None:
    with pytest.raises(ValueError, match="modules: expected at least one match module, got none"):
        mean_module([])
