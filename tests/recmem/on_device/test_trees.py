"""Trees on a device: LightGBM's own sums to the bit, as on the CPU."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from lightgbm_trees import CATEGORY, OPTIONS, UNSEEN_CATEGORIES, fitted, values
from recmem.on_device import trees_torch
from recmem.on_device.tree_nodes import DeviceTrees
from recmem.on_device.trees import tree_sums
from recmem.ranking.tree_arrays import tree_arrays
from recmem.ranking.trees import Trees
from tests.soak import malformed_trees
from tolerances import close


def sums(text: str, matrix: np.ndarray, device: torch.device) -> torch.Tensor:
    return tree_sums(DeviceTrees.of(tree_arrays(text), device), torch.from_numpy(matrix).to(device), backend="torch")


@pytest.mark.parametrize("options", OPTIONS)
@pytest.mark.parametrize("block_cells", [trees_torch.BLOCK_CELLS, 5000, 7])
def test_sums_are_those_of_lightgbm_to_the_bit(
    options: dict[str, object], block_cells: int, device: torch.device, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trees_torch, "BLOCK_CELLS", block_cells)
    booster = fitted(**options)
    matrix = values(300 if block_cells < 100 else 3000, seed=1)
    matrix[:8, CATEGORY] = UNSEEN_CATEGORIES
    found = sums(booster.model_to_string(), matrix, device)
    close(found, booster.predict(matrix, raw_score=True), "exact")
    assert len(found.unique()) > 10 or "min_data_in_leaf" in options


def test_categories_in_every_word_go_the_way_of_lightgbm(device: torch.device) -> None:
    booster = fitted(max_cat_threshold=32)
    matrix = np.repeat(values(1), 200, axis=0)
    matrix[:, CATEGORY] = np.arange(200) - 20
    found = sums(booster.model_to_string(), matrix, device)
    close(found, booster.predict(matrix, raw_score=True), "exact")
    assert len(found.unique()) > 2


@pytest.mark.parametrize("threshold", ["-5e-36", "0", "5e-36", "0.1", "1e308", "-1e308", "inf", "-inf", "1e-40"])
def test_a_threshold_in_float32_decides_as_the_one_in_float64(threshold: str, device: torch.device) -> None:
    model = malformed_trees.Model(fitted(1, num_leaves=2).model_to_string())
    (line,) = (line for line in model.trees[0] if line.startswith("threshold="))
    model.trees[0][model.trees[0].index(line)] = f"threshold={threshold}"
    tenth = np.float32(0.1)
    numbers = [-np.inf, -3e38, -1e-34, -1e-35, -1e-36, 0, 1e-36, 1e-35, 1e-34, np.nextafter(tenth, np.float32(0))]
    numbers += [tenth, np.nextafter(tenth, np.float32(1)), 3.4028235e38, np.inf, np.nan]
    matrix = np.repeat(np.array(numbers, np.float32)[:, None], 4, axis=1)
    found = sums(model.text(), matrix, device)
    close(found, Trees(model.text()).booster.predict(matrix, raw_score=True), "exact")


def test_depth_is_that_of_the_lowest_leaf() -> None:
    trees = DeviceTrees.of(tree_arrays(fitted(3, num_leaves=255, max_depth=4).model_to_string()), torch.device("cpu"))
    assert trees.depths == (4, 4, 4)
    leaf = DeviceTrees.of(tree_arrays(fitted(2, min_data_in_leaf=10_000).model_to_string()), torch.device("cpu"))
    assert leaf.depths == (0,)


def test_no_row_has_no_sum(device: torch.device) -> None:
    assert sums(fitted(2).model_to_string(), values(0), device).shape == (0,)
