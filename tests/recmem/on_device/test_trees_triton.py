"""Trees as a Triton kernel: LightGBM's own sums to the bit, in the interpreter where there is no GPU."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from lightgbm_trees import CATEGORY, OPTIONS, UNSEEN_CATEGORIES, fitted, values
from recmem.on_device.tree_nodes import DeviceTrees
from recmem.on_device.trees import tree_sums
from recmem.ranking.tree_arrays import tree_arrays
from tolerances import close

pytest.importorskip("triton", reason="pip install 'recmem[triton]'")


@pytest.mark.parametrize("options", OPTIONS)
def test_sums_are_those_of_lightgbm_to_the_bit(options: dict[str, object], triton_device: torch.device) -> None:
    booster = fitted(8, **options)
    matrix = values(300, seed=1)
    matrix[:8, CATEGORY] = UNSEEN_CATEGORIES
    trees = DeviceTrees.of(tree_arrays(booster.model_to_string()), triton_device)
    found = tree_sums(trees, torch.from_numpy(matrix).to(triton_device), backend="triton")
    close(found, booster.predict(matrix, raw_score=True), "exact")
    assert len(found.unique()) > 10 or "min_data_in_leaf" in options


@pytest.mark.parametrize("n_rows", [0, 1, 128, 129])
def test_any_number_of_rows(n_rows: int, triton_device: torch.device) -> None:
    booster = fitted(2)
    matrix = values(n_rows, seed=2)
    trees = DeviceTrees.of(tree_arrays(booster.model_to_string()), triton_device)
    found = tree_sums(trees, torch.from_numpy(matrix).to(triton_device), backend="triton")
    expected = booster.predict(matrix, raw_score=True) if n_rows else np.empty(0)
    close(found, expected, "exact")


COMPILE = """
from triton import compile
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource

from recmem.on_device import trees_triton as kernel

function = kernel._walk
types = dict.fromkeys(function.arg_names, "*i32") | dict.fromkeys(("n_rows", "n_inputs", "n_trees"), "i32")
types |= {"matrix": "*fp32", "threshold": "*fp32", "leaf_value": "*fp64", "sums": "*fp64", "words": "*i64"}
for has_categories in (True, False):
    constants = dict(HAS_CATEGORIES=has_categories, BLOCK=kernel.BLOCK_ROWS)
    source = ASTSource(function, types | dict.fromkeys(constants, "constexpr"), constexprs=constants)
    made = compile(source, target=GPUTarget("cuda", 90, 32), options={"num_warps": kernel.WARPS})
    print(made.asm["ptx"].count("add.f64"), made.asm["ptx"].count("fma.rn.f64"))
"""


@pytest.mark.skipif(platform.machine() != "x86_64", reason="Triton's assembler for CUDA is for x86-64")
def test_the_kernel_compiles_for_an_h100_and_adds_without_fusing(tmp_path: Path) -> None:
    # Triton's compiler needs no GPU, but another process: the interpreter that the tests run in is chosen at import.
    environment = {name: value for name, value in os.environ.items() if name != "TRITON_INTERPRET"}
    environment["TRITON_CACHE_DIR"] = str(tmp_path)
    made = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", COMPILE], env=environment, capture_output=True, text=True
    )
    assert made.returncode == 0, made.stderr
    for line in made.stdout.splitlines():
        n_additions, n_fused = map(int, line.split())
        assert n_additions > 0
        assert n_fused == 0
