"""Memories and candidates as the Triton kernel reads them: one buffer, filled on the host and copied at once.

A small request costs what its steps on the device cost, whatever they compute: each copy, launch and wait takes some
microseconds. So everything that is counted or looked up before the kernel is done here, in NumPy, and one copy carries
it over. Numbers are int32, half of what torch's rows take.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import accumulate

import numpy as np
import torch
from jaxtyping import Int32
from torch import Tensor

from feature_store.arrays import IntArray
from recmem.kernels.pair_pieces import pair_pieces
from recmem.kernels.pairs import Memories, PairCandidates

ALIGNED = 4
"""Numbers of int32 that each part begins at a multiple of: Triton compiles a kernel of its own for pointers that are
no multiples of 16 bytes."""


@dataclass(frozen=True, eq=False)
class PairRequest:
    """The parts of a request, as views of one buffer on the device. They hold fewer than 2^31 slots and pairs."""

    n_memories: int
    tiles: Int32[Tensor, "tile 4"]
    """What a program of the kernel scores: see `pair_pieces`."""
    slot_rows: Int32[Tensor, " slot"]
    term: Int32[Tensor, " slot"]
    counted: Int32[Tensor, " slot"]
    """1 or 0."""
    cand_rows: Int32[Tensor, " pair"]


@dataclass(frozen=True, eq=False)
class HostRequest:
    """A `PairRequest` on the host."""

    words: Int32[Tensor, " word"]
    """The parts of `PairRequest`, each from a multiple of `ALIGNED` on."""
    begins: list[int]
    """Of each part."""
    lengths: list[int]
    n_memories: int

    def to(self, device: torch.device) -> PairRequest:
        """The request on a device, in one copy. From pinned memory it is only begun: torch keeps that until it ends."""
        words = self.words.to(device, non_blocking=True)
        places = zip(self.begins, self.lengths, strict=True)
        tiles, *others = [words.narrow(0, begin, length) for begin, length in places]
        return PairRequest(self.n_memories, tiles.view(-1, 4), *others)


def packed(memories: Memories, candidates: PairCandidates, most: int, *, pinned: bool) -> HostRequest:
    """The request on the host, with at most `most` candidates of one memory as a tile; memories and candidates that are
    on a device are fetched. `pinned`: whether in pinned memory, for a copy to CUDA that nothing waits for."""
    most_of_each = np.full(len(memories), most)
    tiles = pair_pieces(_array(memories.offsets), _array(candidates.offsets), most_of_each)
    slots = [_array(part) for part in (memories.rows, memories.term, memories.counted)]
    parts = [tiles.ravel(), *slots, _array(candidates.rows)]
    lengths = [len(part) for part in parts]
    *begins, end = accumulate((-(-length // ALIGNED) * ALIGNED for length in lengths), initial=0)
    words = torch.empty(end, dtype=torch.int32, pin_memory=pinned)
    numbers = words.numpy()
    for begin, part in zip(begins, parts, strict=True):
        numbers[begin : begin + len(part)] = part
    return HostRequest(words, begins, lengths, len(memories))


def _array(numbers: Tensor) -> IntArray:
    array: IntArray = numbers.cpu().numpy()
    return array
