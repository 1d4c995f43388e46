"""What a computation asks of a device: copies to it, and steps on it. Counted without one, on torch's device "meta".

Tensors of "meta" have shapes and no numbers. Whatever has to know one of their numbers (`tolist`, a copy back, an index
of unknown length) raises: on CUDA it would wait.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from feature_store.point_in_time.histories import Histories
from feature_store.ragged import Ragged
from recmem.kernels import backends
from recmem.matching.matcher import Matcher

META = torch.device("meta")
ALLOCATES = ("aten.empty",)
"""What neither copies nor launches."""


class DeviceSteps(TorchDispatchMode):
    """Counts while it is entered. It stands for a kernel of Triton's as well."""

    def __init__(self) -> None:
        super().__init__()
        self.copies: list[str] = []
        self.launches: list[str] = []

    def __getitem__(self, grid: tuple[int, ...]) -> Callable[..., None]:
        """The launch of such a kernel, in place of `kernel[grid]`."""
        return lambda *args, **constants: self.launches.append("kernel")

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        read = _tensors((args, kwargs))
        made = _tensors(result)
        has_new = {_memory(tensor) for tensor in made} - {_memory(tensor) for tensor in read}
        is_view = not has_new and not func._schema.is_mutable
        name = str(func)
        if any(tensor.device == META for tensor in read):
            if not is_view:
                self.launches.append(name)
        elif any(tensor.device == META for tensor in made) and not name.startswith(ALLOCATES):
            (self.copies if read else self.launches).append(name)
        return result


def _tensors(values: object) -> list[Tensor]:
    return [value for value in tree_leaves(values) if isinstance(value, Tensor)]


def _memory(tensor: Tensor) -> int:
    return tensor.untyped_storage()._cdata


def steps_of_pair_columns(here: Matcher, histories: Histories, candidates: Ragged) -> DeviceSteps:
    """What `Matcher.pair_columns` asks of a GPU, on the second call: the first one keeps what is made once."""
    from recmem.kernels import pairs_triton

    module = copy.deepcopy(here.module).to(META)
    there = Matcher.of(module, here.tables.unit.to(META), here.memory)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TRITON_INTERPRET", "1")
        patch.setattr(backends, "why_not_triton", lambda tables, memories: None)
        for _ in range(2):
            steps = DeviceSteps()
            patch.setattr(pairs_triton, "_score", steps)
            with steps:
                columns = there.pair_columns(histories, candidates)
    assert columns.device == META
    return steps
