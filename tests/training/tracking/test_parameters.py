from __future__ import annotations

from dataclasses import dataclass, field

from training.tracking.parameters import flat_parameters, is_instance_of_dataclass, logged_parameters, plain_parameters


@dataclass(frozen=True)
class Inner:
    rate: float = 0.1


@dataclass(frozen=True)
class Outer:
    seed: int = 0
    inner: Inner = field(default_factory=Inner)


def test_dataclasses_become_dicts_all_the_way_down() -> None:
    assert plain_parameters(Outer()) == {"seed": 0, "inner": {"rate": 0.1}}
    assert plain_parameters({"inner": Inner()}) == {"inner": Inner()}


def test_nested_parameters_are_named_by_their_path() -> None:
    expected = {"seed": 0, "inner.rate": 0.1}
    assert flat_parameters(Outer()) == expected
    assert flat_parameters({"seed": 0, "inner": Inner()}) == expected
    assert flat_parameters({"a": {"b": {"c": 1}}, "names": ("x", "y")}) == {"a.b.c": 1, "names": ("x", "y")}


def test_a_dataclass_itself_is_no_instance() -> None:
    assert is_instance_of_dataclass(Inner())
    assert not is_instance_of_dataclass(Inner)


def test_settings_outside_any_section_are_logged_as_those_of_the_training() -> None:
    assert logged_parameters(Outer()) == {"training.seed": 0, "inner.rate": 0.1}
