"""Whether another trial fits into the time that is left."""

from __future__ import annotations

from training.settings_search.study import BASE, Trial
from training.settings_search.time_budget import TimeBudget, expected_s


def trial(group: str, seconds: float, ranking_s: float = 1.0) -> Trial:
    return Trial(0, group, {}, 0.5, "ranker_with_match", seconds, "", ranking_s)


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def test_time_runs_from_the_begin_of_the_call() -> None:
    clock = Clock()
    budget = TimeBudget(2, clock)
    assert budget.left_s() == 120
    clock.now += 90
    assert budget.left_s() == 30
    clock.now += 90
    assert budget.left_s() == 0


def test_trial_takes_as_long_as_the_longest_of_its_group() -> None:
    trials = [trial(BASE, 60), trial("ranker", 5), trial("ranker", 9), trial("match", 40), trial("ranker", 4)]
    assert expected_s("ranker", trials, has_pairs=True) == 9
    assert expected_s("match", trials, has_pairs=True) == 40


def test_first_trial_of_a_group_is_judged_by_the_base_configurations() -> None:
    trials = [trial(BASE, 60, ranking_s=7)]
    assert expected_s("ranker", trials, has_pairs=True) == 7
    assert expected_s("match", trials, has_pairs=True) == 60


def test_rankers_whose_features_are_not_in_memory_take_as_long_as_the_base_configuration() -> None:
    trials = [trial(BASE, 60, ranking_s=7), trial("ranker", 9)]
    assert expected_s("ranker", trials, has_pairs=False) == 60


def test_trial_that_would_end_too_late_does_not_fit_and_the_base_configuration_always_does() -> None:
    clock = Clock()
    budget = TimeBudget(1, clock)
    trials = [trial(BASE, 30), trial("ranker", 10)]
    clock.now += 45
    assert budget.fits("ranker", trials, has_pairs=True)
    assert not budget.fits("match", trials, has_pairs=True)
    clock.now += 60
    assert not budget.fits("ranker", trials, has_pairs=True)
    assert budget.fits(BASE, [], has_pairs=False)
