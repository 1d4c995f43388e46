"""`make demo` in small: the same script on a log that trains within a test."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import polars as pl
import pytest

import small_training
from conftest import IsolatedMlflow

ROOT = Path(__file__).parents[1]
N_EVENTS_MIN = 5


@pytest.fixture
def demo() -> ModuleType:
    spec = importlib.util.spec_from_file_location("demo", ROOT / "examples" / "demo.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_projects_of_the_demo_are_in_its_sample_with_a_memory(demo: ModuleType) -> None:
    events = pl.read_parquet(demo.SAMPLE / "events.parquet")
    counts = dict(events["user_id"].value_counts().iter_rows())
    assert all(counts[project] >= N_EVENTS_MIN for project in demo.PROJECTS)


def test_demo_shows_the_lift_the_reasons_and_how_to_open_the_results(
    demo: ModuleType,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    isolated_mlflow: IsolatedMlflow,
) -> None:
    small_training.write_tables(tmp_path / "sample")
    monkeypatch.setattr(demo, "SAMPLE", tmp_path / "sample")
    monkeypatch.setattr(demo, "OUT", tmp_path / "run")
    monkeypatch.setattr(demo, "PROJECTS", tuple(small_training.NAMED.values()))
    demo.main()
    printed = capsys.readouterr().out
    assert "ranker with text features" in printed
    assert all(project in printed for project in small_training.NAMED.values())
    assert printed.count("because") >= len(small_training.NAMED)
    assert printed.rstrip().splitlines()[-1].startswith("Open the results: mlflow ui --backend-store-uri sqlite:///")
