"""The names that `import recmem` offers, and how they are found."""

from __future__ import annotations

import importlib.metadata
import inspect
import subprocess
import sys
import tomllib
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest

import feature_store
import recmem
from recmem.serving.explain import Explanation
from recmem.serving.loading import load
from recmem.serving.model import Model

PYPROJECT = Path(__file__).parents[2] / "pyproject.toml"


def declared_functions() -> dict[str, EntryPoint]:
    """The entry points of recmem's functions as pyproject.toml declares them, whether or not they are installed."""
    group = "recmem.functions"
    declared = tomllib.loads(PYPROJECT.read_text())["project"]["entry-points"][group]
    return {name: EntryPoint(name, value, group) for name, value in declared.items()}


def install(monkeypatch: pytest.MonkeyPatch, functions: dict[str, EntryPoint]) -> None:
    def entry_points(*, group: str, name: str) -> list[EntryPoint]:
        assert group == "recmem.functions"
        return [functions[name]] if name in functions else []

    monkeypatch.setattr(importlib.metadata, "entry_points", entry_points)


def test_names_are_those_of_the_modules_that_define_them() -> None:
    assert recmem.Model is Model
    assert recmem.load is load
    assert recmem.Explanation is Explanation
    assert recmem.DataError is feature_store.DataError
    assert recmem.Receipt is feature_store.Receipt
    assert set(recmem.__all__) <= set(dir(recmem))


def test_train_is_the_function_that_pyproject_declares(monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, declared_functions())
    from training.api import train

    assert recmem.train is train
    assert list(inspect.signature(recmem.train).parameters)[:2] == ["items", "events"]
    assert recmem.train.__doc__


def test_train_without_an_installed_package_names_the_command_that_installs_it(monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, {})
    with pytest.raises(AttributeError, match=r"recmem\.train: expected recmem to be installed.*pip install -e \."):
        _ = recmem.train
    assert not hasattr(recmem, "train")


def test_other_names_are_no_attributes() -> None:
    with pytest.raises(AttributeError, match="no attribute 'fit'"):
        _ = recmem.fit  # type: ignore[attr-defined]


def test_importing_recmem_loads_no_frame_library() -> None:
    code = "import sys, recmem; print(*{'pandas', 'pyarrow', 'polars', 'torch'} & set(sys.modules))"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert loaded.stdout.split() == []
