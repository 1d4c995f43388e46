"""Frozen configuration dataclasses out of JSON: `dataclasses.asdict` the other way round, strictly."""

from __future__ import annotations

import types
from dataclasses import fields, is_dataclass
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints


def from_json(kind: Any, value: Any, where: str = "config") -> Any:
    """`value`, as `json.loads` gives it, as an instance of the annotated type `kind`.

    Known are dataclasses, str, int, float, tuples, dicts with str keys, Literal and `| None`. Raises ValueError on a
    missing or unknown key or a value of another type, and what the dataclasses raise on values that they refuse.
    """
    if is_dataclass(kind):
        return _dataclass(kind, value, where)
    origin, arguments = get_origin(kind), get_args(kind)
    if origin in (Union, types.UnionType):
        return None if value is None else from_json(next(a for a in arguments if a is not type(None)), value, where)
    if origin is Literal:
        return _checked(value in arguments, value, f"one of {arguments}", where)
    if origin is tuple:
        return _tuple(arguments, value, where)
    if origin is dict:
        _checked(isinstance(value, dict), value, "an object", where)
        return {name: from_json(arguments[1], part, f"{where}.{name}") for name, part in value.items()}
    if kind is float and type(value) is int:
        return float(value)
    return _checked(type(value) is kind, value, kind.__name__, where)


def _dataclass(kind: Any, value: Any, where: str) -> Any:
    _checked(isinstance(value, dict), value, "an object", where)
    names = {field.name for field in fields(kind)}
    if set(value) != names:
        odd = ", ".join(sorted(set(value) ^ names))
        raise ValueError(f"{where}: expected the keys {', '.join(sorted(names))}, got a difference in {odd}")
    hints = get_type_hints(kind)
    return kind(**{name: from_json(hints[name], value[name], f"{where}.{name}") for name in names})


def _tuple(arguments: tuple[Any, ...], value: Any, where: str) -> tuple[Any, ...]:
    _checked(isinstance(value, list), value, "a list", where)
    if len(arguments) == 2 and arguments[1] is ...:
        return tuple(from_json(arguments[0], part, where) for part in value)
    _checked(len(value) == len(arguments), value, f"{len(arguments)} values", where)
    return tuple(from_json(kind, part, where) for kind, part in zip(arguments, value, strict=True))


def _checked(fits: bool, value: Any, expected: str, where: str) -> Any:
    if not fits:
        raise ValueError(f"{where}: expected {expected}, got {value!r}")
    return value
