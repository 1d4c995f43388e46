"""Configurations from JSON: equal to what was written, and refused with the place of what is wrong."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recmem.config_json import from_json, parse_json


@dataclass(frozen=True)
class Inner:
    share: float
    labels: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.share < 0:
            raise ValueError(f"share: expected 0 or more, got {self.share}. Raise it.")


@dataclass(frozen=True)
class Outer:
    name: str
    size: int
    is_on: bool
    mode: Literal["fast", "exact"]
    pair: tuple[int, str]
    inner: Inner
    versions: dict[str, int]
    note: str | None = None


EXAMPLE = Outer("a", 3, True, "fast", (1, "b"), Inner(0.5, ("x", "y")), {"items": 2})


def as_json(config: Any) -> Any:
    return json.loads(json.dumps(asdict(config)))


@given(
    st.builds(
        Outer,
        name=st.text(),
        size=st.integers(),
        is_on=st.booleans(),
        mode=st.sampled_from(["fast", "exact"]),
        pair=st.tuples(st.integers(), st.text()),
        inner=st.builds(Inner, share=st.floats(0, 1e9), labels=st.lists(st.text()).map(tuple)),
        versions=st.dictionaries(st.text(), st.integers()),
        note=st.none() | st.text(),
    )
)
def test_a_configuration_comes_back_as_it_was_written(config: Outer) -> None:
    assert from_json(Outer, as_json(config)) == config


def test_an_integer_is_read_as_a_float_where_one_is_expected() -> None:
    share = from_json(Inner, {"share": 1, "labels": []}).share
    assert (share, type(share)) == (1.0, float)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"size": "3"}, "config.size: expected int, got '3'"),
        ({"size": True}, "config.size: expected int, got True"),
        ({"size": 3.0}, r"config.size: expected int, got 3\.0"),
        ({"is_on": 1}, "config.is_on: expected bool, got 1"),
        ({"mode": "slow"}, r"config.mode: expected one of \('fast', 'exact'\), got 'slow'"),
        ({"pair": [1]}, r"config.pair: expected 2 values, got \[1\]"),
        ({"pair": "ab"}, "config.pair: expected a list, got 'ab'"),
        ({"pair": ["1", "b"]}, "config.pair: expected int, got '1'"),
        ({"inner": 1}, "config.inner: expected an object, got 1"),
        ({"inner": {"share": "0.5", "labels": []}}, r"config\.inner\.share: expected float, got '0\.5'"),
        ({"inner": {"share": -1.0, "labels": []}}, "share: expected 0 or more, got -1"),
        ({"versions": []}, r"config.versions: expected an object, got \[\]"),
        ({"versions": {"items": "2"}}, r"config\.versions\.items: expected int, got '2'"),
        ({"note": 1}, "config.note: expected str, got 1"),
        ({"extra": 1}, r"config: expected the keys of Outer, got unknown keys \(extra\)"),
    ],
)
def test_a_value_that_does_not_fit_is_refused_with_its_place(change: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        from_json(Outer, as_json(EXAMPLE) | change)


def test_a_missing_key_is_refused() -> None:
    values = as_json(EXAMPLE)
    del values["size"]
    with pytest.raises(ValueError, match=r"config: expected the keys of Outer, got missing keys \(size\)"):
        from_json(Outer, values)


def test_a_value_that_is_no_object_is_refused() -> None:
    with pytest.raises(ValueError, match=r"config: expected an object, got \[\]"):
        from_json(Outer, [])


@pytest.mark.parametrize("text", ['{"a": [1, -2.5, "ü", null, true]}', "3", '"x"', str(2**63 - 1), str(-(2**63) + 1)])
def test_plain_json_is_read_as_it_is(text: str) -> None:
    assert parse_json(text, "file") == json.loads(text)


@pytest.mark.parametrize(
    ("text", "cause"),
    [
        ('{"a": NaN}', "the number NaN, which is not finite"),
        ("[-Infinity]", "the number -Infinity, which is not finite"),
        ("1e400", "the number 1e400, which is not finite"),
        ("9" * 5000, "the number 999999999999999999999999999999, which does not fit into 64 bits"),
        (str(2**63), "which does not fit into 64 bits"),
        ('{"a": 1, "a": 2}', "the key 'a' twice"),
        ("[" * 100_000, "nested too deeply"),
        ('{"a":' * 100_000, "nested too deeply"),
        ('"\\ud800"', "surrogates not allowed"),
        ("{'a': 1}", "Expecting property name"),
        ("\ufeff{}", "BOM"),
        ("", "Expecting value"),
    ],
)
def test_text_that_is_not_plain_json_is_refused(text: str, cause: str) -> None:
    with pytest.raises(ValueError, match=rf"^file: expected JSON, got invalid text \(.*{cause}.*\)\. Write"):
        parse_json(text, "file")


def test_errors_show_little_of_long_values_and_keys() -> None:
    with pytest.raises(ValueError, match=r"config\.size: expected int, got 'xxx") as refused:
        from_json(Outer, as_json(EXAMPLE) | {"size": "x" * 100_000})
    assert len(str(refused.value)) < 200
    with pytest.raises(ValueError, match=r"unknown keys \('\\x1b\[2J'\)"):
        from_json(Outer, as_json(EXAMPLE) | {"\x1b[2J": 1})


def test_a_choice_is_not_made_by_a_value_that_only_equals_it() -> None:
    @dataclass(frozen=True)
    class Choice:
        n: Literal[1, 2]

    with pytest.raises(ValueError, match=r"expected one of .1, 2., got True"):
        from_json(Choice, {"n": True})
    with pytest.raises(ValueError, match=r"expected one of .1, 2., got \[\]"):
        from_json(Choice, {"n": []})
