"""The best trial's settings as a file that `recmem train --config` takes."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Mapping
from typing import Any

from training.config import TrainingConfig
from training.configuration.all_settings import all_settings
from training.configuration.config_text import WIDTH, toml_value, value_of
from training.configuration.effective import effective_config

BEST = "best.toml"


def best_toml(base: TrainingConfig, found: Mapping[str, float], comment: str) -> str:
    """The text of the file: `comment`, the settings that the search changed, and those in which `base` differs from the
    defaults, without which the file would not be the configuration that was measured.
    """
    own = {name: value for name, value in _differing(base).items() if name not in found}
    lines = [*_comment(comment), ""]
    if found:
        lines += ["# Found by the search:", *_assignments(found)]
    elif not own:
        lines += ["# No setting differs from its default."]
    if own:
        lines += ["", "# Of the configuration that the search was begun with:", *_assignments(own)]
    return "\n".join([*lines, ""])


def changed_settings(base: TrainingConfig, settings: Mapping[str, float]) -> dict[str, float]:
    """Those of the settings whose value is not the base configuration's."""
    known = all_settings()
    return {name: value for name, value in settings.items() if value != value_of(base, known[name])}


def _differing(config: TrainingConfig) -> dict[str, Any]:
    """The settings that a file needs to give this configuration; what follows from the encoder's folder is left out."""
    values = {name: value_of(config, setting) for name, setting in all_settings().items()}
    plain = {
        name: value
        for name, value in values.items()
        if not all_settings()[name].bounds.automatic and value != all_settings()[name].default
    }
    usual = effective_config(plain)
    automatic = {
        name: values[name]
        for name, setting in all_settings().items()
        if setting.bounds.automatic and values[name] != value_of(usual, setting)
    }
    return plain | automatic


def _assignments(values: Mapping[str, Any]) -> Iterator[str]:
    # With dots in their names, settings of all sections may stand together: TOML forbids to open a section twice.
    for name in all_settings():
        if name in values:
            yield f"{name} = {toml_value(values[name])}"


def _comment(text: str) -> Iterator[str]:
    for line in text.splitlines():
        for part in textwrap.wrap(line, WIDTH - 2, break_long_words=False, break_on_hyphens=False) or [""]:
            yield f"# {part}".rstrip()
