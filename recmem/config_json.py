"""Reads frozen configuration dataclasses from JSON: the strict inverse of `dataclasses.asdict`."""

from __future__ import annotations

import types
from dataclasses import fields, is_dataclass
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints


def from_json(annotation: Any, value: Any, where: str = "config") -> Any:
    """An instance of the annotated type from `value`, which is what `json.loads` returned.

    Supports dataclasses, str, int, float, bool, tuples, dicts with str keys, Literal and `| None`. `where` names the
    value in errors.

    Raises ValueError if a key is missing or unknown, or a value has another type; and whatever the dataclasses raise
    on values that they refuse.
    """
    if is_dataclass(annotation):
        return _dataclass(annotation, value, where)
    origin = get_origin(annotation)
    arguments = get_args(annotation)
    if origin in (Union, types.UnionType):
        return _optional(arguments, value, where)
    if origin is Literal:
        return _checked(value in arguments, value, f"one of {arguments}", where)
    if origin is tuple:
        return _tuple(arguments, value, where)
    if origin is dict:
        _checked(isinstance(value, dict), value, "an object", where)
        return {name: from_json(arguments[1], part, f"{where}.{name}") for name, part in value.items()}
    # Other programs may write 1.0 as 1.
    if annotation is float and type(value) is int:
        return float(value)
    # Not isinstance: True is no integer here.
    return _checked(type(value) is annotation, value, annotation.__name__, where)


def _dataclass(annotation: Any, value: Any, where: str) -> Any:
    _checked(isinstance(value, dict), value, "an object", where)
    names = {field.name for field in fields(annotation)}
    missing = sorted(names - set(value))
    unknown = sorted(set(value) - names)
    if missing or unknown:
        found = [("missing keys", missing), ("unknown keys", unknown)]
        got = " and ".join(f"{kind} ({', '.join(keys)})" for kind, keys in found if keys)
        raise ValueError(f"{where}: expected the keys of {annotation.__name__}, got {got}")
    hints = get_type_hints(annotation)
    return annotation(**{name: from_json(hints[name], value[name], f"{where}.{name}") for name in names})


def _optional(arguments: tuple[Any, ...], value: Any, where: str) -> Any:
    if value is None:
        return None
    annotation = next(argument for argument in arguments if argument is not type(None))
    return from_json(annotation, value, where)


def _tuple(arguments: tuple[Any, ...], value: Any, where: str) -> tuple[Any, ...]:
    _checked(isinstance(value, list), value, "a list", where)
    if len(arguments) == 2 and arguments[1] is ...:
        return tuple(from_json(arguments[0], part, where) for part in value)
    _checked(len(value) == len(arguments), value, f"{len(arguments)} values", where)
    return tuple(from_json(argument, part, where) for argument, part in zip(arguments, value, strict=True))


def _checked(fits: bool, value: Any, expected: str, where: str) -> Any:
    if not fits:
        raise ValueError(f"{where}: expected {expected}, got {value!r}")
    return value
