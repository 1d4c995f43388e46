"""The match module's tables as they are served: computed in float64, rounded to float16, the same on every machine.

Rounding a float32 product would give two numbers: its last bits depend on the batch, the device and the number of
threads, and some of these products lie at a border of float16. In float64 the border is practically never met, so a
text's row is the same in any batch and on any device, and every backend multiplies the same numbers.
"""

from __future__ import annotations

import copy
from dataclasses import fields, replace

import torch
from jaxtyping import Float
from torch import Tensor

from recmem.kernels import PER_ITEM, MatchTables
from recmem.matching.match_module import MatchModule

ROUNDED = ("unit", "query", "key", "probe", "value")
"""The tables that are rounded to float16: all that products are of. The others are float32."""
BLOCK_ROWS = 65_536
"""Texts whose float64 tables are held at once: some 500 MB."""


def exact_module(module: MatchModule) -> MatchModule:
    """The module in float64."""
    return copy.deepcopy(module).double()


def rounded_tables(exact: MatchModule, unit: Float[Tensor, "text dim"]) -> MatchTables:
    """The tables of texts with these unit vectors, on the module's device; `exact` is `exact_module` of the module."""
    device = exact.key.device
    with torch.inference_mode():
        # Without texts there is one empty block. Vectors that are elsewhere are moved block by block.
        parts = [_rounded(exact.tables(block.to(device).double())) for block in unit.split(BLOCK_ROWS)]
        if len(parts) == 1:
            return parts[0]
        return replace(parts[0], **{name: torch.cat([getattr(part, name) for part in parts]) for name in PER_ITEM})


def _rounded(tables: MatchTables) -> MatchTables:
    names = [field.name for field in fields(MatchTables)]
    return MatchTables(
        **{name: getattr(tables, name).to(torch.float16 if name in ROUNDED else torch.float32) for name in names}
    )
