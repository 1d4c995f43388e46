"""The MLproject file and `python -m training.mlflow_project` agree. (An end-to-end test runs the project.)"""

from __future__ import annotations

import shlex
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml
from mlflow.projects import _project_spec
from typer.testing import CliRunner

import recmem
import small_training
from command_line import WIDE, WRONG_USE
from feature_store import DataError
from training import mlflow_project
from training.report.verdict_text import verdict_sentences
from training.tables import Tables

PROJECT = Path(__file__).parents[1] / "mlflow_projects"
ENTRY_POINTS = ["main", "ingest", "encode", "tune", "match", "rank", "evaluate", "refit", "report", "score"]


def entry_point(name: str) -> Any:
    return _project_spec.load_project(str(PROJECT)).get_entry_point(name)


def command_of(name: str, storage: Path, **parameters: str) -> list[str]:
    """What the shell is given for an entry point."""
    return shlex.split(entry_point(name).compute_command(parameters, str(storage)))


def step_commands() -> dict[str, Any]:
    """The commands of `python -m training.mlflow_project` by name, as click commands."""
    return dict(typer.main.get_command(mlflow_project.app).commands)  # type: ignore[attr-defined]


def option(parameter: str) -> str:
    """The option that a parameter is handed on as: MLflow's parameters have names without hyphens."""
    return f"--{parameter.replace('_', '-')}"


def test_entry_points_are_the_documented_ones() -> None:
    listed = yaml.safe_load((PROJECT / "MLproject").read_text())
    assert list(listed["entry_points"]) == ENTRY_POINTS
    readme = (PROJECT / "README.md").read_text()
    assert [name for name in ENTRY_POINTS if f"| `{name}` |" not in readme] == []


@pytest.mark.parametrize("name", ENTRY_POINTS)
def test_every_parameter_is_handed_on_under_its_own_name(name: str) -> None:
    point = entry_point(name)
    options = " ".join(f"{option(parameter)} {{{parameter}}}" for parameter in point.parameters)
    assert point.command == f"cd .. && python -m training.mlflow_project {name} {options}"


@pytest.mark.parametrize("name", ENTRY_POINTS)
def test_parameters_are_options_of_the_step(name: str) -> None:
    commands = step_commands()
    taken = {option for parameter in commands[name].params for option in parameter.opts}
    assert {option(parameter) for parameter in entry_point(name).parameters} <= taken


@pytest.mark.parametrize("name", ENTRY_POINTS)
def test_what_a_step_requires_is_required_by_its_entry_point(name: str) -> None:
    required = {parameter.name for parameter in step_commands()[name].params if parameter.required}
    given = {parameter.name for parameter in entry_point(name).parameters.values() if parameter.default is None}
    assert required <= given


def test_command_takes_absolute_files_and_leaves_empty_what_is_not_given(tmp_path: Path) -> None:
    items, events = tmp_path / "the items.parquet", tmp_path / "events.parquet"
    items.touch()
    events.touch()
    words = command_of("main", tmp_path, items=str(items), events=str(events), out="runs/x y")
    assert words[:7] == ["cd", "..", "&&", "python", "-m", "training.mlflow_project", "main"]
    assert dict(zip(words[7::2], words[8::2], strict=True)) == {
        "--items": str(items),
        "--events": str(events),
        "--impressions": "",
        "--facts": "",
        "--ablate": "",
        "--vectors": "",
        "--vectors-name": "",
        "--users": "",
        "--out": "runs/x y",
        "--store": "",
        "--config": "",
        "--set": "",
        "--seed": "",
        "--tune-encoder": "",
        "--encoder": "",
        "--pooling": "",
        "--max-tokens": "",
        "--text-prefix": "",
        "--positive-events": "",
        "--negative-events": "",
        "--neutral-events": "",
        "--weight": "",
        "--features": "",
        "--position-debiasing": "",
        "--refit": "",
        "--folds": "",
        "--promote": "",
        "--registered-name": "",
    }


def test_empty_parameters_leave_a_setting_to_the_file_and_all_faults_are_reported_at_once(tmp_path: Path) -> None:
    from training.mlflow_project import _config

    path = tmp_path / "my.toml"
    path.write_text("seed = 1\n[ranker]\nleaves = 5\n")
    options = {"seed": "", "encoder": "", "max_tokens": "64", "refit": "False", "folds": "2.0"}
    config = _config(str(path), "ranker.rounds=20; encoder.text_prefix=query: ", options)
    assert (config.seed, config.refit, config.folds, config.encoder.max_tokens) == (1, False, 2, 64)
    assert (config.ranker.leaves, config.ranker.rounds, config.encoder.text_prefix) == (5, 20, "query: ")
    path.write_text("seed = -1\n")
    given = ["--config", str(path), "--set", "ranker.leavs=3;a", "--refit", "no"]
    outcome = CliRunner().invoke(mlflow_project.app, ["encode", "--out", "run", *given], env=WIDE)
    assert outcome.exit_code == WRONG_USE
    assert outcome.stderr.partition("Error: ")[2].splitlines() == [
        "seed (my.toml): expected 0 to 2,147,483,647, got -1. The default is 0.",
        "ranker.leavs (--set): expected the name of a setting, got an unknown one. Did you mean ranker.leaves?",
        "--set: expected SETTING=VALUE, got 'a'. Try ranker.leaves=31.",
        "--refit: expected true or false, got 'no'. The default is true.",
    ]


def test_all_steps_together_print_what_the_command_prints(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import training.pipeline

    tables = small_training.items(), small_training.events()
    result = recmem.train(*tables, out=tmp_path, tune_encoder="off", refit=False)
    monkeypatch.setattr(training.pipeline, "run_training", lambda **_: replace(result, warnings=("items.x: wrong.",)))
    given = ["--items", "items.parquet", "--events", "events.parquet", "--out", str(tmp_path)]
    outcome = CliRunner().invoke(mlflow_project.app, ["main", *given], env=WIDE)
    assert outcome.exit_code == 0
    assert result.registration in outcome.output
    assert verdict_sentences(result.verdict)[0] in outcome.output
    assert "Warning: items.x: wrong." in outcome.output
    assert f"Report: {result.report.absolute()}" in outcome.output


def test_environment_names_what_the_package_declares() -> None:
    environment = yaml.safe_load((PROJECT / "python_env.yaml").read_text())
    assert environment["dependencies"] == ["recmem[minilm,faiss]"]


def test_ingest_gives_each_table_its_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[Tables] = []

    def opens(tables: Tables, *_: object) -> None:
        opened.append(tables)
        raise DataError("opened")

    monkeypatch.setattr("training.run.open_run", opens)
    names = ("items", "events", "impressions", "users", "vectors")
    files = [word for name in names for word in (f"--{name}", f"{name}.parquet")]
    CliRunner().invoke(mlflow_project.app, ["ingest", "--out", str(tmp_path), *files])
    CliRunner().invoke(mlflow_project.app, ["match", "--out", str(tmp_path)])
    assert [tables.given() for tables in opened] == [{name: f"{name}.parquet" for name in names}, {}]
