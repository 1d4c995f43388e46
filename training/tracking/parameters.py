"""A run's settings as MLflow and step keys take them: dataclasses as dicts, nested ones flattened."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, is_dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from _typeshed import DataclassInstance


def plain_parameters(parameters: DataclassInstance | Mapping[str, Any]) -> dict[str, Any]:
    """The parameters by name; a dataclass, and those within it, as dicts."""
    return asdict(parameters) if is_dataclass(parameters) else dict(parameters)


def flat_parameters(parameters: DataclassInstance | Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """The parameters by name, those of nested dicts and dataclasses as `outer.inner`."""
    flat: dict[str, Any] = {}
    for name, value in plain_parameters(parameters).items():
        if is_instance_of_dataclass(value) or isinstance(value, Mapping):
            flat |= flat_parameters(value, f"{prefix}{name}.")
        else:
            flat[f"{prefix}{name}"] = value
    return flat


def logged_parameters(parameters: DataclassInstance | Mapping[str, Any]) -> dict[str, Any]:
    """Settings by the names that they have in every run: those outside any section as `training.seed`.

    `mlflow run` has a parameter `seed` of its own, the text that was given.
    """
    values = flat_parameters(parameters)
    return {name if "." in name else f"training.{name}": value for name, value in values.items()}


def is_instance_of_dataclass(value: object) -> bool:
    """Whether the value is an instance of a dataclass, and not such a class itself."""
    return is_dataclass(value) and not isinstance(value, type)
