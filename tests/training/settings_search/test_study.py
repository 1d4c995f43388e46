"""Trials in Optuna's database: their order, what is drawn, and a search that goes on."""

from __future__ import annotations

import sys
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from training.config import TrainingConfig
from training.settings_search.search_space import GROUPS, space_of, values_of
from training.settings_search.study import BASE, MissingOptunaError, Proposal, Study, Trial, require_optuna

DIMENSIONS = space_of(TrainingConfig())
BASE_VALUES = values_of(TrainingConfig(), DIMENSIONS)
GROUP_OF = {each.setting: each.group for each in DIMENSIONS}


def opened(folder: Path, groups: tuple[str, ...] = GROUPS) -> AbstractContextManager[Study]:
    return Study.opened(folder, DIMENSIONS, BASE_VALUES, groups, 3)


def figure(settings: dict[str, float]) -> float:
    """Best with 41 leaves and much dropout; nothing else counts."""
    return 0.5 - abs(settings["ranker.leaves"] - 41) / 100 - abs(settings["match.dropout"] - 0.4) / 4


def complete(study: Study, proposal: Proposal) -> Trial:
    value = figure(proposal.settings)
    return study.complete(proposal, value, ships="ranker_with_match", seconds=2.0, ranking_s=1.0)


def search(study: Study, n_trials: int) -> list[Trial]:
    return [complete(study, study.propose(study.next_group())) for _ in range(n_trials)]


def test_first_trial_is_the_base_configuration_exactly(tmp_path: Path) -> None:
    with opened(tmp_path) as study:
        (trial,) = search(study, 1)
        assert (trial.number, trial.group, trial.settings) == (0, BASE, BASE_VALUES)
        assert study.best() == trial


def test_three_trials_of_the_ranker_come_before_each_of_the_match(tmp_path: Path) -> None:
    with opened(tmp_path) as study:
        groups = [trial.group for trial in search(study, 9)]
    assert groups == [BASE, "ranker", "ranker", "ranker", "match", "ranker", "ranker", "ranker", "match"]


def test_trial_of_one_group_holds_the_best_trials_settings_of_the_other(tmp_path: Path) -> None:
    with opened(tmp_path) as study:
        for _ in range(14):
            best = study.best()
            trial = complete(study, study.propose(study.next_group()))
            if best is not None:
                changed = {name for name, value in trial.settings.items() if value != best.settings[name]}
                assert changed
                assert {GROUP_OF[name] for name in changed} == {trial.group}


def test_values_are_within_their_ranges_and_differ_from_trial_to_trial(tmp_path: Path) -> None:
    with opened(tmp_path) as study:
        trials = search(study, 12)
    for dimension in DIMENSIONS:
        values = [trial.settings[dimension.setting] for trial in trials]
        assert all(dimension.low <= value <= dimension.high for value in values)
        assert all(isinstance(value, int) == dimension.is_whole for value in values)
        assert len(set(values)) > 2


def test_one_group_leaves_the_others_settings_as_they_were(tmp_path: Path) -> None:
    with opened(tmp_path, ("match",)) as study:
        trials = search(study, 4)
    assert [trial.group for trial in trials] == [BASE, "match", "match", "match"]
    for trial in trials:
        assert all(trial.settings[name] == BASE_VALUES[name] for name, group in GROUP_OF.items() if group == "ranker")


def test_search_that_is_ended_and_resumed_draws_what_one_call_draws(tmp_path: Path) -> None:
    (tmp_path / "one").mkdir()
    with opened(tmp_path / "one") as study:
        in_one_call = search(study, 14)
    for number in range(14):
        with opened(tmp_path) as study:
            search(study, 1)
            if number % 3 == 0:
                study.propose(study.next_group())  # killed in the middle of a trial
            elif number % 3 == 1:
                study.abandon(study.propose(study.next_group()))
    with opened(tmp_path) as study:
        resumed = study.trials()
    assert [trial.settings for trial in resumed] == [trial.settings for trial in in_one_call]
    assert [trial.value for trial in resumed] == [trial.value for trial in in_one_call]
    assert [trial.number for trial in resumed] != [trial.number for trial in in_one_call]


def test_trial_that_was_left_running_is_failed_when_the_study_is_opened(tmp_path: Path) -> None:
    with opened(tmp_path) as study:
        study.propose(BASE)
    with opened(tmp_path) as study:
        assert study.trials() == []
        assert study.next_group() == BASE
        (left,) = study._study.get_trials()
        assert left.state.name == "FAIL"


def test_refused_trial_keeps_its_cause_and_is_not_drawn_again(tmp_path: Path) -> None:
    with opened(tmp_path) as study:
        search(study, 1)
        refused = study.propose("ranker")
        trial = study.refuse(refused, "ranker.leaves: expected fewer", seconds=1.5)
        assert (trial.value, trial.cause, trial.seconds) == (None, "ranker.leaves: expected fewer", 1.5)
        assert [each.number for each in study.trials()] == [0, 1]
        assert [each.number for each in study.completed()] == [0]
        assert study.propose("ranker").settings != refused.settings


def test_first_of_equal_trials_is_the_best(tmp_path: Path) -> None:
    with opened(tmp_path) as study:
        for group in (BASE, "ranker", "ranker"):
            study.complete(study.propose(group), 0.5, ships="", seconds=1.0, ranking_s=1.0)
        best = study.best()
    assert best is not None
    assert best.number == 0


def test_search_finds_the_settings_that_matter_and_names_them(tmp_path: Path) -> None:
    with opened(tmp_path) as study:
        trials = search(study, 30)
        importances = study.importances()
    values = [trial.value for trial in trials if trial.value is not None]
    assert max(values) > values[0] + 0.1
    assert next(iter(importances)) == "ranker.leaves"
    assert sum(importances.values()) == pytest.approx(1)


def test_few_trials_have_no_importances(tmp_path: Path) -> None:
    with opened(tmp_path) as study:
        search(study, 5)
        assert study.importances() == {}


def test_identity_is_there_in_the_next_call(tmp_path: Path) -> None:
    with opened(tmp_path) as study:
        assert study.identity == {}
        study.set_identity({"code": "c", "settings": {"seed": 1}})
    with opened(tmp_path) as study:
        assert study.identity == {"code": "c", "settings": {"seed": 1}}


def test_missing_optuna_is_refused_with_the_command_that_installs_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(MissingOptunaError, match=r"optuna: expected .* got .*pip install 'recmem\[tune\]'"):
        require_optuna()
