"""Settings: fields of frozen dataclasses whose bounds stand beside them, checked whenever one is constructed.

>>> @dataclass(frozen=True)
... class TreeConfig:
...     leaves: int = setting(7, low=2, high=4096)
...
...     def __post_init__(self) -> None:
...         check_settings(self)
>>> TreeConfig(leaves=1)
Traceback (most recent call last):
ValueError: leaves: expected 2 to 4,096, got 1. The default is 7.
"""

from __future__ import annotations

import functools
import re
import sys
import types
from collections.abc import Callable, Iterable
from dataclasses import MISSING, Field, dataclass, field, fields, is_dataclass, replace
from typing import TYPE_CHECKING, Any, Literal, TypeVar, Union, cast, get_args, get_origin, get_type_hints

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

T = TypeVar("T")

_BOUNDS = "bounds"
_SHOWN_CHARS = 80
"""Characters of a value that an error shows: it may have any length."""
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f]")
_PLAIN_DIGITS = 1e15
"""Larger numbers are shown with an exponent."""


@dataclass(frozen=True)
class Bounds:
    """What a setting may be, beside its type. Of a text the bounds are its characters, of a tuple each element's."""

    low: float | None = None
    high: float | None = None
    above: float | None = None
    """As `low`, but the bound itself is not allowed."""
    below: float | None = None
    odd: bool = False
    fewest: int = 0
    """Elements of a tuple."""
    multiline: bool = False
    """Whether a text may have line breaks and tabs; other control characters it never has."""
    automatic: str = ""
    """What is taken where a file says "auto"; empty for a setting that has no such value."""
    words: str = ""
    """What is expected, where it can be said better than by type and bounds."""
    remedy: str = ""
    """What to do about a value that is refused, in a sentence; by default the setting's default is named."""
    aliases: tuple[str, ...] = ()
    """Other names under which people look for it, such as LightGBM's."""

    def range(self) -> str:
        """The bounds in words; empty without any."""
        lowest = "" if self.low is None else number_text(self.low)
        highest = "" if self.high is None else number_text(self.high)
        if lowest and highest:
            words = f"{lowest} to {highest}"
        elif lowest:
            words = "0 or more" if self.low == 0 else f"at least {lowest}"
        else:
            words = f"at most {highest}" if highest else ""
        ends = [] if self.above is None else [f"more than {number_text(self.above)}"]
        ends += [words] if words else []
        ends += [] if self.below is None else [f"less than {number_text(self.below)}"]
        return " and ".join(ends)

    def allow(self, number: float) -> bool:
        """Whether a number is within the bounds; NaN never is."""
        return (
            (self.low is None or number >= self.low)
            and (self.high is None or number <= self.high)
            and (self.above is None or number > self.above)
            and (self.below is None or number < self.below)
            and (not self.odd or number % 2 == 1)
            and abs(number) <= sys.float_info.max  # neither NaN or infinity nor a whole number that no float holds
        )


def setting(
    default: T,
    *,
    low: float | None = None,
    high: float | None = None,
    above: float | None = None,
    below: float | None = None,
    odd: bool = False,
    fewest: int = 0,
    multiline: bool = False,
    automatic: str = "",
    words: str = "",
    remedy: str = "",
    aliases: tuple[str, ...] = (),
) -> T:
    """A field of a dataclass with its default and `Bounds`; `check_settings` refuses values outside them."""
    bounds = Bounds(low, high, above, below, odd, fewest, multiline, automatic, words, remedy, aliases)
    # A field in place of the value: what `dataclass` takes, typed as the value that each instance has.
    return field(default=default, metadata={_BOUNDS: bounds})


def setting_like(config: type[DataclassInstance], name: str, default: T, **changes: Any) -> T:
    """A field with another default and the bounds of the field `name` of `config`, but for those that are given."""
    (original,) = (each for each in fields(config) if each.name == name)
    return field(default=default, metadata={_BOUNDS: replace(bounds_of(original), **changes)})


def bounds_of(of: Field[Any]) -> Bounds:
    """The bounds of a dataclass's field: none if it was not made by `setting`."""
    return cast(Bounds, of.metadata.get(_BOUNDS, Bounds()))


def check_settings(config: DataclassInstance, conflicts: Callable[[], Iterable[str]] = tuple) -> None:
    """Raises ValueError unless every field has its type and is within its bounds; one line per fault.

    `conflicts` yields what is wrong with fields of which each alone is right; it is asked only if each one is.
    """
    hints = type_hints(type(config))
    settings = [each for each in fields(config) if not is_dataclass(hints[each.name])]
    found = {each.name: fault_of(each, hints[each.name], getattr(config, each.name)) for each in settings}
    faults = [f"{name}: {fault}" for name, fault in found.items() if fault] or list(conflicts())
    if faults:
        raise ValueError("\n".join(faults))


