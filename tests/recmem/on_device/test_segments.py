"""Within queries on a device: the bits that numpy and numba give."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from feature_store.ragged import Ragged
from recmem.on_device.segments import Segments, ranks, z_scores
from recmem.ranking import normalise
from tolerances import close

LENGTHS = np.array([3, 0, 1, 40, 0, 7, 200, 0])


def queries(device: torch.device, lengths: np.ndarray = LENGTHS) -> tuple[Ragged, Segments]:
    ragged = Ragged.from_lengths(np.arange(lengths.sum()), lengths)
    return ragged, Segments.of(ragged, device)


def test_lengths_and_rows_of_a_ragged_array(device: torch.device) -> None:
    ragged, segments = queries(device)
    assert len(segments) == len(ragged)
    assert segments.lengths.tolist() == ragged.lengths.tolist()
    assert segments.index.tolist() == ragged.row_index.tolist()


@pytest.mark.parametrize("n_columns", [1, 3])
def test_sums_add_the_values_of_a_row_in_their_order(device: torch.device, n_columns: int) -> None:
    ragged, segments = queries(device)
    values = np.random.default_rng(0).normal(size=(len(ragged.values), n_columns)).astype(np.float32)
    expected = np.zeros((len(ragged), n_columns), np.float32)
    for row, value in zip(ragged.row_index, values, strict=True):
        expected[row] += value
    close(segments.sums(torch.from_numpy(values).to(device)), expected, "exact")


@pytest.mark.parametrize("backend", ["numpy", "numba"])
def test_z_scores_have_the_bits_of_each_backend(device: torch.device, backend: str) -> None:
    if backend == "numba":
        pytest.importorskip("numba", reason="pip install 'recmem[numba]'")
    ragged, segments = queries(device)
    random = np.random.default_rng(1)
    values = random.normal(size=(4, len(ragged.values))).astype(np.float32) * 1000
    values[random.random(values.shape) < 0.2] = np.nan
    values[0, :5] = [np.inf, -np.inf, np.nan, 1, 2]
    values[1] = 3.25  # alike in each query
    values[2, 4:44] = np.nan  # a query without any known value
    expected = normalise.z_scores(values, ragged.offsets, backend=backend)
    found = z_scores(torch.from_numpy(values.T.copy()).to(device), segments)
    assert np.isnan(expected).any()
    close(found.T, expected, "exact")


def test_ranks_are_those_of_the_cpu(device: torch.device) -> None:
    ragged, segments = queries(device)
    scores = np.random.default_rng(2).integers(0, 20, len(ragged.values)).astype(np.float64)
    scores[10:14] = [np.inf, -np.inf, np.inf, -0.0]
    scores[14] = 0.0
    expected = normalise.ranks(scores, ragged.row_index)
    assert len(np.unique(expected)) < len(expected)
    assert ranks(torch.from_numpy(scores).to(device), segments).tolist() == expected.tolist()


def test_no_query_has_no_value(device: torch.device) -> None:
    _, segments = queries(device, np.zeros(0, np.int64))
    assert z_scores(torch.empty((0, 3), device=device), segments).shape == (0, 3)
    assert ranks(torch.empty(0, dtype=torch.float64, device=device), segments).tolist() == []
