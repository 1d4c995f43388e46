"""Reads frozen configuration dataclasses from JSON: the strict inverse of `dataclasses.asdict`."""

from __future__ import annotations

import json
import math
import types
from dataclasses import fields, is_dataclass
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

_LARGEST_INT = 2**63 - 1
_LONGEST_CAUSE = 160
_SHOWN_CHARS = 80
"""Characters of a value that an error shows: it may have any length."""


def parse_json(text: str, where: str) -> Any:
    """The value of a JSON text that may come from anyone, of plain JSON only.

    Raises ValueError if it is not JSON, names a key of an object twice, has a number that is not finite or does not fit
    into 64 bits, half a surrogate pair, or is nested too deeply. `where` names the text in errors.
    """
    try:
        value = json.loads(
            text, object_pairs_hook=_object, parse_int=_int, parse_float=_float, parse_constant=_not_finite
        )
        json.dumps(value, ensure_ascii=False).encode("utf-8")
    except (ValueError, RecursionError) as error:
        words = "nested too deeply" if isinstance(error, RecursionError) else str(error)
        cause = words.partition("\n")[0][:_LONGEST_CAUSE]
        raise ValueError(f"{where}: expected JSON, got invalid text ({cause}). Write the file again.") from error
    return value


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value: dict[str, Any] = {}
    for name, part in pairs:
        if name in value:
            raise ValueError(f"the key {_excerpt(name)} twice")
        value[name] = part
    return value


def _int(digits: str) -> int:
    # The length first: Python refuses to read thousands of digits, with its own message.
    if len(digits) > len(str(_LARGEST_INT)) + 1 or abs(int(digits)) > _LARGEST_INT:
        raise ValueError(f"the number {digits[:30]}, which does not fit into 64 bits")
    return int(digits)


def _float(digits: str) -> float:
    number = float(digits)
    if not math.isfinite(number):
        _not_finite(digits)
    return number


def _not_finite(digits: str) -> None:
    raise ValueError(f"the number {digits[:30]}, which is not finite")


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
        # True equals 1, and a list cannot be looked up: the type first.
        fits = any(type(value) is type(argument) and value == argument for argument in arguments)
        return _checked(fits, value, f"one of {arguments}", where)
    if origin is tuple:
        return _tuple(arguments, value, where)
    if origin is dict:
        _checked(isinstance(value, dict), value, "an object", where)
        return {name: from_json(arguments[1], part, f"{where}.{_listed([name])}") for name, part in value.items()}
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
        got = " and ".join(f"{kind} ({_listed(keys)})" for kind, keys in found if keys)
        raise ValueError(f"{where}: expected the keys of {annotation.__name__}, got {got}")
    hints = get_type_hints(annotation)
    values = {name: from_json(hints[name], value[name], f"{where}.{name}") for name in names}
    try:
        return annotation(**values)
    except ValueError as error:
        lines = [f"{where}.{line}" if line.partition(": ")[0] in names else line for line in str(error).splitlines()]
        raise ValueError("\n".join(lines)) from error


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
        raise ValueError(f"{where}: expected {expected}, got {_excerpt(value)}")
    return value


def _listed(keys: list[str]) -> str:
    return ", ".join(key if key.isprintable() else repr(key) for key in keys)[:_SHOWN_CHARS]


def _excerpt(value: object) -> str:
    """The value's beginning, for a message. Not `feature_store.excerpts`: the encoder runs without polars."""
    text = repr(value)
    return text if len(text) <= _SHOWN_CHARS else f"{text[:_SHOWN_CHARS]}..."
