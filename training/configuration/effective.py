"""The configuration that a training takes: options over `--set`, over a file, over the defaults."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields, is_dataclass, replace
from operator import attrgetter
from typing import TYPE_CHECKING, Any

from feature_store.settings import type_hints
from recmem.text.encoder_settings import encoder_config
from training.config import TrainingConfig
from training.configuration.all_settings import OPTIONS, all_settings
from training.configuration.given_settings import ConfigError, GivenSettings, labelled

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

ConfigInput = str | os.PathLike[str] | Mapping[str, Any]
"""A TOML file, or its content as a dict: nested by section, or with names such as "ranker.leaves"."""
_NAME = r"\b[a-z]+_[a-z_]+\b"
"""Within a sentence only names with an underscore are surely settings: "retrieved" is also a word."""


def effective_config(
    config: ConfigInput | None = None,
    *,
    assignments: Sequence[str] = (),
    options: Mapping[str, Any] | None = None,
    options_are_text: bool = False,
    label: Callable[[str], str] = str,
) -> TrainingConfig:
    """The configuration of a training: the defaults, `config` over them, then `assignments`, then `options`.

    `assignments` are texts such as "ranker.leaves=31"; `options` are values by the names of `OPTIONS`, None for one
    that is not given; with `options_are_text` they are read as a command line's; `label` is what faults call an option.

    Raises ConfigError with all faults of all sources, and DataError if the encoder's folder must be read for its own
    settings and cannot be.
    """
    given = given_settings(config, assignments)
    for option, value in (options or {}).items():
        if value is not None:
            add = given.add_text if options_are_text else given.add
            add(OPTIONS[option], value, shown_name=label(option))
    return _with_the_encoders_own(checked_config(given), given)


def given_settings(config: ConfigInput | None, assignments: Sequence[str] = ()) -> GivenSettings:
    """The settings of a file or dict, and over them `assignments`. Raises ConfigError if the file is no TOML."""
    given = GivenSettings()
    if isinstance(config, Mapping):
        given.add_mapping(config)
    elif config is not None:
        given.add_file(config)
    given.add_assignments(assignments)
    return given


def checked_config(given: GivenSettings) -> TrainingConfig:
    """The defaults with what is given; "auto" is the default. Raises ConfigError with every fault, each in a line."""
    faults = list(given.faults)
    config: TrainingConfig | None = _built("", TrainingConfig, given, faults)
    if faults or config is None:
        raise ConfigError("\n".join(faults))
    return config


def with_values(config: TrainingConfig, values: Mapping[str, Any]) -> TrainingConfig:
    """The configuration with other values of some settings, by name. Raises ConfigError if they are refused."""
    given = GivenSettings(values={name: attrgetter(name)(config) for name in all_settings()})
    given.add_mapping(values)
    return checked_config(given)


def _built(section: str, config: type[Any], given: GivenSettings, faults: list[str]) -> Any:
    """The section's dataclass; where it or one within it cannot be made, its faults are added and the rest goes on."""
    values: dict[str, Any] = {}
    is_whole = True
    for name, annotation in type_hints(config).items():
        path = f"{section}.{name}" if section else name
        if isinstance(annotation, type) and is_dataclass(annotation):
            inner = _built(path, annotation, given, faults)
            values |= {} if inner is None else {name: inner}
            is_whole = is_whole and inner is not None
        elif given.values.get(path) is not None:
            values[name] = given.values[path]
    if not is_whole:
        return None  # what is wrong with several sections together cannot be told yet
    try:
        return config(**values)
    except ValueError as error:
        faults += [line for text in str(error).splitlines() if (line := _conflict(text, section, config, given))]
        return None


def _conflict(text: str, section: str, config: type[DataclassInstance], given: GivenSettings) -> str:
    """The fault of several settings together, with their names in full; "" if one of them was refused already."""
    prefix = f"{section}." if section else ""
    own = {each.name for each in fields(config)}
    head, colon, rest = text.partition(": ")
    paths = [f"{prefix}{name}" for name in re.findall(r"[\w.]+", head)]
    involved = {*paths, *(f"{prefix}{name}" for name in re.findall(_NAME, rest) if name in own)}
    if given.refused & involved:
        return ""

    def full(name: re.Match[str]) -> str:
        path = f"{prefix}{name[0]}"
        return given.shown_names.get(path, path) if name[0] in own or path in all_settings() else name[0]

    source = next((given.sources[path] for path in paths if given.sources.get(path)), "")
    sentence = re.sub(_NAME, full, rest)
    return labelled(re.sub(r"[\w.]+", full, head), source) + colon + sentence


def _with_the_encoders_own(config: TrainingConfig, given: GivenSettings) -> TrainingConfig:
    """The same, with pooling and length as they were saved with the encoder where they are not given."""
    encoder = config.encoder
    found = encoder_config(
        encoder.name,
        pooling=given.values.get("encoder.pooling"),
        max_tokens=given.values.get("encoder.max_tokens"),
        text_prefix=encoder.text_prefix,
    )
    return replace(config, encoder=found)
