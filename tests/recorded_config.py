"""A training's configuration that notes which of its settings are read."""

from __future__ import annotations

from dataclasses import fields, is_dataclass
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

T = TypeVar("T", bound="DataclassInstance")


def recorded(config: T, reads: set[str], prefix: str = "") -> T:
    """The same configuration, which adds the name of every setting that is read to `reads`: "ranker.leaves"."""
    shape = type(config)
    names = {f"{field.name}": is_dataclass(getattr(config, field.name)) for field in fields(config)}

    def read(self: Any, name: str) -> Any:
        if names.get(name) is False:
            reads.add(f"{prefix}{name}")
        return object.__getattribute__(self, name)

    recording = type(shape.__name__, (shape,), {"__getattribute__": read})
    copy: T = object.__new__(recording)
    for name, has_fields in names.items():
        value = getattr(config, name)
        object.__setattr__(copy, name, recorded(value, reads, f"{prefix}{name}.") if has_fields else value)
    return copy
