"""The join on time on a device: how many rows of a key were known at a time, by binary search."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Int
from torch import Tensor

from feature_store.point_in_time.as_of_join import AsOfIndex


@dataclass(frozen=True, eq=False)
class DeviceIndex:
    """An `AsOfIndex` on a device. Times are given as `known_until` them, which is found once per query."""

    known: Int[Tensor, " row"]
    begins: Int[Tensor, " key_and_one"]
    keys_and_places: Int[Tensor, " row"]
    stride: int

    @classmethod
    def of(cls, index: AsOfIndex, device: torch.device) -> DeviceIndex:
        """The same index on a device."""
        return cls(
            known=torch.from_numpy(index.known).to(device),
            begins=torch.from_numpy(index.begins).to(device),
            keys_and_places=torch.from_numpy(index.keys_and_places).to(device),
            stride=index.stride,
        )

    def known_until(self, times: Int[Tensor, " n"]) -> Int[Tensor, " n"]:
        """How many rows of any key were known at `times` (microseconds)."""
        return torch.searchsorted(self.known, times, right=True)

    def starts(self, keys: Int[Tensor, " n"]) -> Int[Tensor, " n"]:
        """See `AsOfIndex.starts`."""
        return self.begins[keys.clamp(0, len(self.begins) - 1)]

    def ends(self, keys: Int[Tensor, " n"], known_until: Int[Tensor, " n"]) -> Int[Tensor, " n"]:
        """See `AsOfIndex.ends`."""
        ends = torch.searchsorted(self.keys_and_places, keys * self.stride + known_until)
        # A key of -1 would end before its start.
        return torch.maximum(ends, self.starts(keys))

    def counts(self, keys: Int[Tensor, " n"], known_until: Int[Tensor, " n"]) -> Int[Tensor, " n"]:
        """See `AsOfIndex.counts`."""
        return self.ends(keys, known_until) - self.starts(keys)
