"""Settings: bounds beside the field, faults in words, and no polars for those who have none."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, fields
from typing import Any, Literal

import pytest

from feature_store.settings import bounds_of, check_settings, expected_values, setting, setting_like, type_hints
from feature_store.signals import SignalConfig


@dataclass(frozen=True)
class Inner:
    size: int = 3


@dataclass(frozen=True)
class Shape:
    whole: int = setting(7, low=2, high=4096)
    odd: int = setting(3, low=1, odd=True)
    share: float = setting(0.5, above=0, below=1)
    rate: float | None = setting(None, above=0, high=1, automatic="by kind")
    free: float = setting(1.0)
    kind: Literal["auto", "off"] | Literal["full"] = setting("auto")
    flag: bool = setting(True)
    text: str = setting("a", low=1, high=5)
    lines: str = setting("", low=0, high=9, multiline=True)
    names: tuple[str, ...] = setting(("a",))
    shares: tuple[float, ...] = setting((1.0,), above=0, high=1, fewest=1)
    pair: tuple[float, float] = setting((1.0, 2.0), low=1)
    low: int = setting(1, low=0)
    high: int = setting(1, low=0, remedy="Raise it.")
    inner: Inner = Inner()

    def __post_init__(self) -> None:
        check_settings(self, self._conflicts)

    def _conflicts(self) -> Iterator[str]:
        if self.low > self.high:
            yield f"low: expected at most high ({self.high}), got {self.low}. Lower it."


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        ({"whole": 1}, "whole: expected 2 to 4,096, got 1. The default is 7."),
        ({"whole": 2.0}, "whole: expected a whole number (2 to 4,096), got 2.0. The default is 7."),
        ({"whole": True}, "whole: expected a whole number (2 to 4,096), got true. The default is 7."),
        ({"whole": None}, "whole: expected a whole number (2 to 4,096), got None. The default is 7."),
        ({"odd": 4}, "odd: expected an odd whole number (at least 1), got 4. The default is 3."),
        ({"share": 1}, "share: expected more than 0 and less than 1, got 1. The default is 0.5."),
        ({"share": float("nan")}, "share: expected more than 0 and less than 1, got nan. The default is 0.5."),
        ({"rate": 2.0}, "rate: expected more than 0 and at most 1, got 2.0. The default is 'auto'."),
        ({"rate": "fast"}, "rate: expected a number (more than 0 and at most 1), got 'fast'. The default is 'auto'."),
        ({"free": float("inf")}, "free: expected a finite number, got inf. The default is 1.0."),
        ({"kind": "some"}, "kind: expected one of auto, off, full, got 'some'. The default is 'auto'."),
        ({"flag": 1}, "flag: expected true or false, got 1. The default is true."),
        ({"text": ""}, "text: expected text (1 to 5 characters), got ''. The default is 'a'."),
        ({"text": "a\nb"}, r"text: expected text (1 to 5 characters), got 'a\nb'. The default is 'a'."),
        ({"lines": "\x1b[2J"}, r"lines: expected text (0 to 9 characters), got '\x1b[2J'. The default is ''."),
        ({"names": "a"}, "names: expected a list of texts, got 'a'. The default is ['a']."),
        ({"names": (1,)}, "names: expected a list of texts, got [1]. The default is ['a']."),
        ({"shares": ()}, "shares: expected a list of 1 or more numbers, each more than 0 and at most 1, got []."),
        (
            {"shares": (0.5, 2.0)},
            "shares: expected a list of 1 or more numbers, each more than 0 and at most 1, got [0",
        ),
        (
            {"pair": (1.0,)},
            "pair: expected a list of 2 numbers, each at least 1, got [1.0]. The default is [1.0, 2.0].",
        ),
        ({"high": -1}, "high: expected 0 or more, got -1. Raise it."),
        ({"low": 2}, "low: expected at most high (1), got 2. Lower it."),
    ],
)
def test_a_value_that_a_setting_cannot_have_is_refused_in_words(changes: dict[str, Any], fault: str) -> None:
    with pytest.raises(ValueError, match="expected") as refused:
        Shape(**changes)
    assert str(refused.value).startswith(fault)


@pytest.mark.parametrize(
    "changes",
    [{"share": 0.999}, {"rate": 1}, {"lines": "a\n\tb"}, {"names": ()}, {"pair": (1, 2)}, {"high": 9, "low": 9}],
)
def test_values_within_the_bounds_are_taken(changes: dict[str, Any]) -> None:
    ((name, value), *_) = changes.items()
    assert getattr(Shape(**changes), name) == value


def test_a_whole_number_that_no_float_holds_is_refused() -> None:
    with pytest.raises(ValueError, match=r"positive_from: expected a finite number, got 1000+\.\.\.\."):
        SignalConfig(positive_from=10**400)


def test_all_faults_are_reported_and_conflicts_only_between_values_that_are_right() -> None:
    with pytest.raises(ValueError, match="expected") as refused:
        Shape(whole=0, share=2.0, low=5)
    assert [line.partition(":")[0] for line in str(refused.value).splitlines()] == ["whole", "share"]


def test_a_long_value_is_cut() -> None:
    with pytest.raises(ValueError, match=r"got 'x+\.\.\.\. The default is 'a'\.$") as refused:
        Shape(text="x" * 10_000)
    assert len(str(refused.value)) < 200


def test_a_field_with_the_bounds_of_another_keeps_its_own_default() -> None:
    @dataclass(frozen=True)
    class Likewise:
        size: int = setting_like(Shape, "whole", 9, high=64)

    (field,) = fields(Likewise)
    assert Likewise().size == 9
    assert (bounds_of(field).low, bounds_of(field).high) == (2, 64)


def test_what_a_setting_may_be_is_said_for_documents() -> None:
    words = {field.name: expected_values(type_hints(Shape)[field.name], bounds_of(field)) for field in fields(Shape)}
    assert words["whole"] == "a whole number (2 to 4,096)"
    assert words["rate"] == "a number (more than 0 and at most 1)"
    assert words["kind"] == "one of auto, off, full"
    assert words["free"] == "a number"


def test_an_encoders_settings_are_checked_without_polars() -> None:
    code = """
import sys
sys.modules["polars"] = None  # as if it were not installed
from recmem.text.encoder import EncoderConfig
try:
    EncoderConfig(max_tokens=1)
except ValueError as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "max_tokens: expected 4 to 1,000,000, got 1. The default is 256.\n"
