from __future__ import annotations

import numpy as np

from feature_store.ragged import Ragged
from training.pair_keys import pair_keys


def test_a_pair_has_the_same_number_in_both_lists_and_no_other_pair_has_it() -> None:
    candidates, positives = pair_keys(Ragged.from_lists([[3, 0], [], [7, 3]]), Ragged.from_lists([[0], [3], [3]]))
    assert np.isin(candidates, positives).tolist() == [False, True, False, True]
    assert len(set(candidates.tolist())) == 4


def test_numbers_rise_from_row_to_row() -> None:
    keys, none = pair_keys(Ragged.from_lists([[9], [0, 2], [1]]), Ragged.from_lists([[], [], []]))
    assert (np.diff(keys) > 0).all()
    assert not len(none)
