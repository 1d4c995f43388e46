"""Packed tables: what is rounded, by how much, and that nothing is lost but that."""

from __future__ import annotations

from dataclasses import fields, replace

import pytest
import torch
from hypothesis import given

from pair_cases import N_TEXTS, SEEDS, inputs, random_tables
from recmem.kernels import PER_ITEM, MatchTables
from recmem.kernels.packed_tables import PackedTables
from recmem.kernels.pairs_reference import match_pairs_reference
from recmem.kernels.pairs_torch import match_pairs_torch
from tolerances import close

EVERY = torch.arange(N_TEXTS)


@given(seed=SEEDS)
def test_float32_tables_are_packed_and_unpacked_without_a_change(seed: int) -> None:
    tables = random_tables(seed)
    unpacked = PackedTables.of(tables, torch.float32).unpacked()
    for field in fields(MatchTables):
        close(getattr(unpacked, field.name), getattr(tables, field.name), "exact")


@given(seed=SEEDS)
def test_exact_unit_vectors_are_exact_in_float16(seed: int) -> None:
    tables = random_tables(seed)
    close(PackedTables.of(tables).unit_rows(EVERY), tables.unit, "exact")


def test_rows_keep_the_shape_of_their_positions() -> None:
    packed = PackedTables.of(random_tables(1))
    rows = torch.tensor([[1, 2, 3], [4, 5, 6]])
    close(packed.unit_rows(rows)[1, 2], packed.unit[6], "exact")


def test_separate_tables_are_views_of_the_packed_ones() -> None:
    packed = PackedTables.of(random_tables(3))
    separate = packed.separate()
    close(separate.query, packed.unpacked().query, "exact")
    close(separate.value, packed.unpacked().value, "exact")
    assert separate.key.untyped_storage().data_ptr() == packed.slot_side.untyped_storage().data_ptr()


def test_rows_of_other_tables_come_after_its_own() -> None:
    tables = random_tables(2)
    first, others = (
        PackedTables.of(replace(tables, **{name: getattr(tables, name)[rows] for name in PER_ITEM}))
        for rows in (EVERY[:4], EVERY[4:])
    )
    found = first.followed_by(others).unpacked()
    for field in fields(MatchTables):
        close(getattr(found, field.name), getattr(PackedTables.of(tables).unpacked(), field.name), "exact")


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float16, "tf32"), (torch.bfloat16, "bfloat16")])
def test_rounded_tables_score_nearly_the_same(dtype: torch.dtype, tolerance: str) -> None:
    tables = random_tables(4, head_dim=1)
    memories, candidates = inputs([([1, 2, 3], [3, 4, 8]), ([5], [0])], 4)
    close(
        match_pairs_torch(PackedTables.of(tables, dtype), memories, candidates).similarity_max,
        match_pairs_reference(PackedTables.of(tables, torch.float32), memories, candidates).similarity_max,
        tolerance,
    )
