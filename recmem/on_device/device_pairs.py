"""The pairs of some queries on a device, as the features of `device_features` read them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from typing import TypeVar, cast

import torch
from jaxtyping import Int
from torch import Tensor

from recmem.on_device.segments import Segments
from recmem.ranking.feature_computation import FeatureContext

T = TypeVar("T")


@dataclass(frozen=True, eq=False)
class DevicePairs:
    """Pairs on the device of the matcher. What is kept per query stays on the host: there are few queries."""

    context: FeatureContext
    _results: dict[object, object] = field(default_factory=dict, repr=False)

    def once(self, compute: Callable[[DevicePairs], T]) -> T:
        """`compute(self)`, run on the first call only."""
        if compute not in self._results:
            self._results[compute] = compute(self)
        return cast(T, self._results[compute])

    @property
    def device(self) -> torch.device:
        """Where the pairs are."""
        return self.context.matcher.device

    @cached_property
    def items(self) -> Int[Tensor, " pair"]:
        """The row of each candidate; rows from `len(dataset.catalogue)` on are texts that are not in it."""
        return torch.from_numpy(self.context.candidates.values).to(self.device)

    @cached_property
    def queries(self) -> Segments:
        """Which pairs are each query's."""
        return Segments.of(self.context.candidates, self.device)

    @cached_property
    def times(self) -> Int[Tensor, " query"]:
        """The time of each query, microseconds."""
        return torch.from_numpy(self.context.queries.times).to(self.device)
