"""The table of tolerances: how far two computations of the same number may differ, and why.

A test asks `close(actual, expected, "float32")`; no test writes a tolerance of its own, and nothing in the environment
changes one.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray


@dataclass(frozen=True)
class Tolerance:
    """`|actual - expected| <= atol + rtol * |expected|`."""

    rtol: float
    atol: float
    reason: str


TOLERANCES = {
    "exact": Tolerance(0.0, 0.0, "the same operations in the same order: integers, counters, reloaded weights"),
    "float64": Tolerance(1e-12, 1e-12, "float64 sums in two orders: metrics, oracles against cases worked by hand"),
    "float32": Tolerance(1e-5, 1e-6, "a float32 scorer against its float64 oracle: sums of some hundred terms"),
    "same_rows": Tolerance(
        0.0, 1e-6, "one row scored by another way to the same model: JSON, Spark, batches of other rows"
    ),
    "explanation": Tolerance(0.0, 1e-5, "prior + contributions against the float32 match score, as users see it"),
    "float16": Tolerance(5e-4, 1e-6, "numbers rounded to float16, of 11 bits"),
    "float16_vectors": Tolerance(0.0, 1e-3, "unit vectors kept as float16: components below 1, errors below 5e-4"),
    "bfloat16_cosine": Tolerance(0.0, 2e-4, "cosine of bf16 and fp32 encodings of a text: 4e-5 measured on MiniLM"),
    "grid": Tolerance(0.0, 2e-3, "unit vectors rounded to 1 / 2048: lengths off by some 3e-4, cosines by 2e-4"),
    "tf32": Tolerance(2e-3, 2e-3, "a CUDA kernel whose products keep 10 bits of mantissa on tensor cores"),
    "bfloat16": Tolerance(2e-2, 2e-2, "a kernel that reads bf16 inputs, of 8 bits, and adds in float32"),
}


def close(actual: object, expected: object, name: str) -> None:
    """Assert that `actual` equals `expected` within the row `name` of the table; shapes and NaNs must agree.

    Arrays, numbers, sequences and tensors of any device and dtype; a single number stands for every element.
    """
    row = TOLERANCES[name]
    np.testing.assert_allclose(
        _float64(actual), _float64(expected), rtol=row.rtol, atol=row.atol, err_msg=f"{name}: {row.reason}"
    )


def _float64(value: object) -> NDArray[np.float64]:
    """Bring `value` to the CPU: numpy knows neither CUDA nor bfloat16."""
    if isinstance(value, torch.Tensor):
        value = value.detach().cpu().double()
    return np.asarray(value, dtype=np.float64)
