from __future__ import annotations

import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn import functional

from recmem.text.unit_vectors import exact_units
from tolerances import close


@given(st.integers(2, 900), st.integers(0, 99))
def test_cosines_of_exact_units_are_the_same_however_they_are_summed(dim: int, seed: int) -> None:
    raw = torch.randn((8, dim), generator=torch.Generator().manual_seed(seed))
    unit = exact_units(raw)
    order = torch.randperm(dim, generator=torch.Generator().manual_seed(seed))
    whole = unit.double() @ unit.double().T
    close(unit @ unit.T, whole, "exact")
    close(unit[:, order] @ unit[:, order].T, whole, "exact")
    close((unit[:, None] * unit[None]).cumsum(2)[:, :, -1], whole, "exact")
    close(unit.half().float(), unit, "exact")
    close(unit, functional.normalize(raw, dim=1), "grid")
