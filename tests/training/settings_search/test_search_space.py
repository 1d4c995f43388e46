"""The table of what is searched."""

from __future__ import annotations

from dataclasses import replace
from operator import attrgetter
from pathlib import Path

import pytest

from training.config import TrainingConfig
from training.configuration.all_settings import all_settings
from training.configuration.effective import with_values
from training.configuration.given_settings import ConfigError
from training.configuration.step_settings import settings_of
from training.fitting.fit_match import MatchTrainingConfig
from training.fitting.fit_ranker import RankerConfig
from training.settings_search.search_space import GROUPS, SEARCH_SPACE, Dimension, space_of, values_of

BY_NAME = {each.setting: each for each in SEARCH_SPACE}


@pytest.mark.parametrize("dimension", SEARCH_SPACE, ids=lambda each: each.setting)
def test_range_is_within_the_settings_bounds_and_holds_its_default(dimension: Dimension) -> None:
    setting = all_settings()[dimension.setting]
    for value in (dimension.low, dimension.high):
        assert setting.fault(int(value) if dimension.is_whole else float(value)) == ""
    assert dimension.low < setting.default < dimension.high
    assert dimension.why.endswith(".")
    assert dimension.group in GROUPS


def test_page_on_tuning_lists_what_is_searched() -> None:
    page = (Path(__file__).parents[3] / "docs" / "tuning.md").read_text()
    rows = [
        f"| `{each.setting}` | {each.group} | {each.low:g} to {each.high:g} | {each.why} |" for each in SEARCH_SPACE
    ]
    assert [line for line in page.splitlines() if line.startswith("| `") and " to " in line] == rows


def test_settings_of_the_ranker_are_read_after_the_match_module() -> None:
    ranker = {each.setting for each in SEARCH_SPACE if each.group == "ranker"}
    assert not ranker & set(settings_of("match"))
    assert ranker <= set(settings_of("rank"))
    assert {each.setting for each in SEARCH_SPACE if each.group == "match"} <= set(settings_of("match"))


def test_range_widens_to_hold_the_base_configurations_value() -> None:
    config = TrainingConfig(ranker=RankerConfig(leaves=255, feature_share=0.05), new_item_rate=9.0)
    space = {each.setting: each for each in space_of(config)}
    assert (space["ranker.leaves"].low, space["ranker.leaves"].high) == (3, 255)
    assert (space["ranker.feature_share"].low, space["ranker.feature_share"].high) == (0.05, 1)
    assert space["new_item_rate"].high == 9.0
    assert space["ranker.l2"] == BY_NAME["ranker.l2"]


def test_zero_on_a_logarithmic_scale_is_left_alone() -> None:
    searched = {each.setting for each in space_of(TrainingConfig(ranker=RankerConfig(l2=0.0), new_item_rate=0.0))}
    assert set(BY_NAME) - searched == {"ranker.l2"}


def test_steps_are_no_fewer_than_their_lower_bound() -> None:
    config = TrainingConfig(match=MatchTrainingConfig(min_steps=5000, max_steps=6000))
    (steps,) = (each for each in space_of(config) if each.setting == "match.max_steps")
    assert (steps.low, steps.high) == (5000, 6000)


def test_drawn_values_have_three_digits_and_stay_within_the_range() -> None:
    rate = BY_NAME["ranker.learning_rate"]
    assert rate.rounded(0.0374821) == 0.0375
    assert replace(rate, high=0.12345).rounded(0.12345) == 0.123
    assert replace(rate, low=0.12345).rounded(0.12345) == 0.12345
    assert BY_NAME["match.max_steps"].rounded(1234) == 1234


def test_configuration_with_other_values_differs_in_these_only() -> None:
    base = TrainingConfig(seed=5)
    values = {"ranker.leaves": 31, "match.batch.negatives": 64, "new_item_rate": 1}
    config = with_values(base, values)
    changed = {name for name in all_settings() if attrgetter(name)(config) != attrgetter(name)(base)}
    assert changed == set(values)
    assert values_of(config, [BY_NAME[name] for name in values]) == values
    assert type(config.new_item_rate) is float


def test_values_that_conflict_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"match\.min_steps: expected at most match\.max_steps \(100\), got 300"):
        with_values(TrainingConfig(), {"match.max_steps": 100})
