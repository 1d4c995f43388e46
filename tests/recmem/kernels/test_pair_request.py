"""What the Triton kernel reads of a request: one buffer, whose parts hold the memories' and candidates' numbers."""

from __future__ import annotations

import numpy as np
import torch
from hypothesis import given

from pair_cases import CASES, SEEDS, inputs
from recmem.kernels.pair_pieces import pair_pieces
from recmem.kernels.pair_request import ALIGNED, packed


@given(case=CASES, seed=SEEDS)
def test_parts_hold_what_is_asked_and_share_a_buffer(
    device: torch.device, case: list[tuple[list[int], list[int]]], seed: int
) -> None:
    memories, candidates = inputs(case, seed)
    on_host = packed(memories, candidates, 2, pinned=device.type == "cuda")
    request = on_host.to(device)
    assert request.slot_rows.tolist() == memories.rows.tolist()
    assert request.term.tolist() == memories.term.tolist()
    assert request.counted.tolist() == memories.counted.tolist()
    assert request.cand_rows.tolist() == candidates.rows.tolist()
    offsets = (memories.offsets.numpy(), candidates.offsets.numpy())
    assert request.tiles.tolist() == pair_pieces(*offsets, np.full(len(case), 2)).tolist()
    assert request.n_memories == len(case)
    parts = (request.tiles, request.slot_rows, request.term, request.counted, request.cand_rows)
    assert len({part.untyped_storage().data_ptr() for part in parts}) == 1
    assert all(part.dtype == torch.int32 for part in parts)
    # Kernels read 16 bytes at once where they may.
    assert all(part.storage_offset() % ALIGNED == 0 for part in parts)


def test_memories_and_candidates_of_a_device_are_fetched(device: torch.device) -> None:
    memories, candidates = inputs([([1, 2], [3]), ([4], [5, 6])], 0)
    request = packed(memories.to(device), candidates.to(device), 2, pinned=False).to(torch.device("cpu"))
    assert request.slot_rows.tolist() == memories.rows.tolist()
    assert request.cand_rows.tolist() == candidates.rows.tolist()
