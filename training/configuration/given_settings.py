"""Settings as they are given: in a file, by `--set`, or as options. Each is read, and every fault is kept."""

from __future__ import annotations

import os
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from numbers import Integral, Real
from pathlib import Path
from typing import Any, get_args, get_origin

from feature_store.settings import shown
from training.configuration.all_settings import AUTO, Setting, all_settings, nearest_settings, sections

USUAL_NAME = "recmem.toml"
"""Of a configuration file, also in a run's folder."""
MAX_FILE_BYTES = 2**20
_EXACT_FLOAT = 2**53
_HELP = "`recmem config` lists all settings."


class ConfigError(ValueError):
    """A configuration that cannot be used; one line per fault, in the form `<setting>: expected ..., got ...`."""


@dataclass
class GivenSettings:
    """Settings from one source or several, and what is wrong with them."""

    values: dict[str, Any] = field(default_factory=dict)
    """By name; only values that the setting can have, as its dataclass takes them. None stands for "auto"."""
    shown_names: dict[str, str] = field(default_factory=dict)
    """What a fault calls each of them: `ranker.leaves`, `--seed`."""
    sources: dict[str, str] = field(default_factory=dict)
    """Where each of them stands: `recmem.toml`, `--set`; "" for an option."""
    faults: list[str] = field(default_factory=list)
    refused: set[str] = field(default_factory=set)
    """Names of settings with a fault."""

    def add(self, name: str, value: Any, *, source: str = "", shown_name: str = "") -> None:
        """A value as TOML or Python has it; a later one of the same name takes its place."""
        shown_name = shown_name or name
        setting = all_settings().get(name)
        if setting is None:
            self.faults.append(f"{labelled(shown_name, source)}: {_unknown(name, value)}")
            return
        value = _as_field_value(setting, value)
        fault = "" if value is None and setting.bounds.automatic else setting.fault(value)
        if fault:
            self.faults.append(f"{labelled(shown_name, source)}: {fault}")
            self.refused.add(name)
        else:
            self.values[name] = value
            self.shown_names[name] = shown_name
            self.sources[name] = source

    def add_mapping(self, settings: Mapping[str, Any], where: str = "") -> None:
        """Settings of a file or a dict, nested by section or with dots in their names; `where` names the file."""
        for name, value in _flat(settings, ""):
            self.add(name, value, source=where)

    def add_file(self, path: str | os.PathLike[str]) -> None:
        """The settings of a TOML file. Raises ConfigError if it cannot be read or is no TOML."""
        self.add_mapping(_read(Path(path)), Path(path).name)

    def add_assignments(self, assignments: Sequence[str]) -> None:
        """Settings as `--set` has them: `ranker.leaves=31`. A value is TOML, or text without quotes."""
        for assignment in assignments:
            name, equals, text = assignment.partition("=")
            name = name.strip()
            if not equals or not name:
                self.faults.append(f"--set: expected SETTING=VALUE, got {shown(assignment)}. Try ranker.leaves=31.")
            else:
                self.add_text(name, text, source="--set")

    def add_text(self, name: str, text: str, *, source: str = "", shown_name: str = "") -> None:
        """A value as a command line has it: TOML, or text without quotes."""
        setting = all_settings().get(name)
        value = text if setting is None else _from_text(setting.annotation, text)
        self.add(name, value, source=source, shown_name=shown_name)


def labelled(name: str, source: str) -> str:
    """A setting's name as a fault begins: `ranker.leaves (recmem.toml)`."""
    return f"{name} ({source})" if source else name


def _read(path: Path) -> dict[str, Any]:
    try:
        with path.open("rb") as file:
            content = file.read(MAX_FILE_BYTES + 1)
    except OSError as error:
        raise ConfigError(
            f"{path.name}: expected a TOML file, got none at {path} ({error.strerror}). `recmem config > {USUAL_NAME}` "
            "writes one."
        ) from error
    if len(content) > MAX_FILE_BYTES:
        raise ConfigError(f"{path.name}: expected a configuration, got over {MAX_FILE_BYTES:,} bytes. Check the path.")
    try:
        return tomllib.loads(content.decode("utf-8-sig"))
    except (ValueError, RecursionError) as error:  # no UTF-8, no TOML, or nested too deeply
        cause = " ".join(str(error).split())
        raise ConfigError(f"{path.name}: expected TOML, got invalid text: {cause}. Correct it there.") from error


def _flat(settings: Mapping[str, Any], prefix: str) -> Iterator[tuple[str, Any]]:
    """Names with values. A table that is no section is a value, which is refused with its name."""
    for name, value in settings.items():
        path = f"{prefix}{name}"
        is_section = path not in all_settings()
        if isinstance(value, Mapping) and is_section and value:
            yield from _flat(value, f"{path}.")
        elif not (isinstance(value, Mapping) and path in sections()):  # an empty section sets nothing
            yield path, value


def _as_field_value(setting: Setting, value: Any) -> Any:
    """A value of TOML or Python as the dataclass has it: tuples for lists, None for "auto"."""
    if setting.bounds.automatic and isinstance(value, str) and value == AUTO:
        return None
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    if isinstance(value, list | tuple):
        return tuple(_number(part, get_args(setting.annotation)[:1]) for part in value)
    return _number(value, (setting.annotation, *get_args(setting.annotation)))


def _number(value: Any, types: tuple[Any, ...]) -> Any:
    """A number as Python's own; a float where the setting has one, so that 3 and 3.0 are one configuration."""
    if isinstance(value, bool) or not isinstance(value, Real):
        return value
    if isinstance(value, Integral):
        whole = int(value)
        return float(whole) if float in types and abs(whole) < _EXACT_FLOAT else whole
    return float(value)


def _from_text(annotation: Any, text: str) -> Any:
    """The value that a command line gives as text."""
    if annotation is str:
        return text
    if annotation is bool and text.strip().lower() in ("true", "false"):
        return text.strip().lower() == "true"
    value = _as_toml(text.strip())
    if annotation is int and isinstance(value, float) and value.is_integer():
        return int(value)  # MLflow has numbers with a fraction only
    if get_origin(annotation) is tuple and not isinstance(value, list):
        # A shell makes quotes within quotes hard: skip,return for a list of texts.
        parts = [part.strip() for part in text.split(",") if part.strip()]
        return parts if get_args(annotation)[0] is str else [_as_toml(part) for part in parts]
    return value


def _as_toml(text: str) -> Any:
    """The value of a text in TOML; the text itself if it is none, such as a word without quotes."""
    try:
        parsed = tomllib.loads(f"value = {text}")
    except (ValueError, RecursionError):
        return text
    return parsed["value"] if parsed.keys() == {"value"} else text


def _unknown(name: str, value: Any) -> str:
    if name in sections():
        (first, *_) = (each.name for each in all_settings().values() if each.section == name)
        return f"expected a section with settings such as {first}, got {shown(value)}. {_HELP}"
    nearest = nearest_settings(name)
    hint = f"Did you mean {' or '.join(nearest)}?" if nearest else _HELP
    return f"expected the name of a setting, got an unknown one. {hint}"
