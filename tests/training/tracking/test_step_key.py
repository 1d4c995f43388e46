from __future__ import annotations

import sys
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from training.tracking.step_key import outputs_digest, step_key


@dataclass(frozen=True)
class Inner:
    width: int = 4


@dataclass(frozen=True)
class Config:
    seed: int = 0
    names: tuple[str, ...] = ("a", "b")
    inner: Inner = Inner()


INPUTS = {"store": "0123"}


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A package on the path, with a module and a file of another kind."""
    folder = tmp_path / "place" / "step_code"
    (folder / "sub").mkdir(parents=True)
    (folder / "__init__.py").write_text("")
    (folder / "sub" / "work.py").write_text("x = 1\n")
    (folder / "page.html").write_text("<p>")
    monkeypatch.syspath_prepend(str(folder.parent))
    monkeypatch.delitem(sys.modules, "step_code", raising=False)
    return folder


def test_key_is_the_same_for_the_same_work(package: Path) -> None:
    key = step_key("match", INPUTS, Config(), ["step_code"])
    assert key == step_key("match", dict(INPUTS), Config(), ["step_code"])
    assert len(key) == 32
    assert int(key, 16) >= 0


def test_key_changes_with_name_inputs_and_parameters_down_to_a_nested_one(package: Path) -> None:
    keys = [
        step_key("match", INPUTS, Config(), ["step_code"]),
        step_key("rank", INPUTS, Config(), ["step_code"]),
        step_key("match", {"store": "0124"}, Config(), ["step_code"]),
        step_key("match", INPUTS, Config(seed=1), ["step_code"]),
        step_key("match", INPUTS, replace(Config(), inner=Inner(8)), ["step_code"]),
        step_key("match", INPUTS, Config(), []),
    ]
    assert len(set(keys)) == len(keys)


@pytest.mark.parametrize("file", ["sub/work.py", "page.html", "sub/new.py"])
def test_key_changes_with_any_file_of_the_code(package: Path, file: str) -> None:
    before = step_key("match", INPUTS, {}, ["step_code"])
    (package / file).write_text("y = 2\n")
    assert step_key("match", INPUTS, {}, ["step_code"]) != before


def test_key_changes_with_a_renamed_file(package: Path) -> None:
    before = step_key("match", INPUTS, {}, ["step_code"])
    (package / "page.html").rename(package / "site.html")
    assert step_key("match", INPUTS, {}, ["step_code"]) != before


def test_caches_of_python_are_no_code(package: Path) -> None:
    before = step_key("match", INPUTS, {}, ["step_code"])
    (package / "sub" / "__pycache__").mkdir()
    (package / "sub" / "__pycache__" / "work.cpython-311.pyc").write_bytes(b"\0")
    assert step_key("match", INPUTS, {}, ["step_code"]) == before


def test_module_and_its_name_are_the_same_code() -> None:
    import training.tracking.step_key as module

    assert step_key("match", {}, {}, [module]) == step_key("match", {}, {}, ["training.tracking.step_key"])


def test_parameters_may_hold_paths_and_dataclasses() -> None:
    first = step_key("match", {}, {"path": Path("a"), "config": Config()}, [])
    assert first != step_key("match", {}, {"path": Path("a"), "config": Config(seed=3)}, [])
    assert first != step_key("match", {}, {"path": Path("b"), "config": Config()}, [])


def test_parameter_that_is_no_plain_value_is_refused() -> None:
    with pytest.raises(TypeError, match=r"parameters: expected values that JSON can hold, got set\. Give"):
        step_key("match", {}, {"names": {"a", "b"}}, [])


@pytest.mark.parametrize("module", ["no_such_module", "sys"])
def test_module_without_a_source_file_is_refused(module: str) -> None:
    with pytest.raises(ValueError, match=f"modules: expected modules with a source file, got '{module}'"):
        step_key("match", {}, {}, [module])


def test_outputs_digest_knows_content_and_names_and_order(tmp_path: Path) -> None:
    for name, text in {"a/x": "1", "b/x": "1", "c/x": "2", "d/y": "1"}.items():
        (tmp_path / name).parent.mkdir()
        (tmp_path / name).write_text(text)
    a, b, c, d = (outputs_digest([tmp_path / name]) for name in "abcd")
    assert a == b
    assert len({a, c, d}) == 3
    assert outputs_digest([tmp_path / "a", tmp_path / "c"]) != outputs_digest([tmp_path / "c", tmp_path / "a"])
    assert outputs_digest([tmp_path / "a" / "x"]) == outputs_digest([tmp_path / "b" / "x"])


def test_outputs_digest_is_empty_where_something_is_missing(tmp_path: Path) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "x").touch()
    (tmp_path / "empty").mkdir()
    assert outputs_digest([tmp_path / "full"])
    assert outputs_digest([tmp_path / "full", tmp_path / "empty"]) == ""
    assert outputs_digest([tmp_path / "none"]) == ""
