"""Where the log is cut: on its times, at equal shares, at fewer places if it has few times."""

from __future__ import annotations

import numpy as np
import pytest

from feature_store import DataError
from training.cross_fit.windows import FoldConfig, cut_times


def test_the_first_module_learns_from_its_share_and_the_rest_is_cut_in_equal_parts() -> None:
    times = np.arange(1, 101)
    assert cut_times(times, FoldConfig(folds=5)).tolist() == [40, 50, 60, 70, 80, 90, 100]


def test_a_time_that_many_events_share_is_never_cut() -> None:
    times = np.array([1] * 60 + [2] * 15 + [3] * 15 + [4] * 10)
    assert cut_times(times, FoldConfig(folds=5)).tolist() == [1, 2, 3, 4]


@pytest.mark.parametrize("counts", [(98, 1, 1), (1, 1, 98), (1, 98, 1)])
def test_three_times_are_enough_wherever_the_events_are(counts: tuple[int, ...]) -> None:
    times = np.repeat([10, 20, 30], counts)
    assert cut_times(times, FoldConfig(folds=5)).tolist() == [10, 20, 30]


def test_the_order_of_the_times_does_not_matter() -> None:
    times = np.random.default_rng(0).integers(0, 1000, 500)
    config = FoldConfig(folds=3)
    assert cut_times(times, config).tolist() == cut_times(np.sort(times), config).tolist()


@pytest.mark.parametrize("n_folds", [1, 2, 7])
def test_a_log_of_many_times_has_as_many_folds_as_asked_for(n_folds: int) -> None:
    # One window more calibrates the first fold.
    assert len(cut_times(np.arange(1000), FoldConfig(folds=n_folds))) == n_folds + 2


def test_two_times_are_too_few() -> None:
    with pytest.raises(DataError, match=r"events\.timestamp: expected at least 3 distinct timestamps, got 2\."):
        cut_times(np.array([1, 1, 2]), FoldConfig())


@pytest.mark.parametrize("folds", [0, -1, True, 1.5])
def test_a_number_of_folds_that_is_none_is_refused(folds: int) -> None:
    with pytest.raises(ValueError, match="folds: expected a whole number of at least 1, got"):
        FoldConfig(folds=folds)


@pytest.mark.parametrize("share", [0.0, 1.0, float("nan")])
def test_a_first_share_that_leaves_a_part_empty_is_refused(share: float) -> None:
    with pytest.raises(ValueError, match="first_until: expected more than 0 and less than 1, got"):
        FoldConfig(first_until=share)
