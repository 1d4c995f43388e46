from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sp

pytest.importorskip("numba", reason="pip install 'recmem[numba]'")

from feature_store.point_in_time.covisitation_numba import QUERIES_PER_TASK, pair_sums
from feature_store.ragged import Ragged
from tolerances import close


def test_sums_of_two_weightings_by_hand() -> None:
    model = sp.csr_matrix(np.array([[0, 2, 0], [0, 0, 3], [5, 7, 0]], np.float32))
    ones = sp.csr_matrix(np.array([[1, 0, 1], [0, 1, 0]], np.float32))
    halved = sp.csr_matrix(np.array([[0.5, 0, 1], [0, 0.25, 0]], np.float32))
    candidates = Ragged.from_lists([[1, 0], [2, 1, 3]])  # item 3 is not in the model
    first, second = pair_sums((ones, halved), model, candidates, n_threads=1)
    close(first, [2 + 7, 5, 3, 0, 0], "exact")
    close(second, [1 + 7, 5, 0.75, 0, 0], "exact")


@pytest.mark.parametrize("density", [0.02, 0.5])
def test_threads_and_the_way_the_line_is_cleared_change_nothing(density: float) -> None:
    random = np.random.default_rng(0)
    n_items = 200
    n_queries = 2 * QUERIES_PER_TASK + 3
    # With the sparse model single entries are cleared, with the dense one the whole line.
    model = sp.random(n_items, n_items, density, format="csr", dtype=np.float32, random_state=1)
    histories = sp.random(n_queries, n_items, 0.02, format="csr", dtype=np.float32, random_state=2)
    candidates = Ragged.from_lists(random.integers(0, n_items, (n_queries, 30)))
    expected = (histories @ model).toarray()[candidates.row_index, candidates.values]
    for n_threads in (1, 3):
        for found in pair_sums((histories, histories), model, candidates, n_threads=n_threads):
            close(found, expected, "exact")
