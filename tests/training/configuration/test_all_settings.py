"""The list of all settings: complete, each with bounds and a meaning, found under the names that people use."""

from __future__ import annotations

import inspect
from dataclasses import asdict
from operator import attrgetter

import pytest

from training.api import train
from training.config import TrainingConfig
from training.configuration.all_settings import AUTO, OPTIONS, all_settings, nearest_settings, sections
from training.tracking.parameters import flat_parameters

UNBOUNDED = {"signals.positive_from", "signals.negative_to"}
"""A rating scale may be any."""


def test_every_field_of_a_training_is_a_setting_with_its_default() -> None:
    assert set(all_settings()) == set(flat_parameters(TrainingConfig()))
    for name, setting in all_settings().items():
        assert setting.field.default == attrgetter(name)(TrainingConfig()), name
        assert setting.default == (AUTO if setting.bounds.automatic else setting.field.default)


def test_every_setting_says_what_it_means_and_names_no_class() -> None:
    assert [name for name, setting in all_settings().items() if len(setting.meaning.split()) < 3] == []
    assert [name for name, setting in all_settings().items() if "Config" in setting.meaning] == []


def test_every_number_has_bounds() -> None:
    numbers = {name: setting for name, setting in all_settings().items() if "number" in setting.values}
    assert len(numbers) > 50
    assert {name for name, setting in numbers.items() if not setting.bounds.range()} == UNBOUNDED


def test_sections_are_those_of_the_configuration() -> None:
    nested = {name for name, value in asdict(TrainingConfig()).items() if isinstance(value, dict)}
    assert set(sections()) == {"", "match.batch", *nested}


def test_every_option_is_an_argument_of_train_and_names_a_setting() -> None:
    assert OPTIONS.keys() <= inspect.signature(train).parameters.keys()
    assert set(OPTIONS.values()) <= set(all_settings())


@pytest.mark.parametrize(
    ("name", "nearest"),
    [
        ("ranker.leavs", ["ranker.leaves"]),
        ("rankers.leaves", ["ranker.leaves"]),
        ("leaves", ["ranker.leaves"]),
        ("ranker.num_leaves", ["ranker.leaves"]),
        ("lambda_l2", ["ranker.l2"]),
        ("tune_encoder", ["tuning.kind"]),
        ("max-tokens", ["encoder.max_tokens"]),
        ("ranker.learning-rate", ["ranker.learning_rate"]),
        ("random_state", ["seed"]),
        ("n_head", ["n_heads"]),
        ("xyzzy", []),
    ],
)
def test_the_setting_that_was_meant_is_found(name: str, nearest: list[str]) -> None:
    assert nearest_settings(name) == nearest


def test_a_name_that_several_sections_have_leads_to_all_of_them() -> None:
    assert nearest_settings("learning_rate") == ["tuning.learning_rate", "match.learning_rate", "ranker.learning_rate"]
