"""Products with a panel, and its filling, against numpy."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

pytest.importorskip("numba", reason="pip install 'recmem[numba]'")
from recmem.kernels.tiles_numba import LANES, ROWS, fill_panel, times_panel, widen_rows
from tolerances import close

N_ITEMS = 11
FEWER = settings(max_examples=30, deadline=None)  # the first example compiles


def random_table(width: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(N_ITEMS, width)).astype(np.float16)


def widened(table: np.ndarray, rows: np.ndarray) -> np.ndarray:
    out = np.full((len(rows), table.shape[1]), np.nan, np.float32)
    widen_rows(table.view(np.int16), rows, out)
    return out


def panel_of(table: np.ndarray, rows: np.ndarray) -> np.ndarray:
    n_lanes = -(-len(rows) // LANES) * LANES
    panel = np.full((table.shape[1], n_lanes), np.nan, np.float32)
    fill_panel(table.view(np.int16), rows, panel)
    return panel


def test_every_float16_is_widened_to_the_same_number() -> None:
    # All bit patterns: zeros, subnormal numbers, infinities and NaNs too; 61 of a row are not whole vectors.
    numbers = np.arange(2**16, dtype=np.uint16).view(np.float16)
    table = np.resize(numbers, (2**16 // 61 + 1, 61))
    close(widened(table, np.arange(len(table))), table, "exact")


@FEWER
@given(width=st.integers(1, 70), n_rows=st.integers(1, 150), seed=st.integers(0, 99))
def test_a_panel_holds_rows_as_columns_and_repeats_the_last(width: int, n_rows: int, seed: int) -> None:
    table = random_table(width, seed)
    rows = np.random.default_rng(seed).integers(N_ITEMS, size=n_rows)
    panel = panel_of(table, rows)
    padded = np.concatenate([rows, np.full(panel.shape[1] - n_rows, rows[-1])])
    close(panel, table[padded].T, "exact")
    close(widened(table, rows), table[rows], "exact")


@FEWER
@given(
    widths=st.tuples(st.integers(0, 5), st.integers(1, 40), st.integers(0, 5)),
    n_rows=st.integers(1, 150),
    seed=st.integers(0, 99),
)
def test_products_with_a_part_of_the_panel_are_those_of_numpy(
    widths: tuple[int, int, int], n_rows: int, seed: int
) -> None:
    column, width, rest = widths
    table = random_table(column + width + rest, seed)
    panel = panel_of(table, np.random.default_rng(seed).integers(N_ITEMS, size=n_rows))
    rows = np.random.default_rng(seed + 1).integers(N_ITEMS, size=ROWS)
    out = np.full((ROWS, panel.shape[1]), np.nan, np.float32)
    times_panel(widened(table, rows), column, width, panel, column, out)
    part = slice(column, column + width)
    # Terms of about one: a sum of forty may be near zero.
    close(out / 40, table[rows, part].astype(np.float64) @ panel[part] / 40, "float32")


def test_a_lane_has_the_same_bits_whatever_stands_beside_it() -> None:
    table = random_table(50, 3)
    rows = np.random.default_rng(3).integers(N_ITEMS, size=9 * LANES)
    group = widened(table, np.arange(ROWS))
    products = []
    for n_rows in (len(rows), 5 * LANES, LANES):
        panel = panel_of(table, rows[:n_rows])
        out = np.empty((ROWS, n_rows), np.float32)
        times_panel(group, 0, 50, panel, 0, out)
        products.append(out)
    for few in products[1:]:
        assert np.array_equal(products[0][:, : few.shape[1]], few)
