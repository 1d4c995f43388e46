"""The options of several commands that are settings: the same words everywhere, and defaults that are the settings'."""

from __future__ import annotations

from collections.abc import Callable
from inspect import signature
from operator import attrgetter
from pathlib import Path
from typing import Any, get_args

import pytest
import typer

import small_training
from command_line import WRONG_USE, Outcome
from training.cli.features import features
from training.cli.setting_options import OF_THE_RANKER, OF_THE_WHOLE, SETTING_OPTIONS
from training.cli.train import train
from training.cli.tune import tune
from training.config import TrainingConfig
from training.configuration.all_settings import OPTIONS
from training.event_weights import weight_texts

OF_COMMANDS: dict[Callable[..., None], set[str]] = {
    train: set(SETTING_OPTIONS),
    tune: set(SETTING_OPTIONS) - set(OF_THE_WHOLE),
    features: set(SETTING_OPTIONS) - set(OF_THE_WHOLE) - set(OF_THE_RANKER),
}


def test_every_setting_with_an_option_has_one_of_the_table() -> None:
    assert set(SETTING_OPTIONS) == {"config", "assignments", *OPTIONS}


@pytest.mark.parametrize("command", OF_COMMANDS, ids=lambda command: str(command.__name__))
def test_a_command_has_its_options_and_keeps_its_docstring(command: Callable[..., None]) -> None:
    parameters = signature(command).parameters
    shared = {name for name in SETTING_OPTIONS if name in parameters}
    own = {"folds"} if command is features else set()  # those of the log, not the test's
    assert shared - own == OF_COMMANDS[command]
    assert "options" not in parameters
    assert len((command.__doc__ or "").splitlines()) > 3
    for name in OF_COMMANDS[command]:
        assert parameters[name].annotation == SETTING_OPTIONS[name][0], name


def option(parameter: Any) -> Any:
    """What typer is told of a parameter."""
    (info,) = (part for part in get_args(parameter.annotation) if isinstance(part, typer.models.OptionInfo))
    return info


def test_options_of_one_name_have_the_same_help_in_all_commands() -> None:
    words: dict[str, set[str]] = {}
    for command in OF_COMMANDS:
        for name, parameter in signature(command).parameters.items():
            if name not in ("context", "out"):
                words.setdefault(name, set()).add(option(parameter).help)
    assert {name for name, texts in words.items() if len(texts) > 1} == {"folds"}


def test_defaults_that_are_shown_are_those_of_the_settings() -> None:
    config = TrainingConfig()
    for name, (_, default) in SETTING_OPTIONS.items():
        if name not in ("config", "assignments", "encoder", "pooling", "max_tokens"):
            setting = attrgetter(OPTIONS[name])(config)
            assert (default or type(setting)()) == setting, name
    assert weight_texts(None) is None


def test_features_takes_settings_and_names_all_that_is_wrong_with_them(tmp_path: Path) -> None:
    items, events = small_training.write_tables(tmp_path)
    (tmp_path / "recmem.toml").write_text("folds = 3\nfeatures = ['ctr']\n[match]\nmin_steps = 0\n")
    outcome = Outcome(
        *("features", "--rows", events, "--items", items, "--events", events, "--out", tmp_path / "features.parquet"),
        *("--config", tmp_path / "recmem.toml", "--set", "memory.recnt=3", "--seed", "-1"),
    )
    assert outcome.code == WRONG_USE
    words = " ".join(outcome.err.split())
    assert "match.min_steps (recmem.toml): expected 1 to 10,000,000, got 0" in words
    assert "memory.recnt (--set): expected the name of a setting" in words
    assert "--seed: expected 0 to 2,147,483,647, got -1" in words
    assert not (tmp_path / "features").exists()
