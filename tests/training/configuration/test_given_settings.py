"""Settings as they are given: values of TOML, of Python and of a command line, and files that are none."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from training.configuration.given_settings import MAX_FILE_BYTES, ConfigError, GivenSettings


def assigned(*assignments: str) -> dict[str, Any]:
    given = GivenSettings()
    given.add_assignments(assignments)
    assert given.faults == []
    return given.values


def faults_of(*assignments: str) -> list[str]:
    given = GivenSettings()
    given.add_assignments(assignments)
    return given.faults


@pytest.mark.parametrize(
    ("assignment", "value"),
    [
        ("ranker.leaves=31", 31),
        (" ranker.leaves = 31 ", 31),
        ("ranker.l2=3", 3.0),
        ("seed=3.0", 3),
        ("refit=False", False),
        ("tuning.kind=last", "last"),
        ('tuning.kind="last"', "last"),
        ("tuning.kind=auto", "auto"),
        ("tuning.learning_rate=auto", None),
        ("tuning.learning_rate=1e-4", 1e-4),
        ("encoder.name=123", "123"),
        ("encoder.name=intfloat/e5-small", "intfloat/e5-small"),
        ("encoder.text_prefix=query: ", "query: "),
        ("encoder.text_prefix=a=b", "a=b"),
        ("signals.negative_events=skip, return", ("skip", "return")),
        ('signals.negative_events=["skip"]', ("skip",)),
        ("signals.negative_events=", ()),
        ("signals.neutral_events=404", ("404",)),
        ("tuning.averages=1", (1.0,)),
        ("covisitation.half_lives=3,20", (3.0, 20.0)),
    ],
)
def test_set_takes_toml_and_text_without_quotes(assignment: str, value: Any) -> None:
    ((_, found),) = assigned(assignment).items()
    assert found == value
    assert type(found) is type(value)


def test_the_last_set_of_a_name_counts() -> None:
    assert assigned("seed=1", "seed=2") == {"seed": 2}


@pytest.mark.parametrize(
    ("assignment", "fault"),
    [
        ("seed", "--set: expected SETTING=VALUE, got 'seed'. Try ranker.leaves=31."),
        ("=3", "--set: expected SETTING=VALUE, got '=3'. Try ranker.leaves=31."),
        ("seed=", "seed (--set): expected a whole number (0 to 2,147,483,647), got ''. The default is 0."),
        ("seed=1\nfolds = 3", r"seed (--set): expected a whole number (0 to 2,147,483,647), got '1\nfolds = 3'."),
        ("ranker=3", "ranker (--set): expected a section with settings such as ranker.rounds, got '3'."),
        ("seed=[[", "seed (--set): expected a whole number (0 to 2,147,483,647), got '[['."),
        ("xyzzy=1", "xyzzy (--set): expected the name of a setting, got an unknown one. `recmem config` lists all"),
    ],
)
def test_what_set_cannot_use_is_a_fault(assignment: str, fault: str) -> None:
    (found,) = faults_of(assignment)
    assert found.startswith(fault)


def test_numbers_of_numpy_are_numbers() -> None:
    given = GivenSettings()
    given.add_mapping({"ranker": {"leaves": np.int64(31), "l2": np.float32(0.5)}, "tuning.averages": [np.float64(0.5)]})
    assert given.faults == []
    assert given.values == {"ranker.leaves": 31, "ranker.l2": 0.5, "tuning.averages": (0.5,)}
    assert {type(value) for value in given.values.values()} == {int, float, tuple}


def test_a_file_with_a_byte_order_mark_and_empty_sections_is_read(tmp_path: Path) -> None:
    path = tmp_path / "recmem.toml"
    path.write_bytes(b"\xef\xbb\xbf[ranker]\r\n[match.batch]\r\nqueries = 32\r\n")
    given = GivenSettings()
    given.add_file(path)
    assert (given.values, given.faults) == ({"match.batch.queries": 32}, [])
    assert given.sources == {"match.batch.queries": "recmem.toml"}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"seed = 1\n[ranker\n", r"^bad\.toml: expected TOML, got invalid text: .*line 2, column 8.*Correct it there"),
        (b"seed = 1\nseed = 2\n", r"^bad\.toml: expected TOML, got invalid text: .*line 2"),
        (b'name = "\xff"\n', r"^bad\.toml: expected TOML, got invalid text: .*utf-8"),
        (b"a = " + b"[" * 50_000, r"^bad\.toml: expected TOML, got invalid text"),
        (b"#" * (MAX_FILE_BYTES + 1), r"^bad\.toml: expected a configuration, got over 1,048,576 bytes"),
    ],
    ids=["syntax", "twice", "encoding", "depth", "size"],
)
def test_a_file_that_is_no_toml_is_refused_with_its_line(content: bytes, message: str, tmp_path: Path) -> None:
    path = tmp_path / "bad.toml"
    path.write_bytes(content)
    with pytest.raises(ConfigError, match=message) as refused:
        GivenSettings().add_file(path)
    assert "\n" not in str(refused.value)


def test_a_file_that_is_not_there_is_refused_with_its_path(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=rf"^no\.toml: expected a TOML file, got none at {tmp_path / 'no.toml'} \(No"):
        GivenSettings().add_file(tmp_path / "no.toml")
    with pytest.raises(ConfigError, match="Is a directory"):
        GivenSettings().add_file(tmp_path)
