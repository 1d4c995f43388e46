"""A configuration as a TOML file: every setting with its value, its meaning and the values that it may have."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Collection, Iterator
from operator import attrgetter
from typing import Any

from training.config import TrainingConfig
from training.configuration.all_settings import AUTO, Setting, all_settings, option_name, sections, summary_of

WIDTH = 100
_HEAD = """\
The configuration of a training: recmem train --config recmem.toml
Each setting may be left out; it then has its default. docs/configuration.md says what overrides what.
"""


def config_toml(config: TrainingConfig, *, automatic: Collection[str] = ()) -> str:
    """The configuration as the text of a TOML file, which read again gives the same configuration.

    The settings in `automatic` are written as "auto".
    """
    lines = [*_comment(_HEAD)]
    for section, shape in sections().items():
        if section:
            lines += ["", "", *_comment(summary_of(shape)), f"[{section}]"]
        for setting in all_settings().values():
            if setting.section == section:
                value = AUTO if setting.name in automatic else value_of(config, setting)
                lines += ["", *_described(setting), f"{setting.field.name} = {toml_value(value)}"]
    return "\n".join([*lines, ""])


def value_of(config: TrainingConfig, setting: Setting) -> Any:
    """The setting's value in a configuration; AUTO for None."""
    value = attrgetter(setting.name)(config)
    return AUTO if value is None else value


def toml_value(value: Any) -> str:
    """A value in TOML: `true`, `0.5`, `"text"`, `["a", "b"]`."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        # JSON's escapes are TOML's, but for a character that JSON leaves as it is.
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    if isinstance(value, tuple):
        return f"[{', '.join(map(toml_value, value))}]"
    return repr(value)


def _described(setting: Setting) -> Iterator[str]:
    """What stands before a setting: its meaning, what it may be, its default and the option of that name."""
    yield from _comment(setting.meaning)
    values = f"{setting.values[0].upper()}{setting.values[1:]}"
    option = f" Option: {option_name(setting.option)}." if setting.option else ""
    yield from _comment(f"{values}. Default: {toml_value(setting.default)}.{option}")


def _comment(text: str) -> Iterator[str]:
    for line in text.splitlines():
        for part in textwrap.wrap(line, WIDTH - 2, break_long_words=False, break_on_hyphens=False):
            yield f"# {part}"
