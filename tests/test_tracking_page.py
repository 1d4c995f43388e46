"""docs/tracking.md holds: its code runs as it stands, its names are those of real runs, its pictures are there."""

from __future__ import annotations

import re
from pathlib import Path

import mlflow
import pandas as pd
import pytest
from mlflow import MlflowClient

from conftest import IsolatedMlflow
from tracked_training import trained
from training.tracking.experiment import database_uri

DOCS = Path(__file__).parents[1] / "docs"
PAGE = (DOCS / "tracking.md").read_text()
MAX_BYTES = 300_000
"""Of a picture."""


def test_code_runs_as_it_stands_and_finds_trainings_steps_report_and_data(
    isolated_mlflow: IsolatedMlflow, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    mlflow.set_tracking_uri(database_uri(trained()))
    names: dict[str, object] = {}
    (code,) = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    exec(compile(code, "docs/tracking.md", "exec"), names)
    trainings = names["trainings"]
    steps = names["steps"]
    assert isinstance(trainings, pd.DataFrame)
    assert isinstance(steps, pd.DataFrame)
    assert len(trainings) == 2
    assert "match" in set(steps["tags.mlflow.runName"])
    assert "<html" in Path(str(names["report"])).read_text()
    assert isinstance(names["data"], dict)
    assert set(names["data"]) == {"items", "events"}
    assert "promoted: first champion" in capsys.readouterr().out


def test_metrics_and_tags_of_the_page_are_those_of_a_training() -> None:
    uri = database_uri(trained())
    client = MlflowClient(uri, registry_uri=uri)
    experiment = client.get_experiment_by_name("recmem")
    assert experiment is not None
    runs = client.search_runs([experiment.experiment_id])
    metrics = {name for run in runs for name in run.data.metrics}
    tags = {name for run in runs for name in run.data.tags}
    named = set(re.findall(r"^\| `([\w/]+)` \| ", PAGE, re.MULTILINE))
    other_runs = {
        "against_champion/ndcg_at_10",
        "folds_lift/ndcg_at_10",
        "folds_auc/ranker",  # with impressions
        "click_times/position",
    }
    assert other_runs < named
    assert named - metrics - other_runs == set()
    assert set(re.findall(r"`(recmem\.(?!toml)\w+)`", PAGE)) - tags == {"recmem.ablation"}  # with --ablate


def test_pictures_are_there_and_of_modest_size() -> None:
    pictures = re.findall(r"!\[[^\]]+\]\(([^)]+)\)", PAGE)
    assert len(pictures) == 3
    assert [name for name in pictures if not 10_000 < (DOCS / name).stat().st_size < MAX_BYTES] == []


def test_page_is_short() -> None:
    assert 60 <= len(PAGE.splitlines()) <= 100
