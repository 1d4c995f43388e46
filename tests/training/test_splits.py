from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from feature_store import DataError
from training.splits import Split, SplitConfig, fold_splits, split_times

TIMES = st.lists(st.integers(0, 30), min_size=3).filter(lambda times: len(set(times)) >= 3)
SHARES = st.tuples(st.floats(0.01, 0.98), st.floats(0.01, 0.98)).filter(lambda shares: shares[0] < shares[1])


def split(times: list[int], **changes: float) -> Split:
    return split_times(np.array(times, dtype=np.int64), SplitConfig(**changes))


def test_splits_of_a_case_by_hand() -> None:
    # Ten events: 70 % have happened by 6, 90 % by 8.
    assert split(list(range(10))) == Split(ranker_from=6, test_from=8, refresh=1)
    # 7 of 10 events at the first time; the test begins after the second.
    assert split([5] * 7 + [20] * 2 + [60]) == Split(ranker_from=5, test_from=20, refresh=4)


def test_a_log_of_five_dates_gives_three_parts() -> None:
    assert split([10] * 90 + [20] * 4 + [30] * 3 + [40] * 2 + [50]) == Split(ranker_from=10, test_from=20, refresh=3)


@given(TIMES, SHARES)
def test_no_part_is_empty_and_no_time_is_in_two_parts(times: list[int], shares: tuple[float, float]) -> None:
    cut = split(times, ranker_from=shares[0], test_from=shares[1])
    parts = [
        [time for time in times if time <= cut.ranker_from],
        [time for time in times if cut.ranker_from < time <= cut.test_from],
        [time for time in times if time > cut.test_from],
    ]
    assert all(parts)
    assert sum(map(len, parts)) == len(times)


@given(TIMES, SHARES)
def test_splits_are_at_the_given_shares_as_far_as_the_times_allow(
    times: list[int], shares: tuple[float, float]
) -> None:
    found = split(times, ranker_from=shares[0], test_from=shares[1])
    distinct = sorted(set(times))

    def wanted(share: float) -> int:
        return next(time for time in distinct if sum(t <= time for t in times) >= share * len(times) - 1e-9)

    test = min(max(wanted(shares[1]), distinct[1]), distinct[-2])
    assert found.test_from == test
    assert found.ranker_from == min(wanted(shares[0]), distinct[distinct.index(test) - 1])


@given(TIMES, st.integers(1, 6))
def test_windows_cover_the_rankers_period(times: list[int], windows: int) -> None:
    cut = split(times, windows=windows)
    length = cut.test_from - cut.ranker_from
    assert cut.refresh >= 1
    assert (cut.refresh - 1) * windows < length <= cut.refresh * windows


@given(TIMES.flatmap(lambda times: st.tuples(st.just(times), st.permutations(times))))
def test_order_of_the_events_does_not_matter(case: tuple[list[int], list[int]]) -> None:
    assert split(case[0]) == split(case[1])


def test_too_few_timestamps_are_refused() -> None:
    with pytest.raises(DataError, match=r"events\.timestamp: expected at least 3 distinct timestamps, got 2\."):
        split([1, 1, 2])


@pytest.mark.parametrize("share", [0.9, 0.95])
def test_shares_out_of_order_are_refused(share: float) -> None:
    with pytest.raises(ValueError, match=rf"ranker_from: expected less than test_from \(0\.9\), got {share}\."):
        SplitConfig(ranker_from=share)


@pytest.mark.parametrize("changes", [{"ranker_from": 0.0}, {"test_from": 1.0}, {"ranker_from": float("nan")}])
def test_shares_that_leave_a_part_empty_are_refused(changes: dict[str, float]) -> None:
    (name,) = changes
    with pytest.raises(ValueError, match=f"{name}: expected more than 0 and less than 1, got"):
        SplitConfig(**changes)


def test_no_window_is_refused() -> None:
    with pytest.raises(ValueError, match="windows: expected 1 to 1,000, got 0"):
        SplitConfig(windows=0)


@given(TIMES, st.floats(0.31, 1.0))
def test_the_test_ends_at_the_given_share_and_no_part_is_empty(times: list[int], until: float) -> None:
    cut = split(times, ranker_from=0.2, test_from=0.3, test_until=until)
    assert any(cut.test_from < time <= cut.test_until for time in times)
    assert any(cut.ranker_from < time <= cut.test_from for time in times)
    distinct = sorted(set(times))
    wanted = next(time for time in distinct if sum(t <= time for t in times) >= until * len(times) - 1e-9)
    end = min(cut.test_until, distinct[-1])
    assert end >= wanted
    assert end == max(wanted, next(time for time in distinct if time > cut.test_from))


def test_an_end_of_the_test_before_its_begin_is_refused() -> None:
    with pytest.raises(ValueError, match=r"test_until: expected more than test_from \(0\.9\), got 0\.9"):
        SplitConfig(test_until=0.9)


def test_folds_have_test_periods_of_equal_shares_and_the_same_share_of_windows() -> None:
    first, second, last = fold_splits(SplitConfig(), 3)
    assert last == SplitConfig()
    assert (second.test_until, first.test_until) == (last.test_from, second.test_from)
    assert first.test_from == pytest.approx(0.7)
    assert [fold.ranker_from / fold.test_from for fold in (first, second)] == pytest.approx([7 / 9, 7 / 9])


def test_folds_that_would_begin_before_the_log_has_enough_are_refused() -> None:
    assert len(fold_splits(SplitConfig(), 7)) == 7
    with pytest.raises(ValueError, match="folds: expected 1 to 7, got 8"):
        fold_splits(SplitConfig(), 8)


def test_one_fold_fits_however_early_its_test_begins() -> None:
    early = SplitConfig(ranker_from=0.1, test_from=0.2)
    assert fold_splits(early, 1) == [early]
    with pytest.raises(ValueError, match="folds: expected 1 to 1, got 2"):
        fold_splits(early, 2)
