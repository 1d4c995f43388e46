"""Served tables: float16, and the same whatever else is computed beside a text."""

from __future__ import annotations

from dataclasses import fields

import pytest
import torch

from five_item_dataset import matcher
from recmem.kernels import PER_ITEM, MatchTables
from recmem.matching import rounded_tables as rounded_tables_module
from recmem.matching.rounded_tables import ROUNDED, exact_module, rounded_tables
from recmem.text.unit_vectors import exact_units
from tolerances import close


def texts(n_texts: int) -> torch.Tensor:
    dim = matcher().module.config.dim
    return exact_units(torch.randn((n_texts, dim), generator=torch.Generator().manual_seed(n_texts)))


def test_what_products_are_of_is_float16_and_the_nearest_to_the_exact_number() -> None:
    exact = exact_module(matcher().module)
    unit = texts(40)
    tables = rounded_tables(exact, unit)
    unrounded = exact.tables(unit.double())
    for field in fields(MatchTables):
        expected = torch.float16 if field.name in ROUNDED else torch.float32
        found = getattr(tables, field.name)
        assert found.dtype == expected
        close(found, getattr(unrounded, field.name).detach().to(expected), "exact")
    close(tables.unit, unit, "exact")


@pytest.mark.parametrize("n_texts", [0, 1, 7, 8, 30])
def test_a_texts_row_does_not_depend_on_its_block(n_texts: int, monkeypatch: pytest.MonkeyPatch) -> None:
    exact = exact_module(matcher().module)
    whole = rounded_tables(exact, texts(n_texts))
    monkeypatch.setattr(rounded_tables_module, "BLOCK_ROWS", 7)
    in_blocks = rounded_tables(exact, texts(n_texts))
    for name in PER_ITEM:
        assert len(getattr(whole, name)) == n_texts
        # Those that are not rounded are float32 numbers of float64 sums.
        close(getattr(in_blocks, name), getattr(whole, name), "exact" if name in ROUNDED else "float32")