def fault_of(of: Field[Any], annotation: Any, value: Any, *, automatic: bool = False) -> str:
    """`expected <what>, got <value>. <what to do>` for a value that a field cannot have; else "".

    With `automatic`, the text says that a file may have "auto" in its place.
    """
    bounds = bounds_of(of)
    if _has_type(annotation, value):
        if _is_within(annotation, bounds, value):
            return ""
        expected = bounds.words or _values_of(annotation, bounds)
    else:
        expected = bounds.words or expected_values(annotation, bounds)
    if automatic and bounds.automatic:
        expected += ' or "auto"'
    default = "auto" if of.default is None else of.default
    remedy = bounds.remedy or (f"The default is {shown(default)}." if of.default is not MISSING else "")
    return f"expected {expected}, got {shown(value)}. {remedy}".rstrip()


def expected_values(annotation: Any, bounds: Bounds) -> str:
    """The values that a setting may have, in words: "a whole number (2 to 4,096)"."""
    annotation = _without_none(annotation)
    if annotation is bool:
        return "true or false"
    if _choices(annotation):
        return _values_of(annotation, bounds)
    words = bounds.range()
    if annotation is str:
        return f"text ({words} characters)" if words else "text"  # control characters are too rare to mention
    if get_origin(annotation) is tuple:
        return _expected_tuple(get_args(annotation), bounds)
    kind = "an odd whole number" if bounds.odd else "a whole number" if annotation is int else "a number"
    return f"{kind} ({words})" if words else kind


def type_hints(config: type[DataclassInstance]) -> dict[str, Any]:
    """The types of a dataclass's fields by name."""
    return _type_hints(config)


def number_text(number: float) -> str:
    """A number as an error and a document show it: 4,096, 0.5, 1e-06."""
    if float(number).is_integer() and abs(number) < _PLAIN_DIGITS:
        return f"{int(number):,}"
    return f"{number:g}"


def shown(value: Any) -> str:
    """A value as a file has it, cut where it is long."""
    text = str(value).lower() if isinstance(value, bool) else repr(list(value) if isinstance(value, tuple) else value)
    return text if len(text) <= _SHOWN_CHARS else f"{text[:_SHOWN_CHARS]}..."


def _values_of(annotation: Any, bounds: Bounds) -> str:
    """What is expected of a value that has the right type."""
    annotation = _without_none(annotation)
    if choices := _choices(annotation):
        return f"one of {', '.join(map(str, choices))}"
    if annotation is str or get_origin(annotation) is tuple or bounds.odd or not bounds.range():
        kind = expected_values(annotation, bounds)
        return kind.replace("a number", "a finite number", 1) if annotation is float else kind
    return bounds.range()


def _expected_tuple(arguments: tuple[Any, ...], bounds: Bounds) -> str:
    kind = "texts" if arguments[0] is str else "numbers"
    of_each = f", each {bounds.range()}" if bounds.range() else ""
    if arguments[-1] is not ...:
        return f"a list of {len(arguments)} {kind}{of_each}"
    return f"a list of {f'{bounds.fewest} or more ' if bounds.fewest else ''}{kind}{of_each}"


def _has_type(annotation: Any, value: Any) -> bool:
    if get_origin(annotation) in (Union, types.UnionType) and value is None:
        return type(None) in get_args(annotation)
    annotation = _without_none(annotation)
    if choices := _choices(annotation):
        return any(type(value) is type(choice) and value == choice for choice in choices)
    if get_origin(annotation) is tuple:
        arguments = get_args(annotation)
        if not isinstance(value, tuple) or (arguments[-1] is not ... and len(value) != len(arguments)):
            return False
        return all(_has_type(arguments[0], part) for part in value)
    if annotation in (int, float):
        # True is no number here; a whole number will do for a float.
        return isinstance(value, int | float if annotation is float else int) and not isinstance(value, bool)
    return isinstance(value, annotation)


def _is_within(annotation: Any, bounds: Bounds, value: Any) -> bool:
    if isinstance(value, tuple):
        element = get_args(_without_none(annotation))[0]
        return len(value) >= bounds.fewest and all(_is_within(element, bounds, part) for part in value)
    if isinstance(value, str):
        plain = value.replace("\n", "").replace("\t", "") if bounds.multiline else value
        return bool(_choices(_without_none(annotation))) or (bounds.allow(len(value)) and not _CONTROL.search(plain))
    return value is None or isinstance(value, bool) or bounds.allow(value)


def _choices(annotation: Any) -> tuple[Any, ...]:
    """The values of a Literal, or of several in a union; empty for another type."""
    if get_origin(annotation) is Literal:
        return get_args(annotation)
    if get_origin(annotation) in (Union, types.UnionType):
        return tuple(choice for part in get_args(annotation) for choice in _choices(part))
    return ()


def _without_none(annotation: Any) -> Any:
    """`float` for `float | None`."""
    if get_origin(annotation) not in (Union, types.UnionType):
        return annotation
    others = [part for part in get_args(annotation) if part is not type(None)]
    return others[0] if len(others) == 1 else Union[tuple(others)]  # noqa: UP007 - built at run time


@functools.cache
def _type_hints(config: type[Any]) -> dict[str, Any]:
    return get_type_hints(config)
