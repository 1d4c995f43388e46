"""Unit vectors on a grid, so that their cosines are exact."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

GRID = 2048
"""The numbers of a vector are multiples of 1 / GRID."""


def exact_units(vectors: Float[Tensor, "text dim"]) -> Float[Tensor, "text dim"]:
    """Unit vectors, rounded to multiples of 1 / GRID, whose cosines do not depend on the order of the sum: float32.

    A product of two such numbers is a multiple of 2^-22, and the magnitudes of a cosine's products sum to about 1. So
    float32 holds every partial sum exactly, in any order and on any device, and float16 holds the numbers themselves.
    The rounding moves a cosine by about 2e-4, as much as bfloat16 weights do.
    """
    return functional.normalize(vectors, dim=1).mul(GRID).round().div(GRID)
