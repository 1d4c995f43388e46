"""The tests of this folder run on a stand-in for a GPU where there is none."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch

from recmem.kernels import backends, top_k
from recmem.on_device import trees
from stand_in_cuda import stand_in_cuda


@pytest.fixture(scope="module", params=["cpu", pytest.param("cuda", marks=pytest.mark.gpu)])
def device(request: pytest.FixtureRequest) -> Iterator[torch.device]:
    """The CPU, and CUDA or its stand-in."""
    if request.param == "cpu" or torch.cuda.is_available():
        yield torch.device(request.param)
        return
    with stand_in_cuda(backends, top_k, trees):
        yield torch.device("cuda")
