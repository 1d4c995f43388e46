"""`recmem tune`: what it prints and leaves, and what it refuses."""

from __future__ import annotations

import sys
import tomllib
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest

import cross_fit_log
import small_search
from command_line import DONE, REFUSED, WRONG_USE, Outcome
from training.cli.tune import INTERRUPTED
from training.configuration.effective import effective_config, with_values
from training.settings_search.validation import Measured, ValidationQueries

PYPROJECT = Path(__file__).parents[3] / "pyproject.toml"


@pytest.fixture(autouse=True)
def declared_commands(monkeypatch: pytest.MonkeyPatch) -> None:
    """The commands that pyproject.toml declares, whether or not they are installed."""
    group = "recmem.commands"
    declared = tomllib.loads(PYPROJECT.read_text())["project"]["entry-points"][group]
    commands = {name: EntryPoint(name, value, group) for name, value in declared.items()}
    monkeypatch.setattr("recmem.cli.app._registered", lambda: commands)


def tune(folder: Path, *arguments: object) -> Outcome:
    folder.mkdir(exist_ok=True)
    tables = {"items": cross_fit_log.items(), "events": cross_fit_log.events()}
    given: list[object] = ["tune", "--out", folder / "tuning"]
    for name, table in tables.items():
        table.write_parquet(folder / f"{name}.parquet")
        given += [f"--{name}", folder / f"{name}.parquet"]
    for name, value in small_search.QUICK.items():
        given += ["--set", f"{name}={value}"]
    return Outcome(*given, *arguments)


def test_search_prints_a_line_per_trial_the_gain_and_where_its_files_are(tmp_path: Path) -> None:
    outcome = tune(tmp_path, "--trials", 3, "--minutes", 60, "--seed", 0)
    assert outcome.code == DONE, outcome.err
    expected = small_search.searched().trials[:3]
    lines = [line for line in outcome.out.splitlines() if line.startswith("Trial ")]
    assert len(lines) == 3
    for line, trial in zip(lines, expected, strict=True):
        assert line.startswith(f"Trial {trial.number}, ")
        assert f"NDCG@10 {trial.value:.4f}" in line
        assert "left." in line
    assert "validation queries of 90 users" in outcome.out
    assert f"Best settings: {tmp_path / 'tuning' / 'best.toml'}" in outcome.out
    assert "MLflow: mlflow ui --backend-store-uri sqlite:///" in outcome.out
    best = max(expected, key=lambda trial: (trial.value, -trial.number))
    found = effective_config(tmp_path / "tuning" / "best.toml")
    assert found == with_values(effective_config(small_search.QUICK), best.settings)


def test_ctrl_c_prints_what_there_is_and_how_to_go_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    measure = ValidationQueries.measure
    begun: list[object] = []

    def interrupted(self: ValidationQueries, config: object) -> Measured:
        begun.append(config)
        if len(begun) > 1:
            raise KeyboardInterrupt
        return measure(self, config)  # type: ignore[arg-type]

    monkeypatch.setattr(ValidationQueries, "measure", interrupted)
    outcome = tune(tmp_path)
    assert outcome.code == INTERRUPTED
    assert "Only the base configuration was measured: NDCG@10" in outcome.out
    assert "Stopped by Ctrl-C. The same command goes on with the search." in outcome.err
    assert effective_config(tmp_path / "tuning" / "best.toml") == effective_config(small_search.QUICK)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--minutes", "0"], "--minutes: expected more than 0, got 0."),
        (["--trials", "0"], "--trials: expected at least 1, got 0."),
        (["--search", "trees"], "--search: expected ranker or match, or both, got 'trees'."),
        (["--set", "ranker.leaves=1"], "ranker.leaves (--set): expected 2 to 4,096, got 1."),
        (["--seed", "-1"], "--seed: expected 0 to 2,147,483,647, got -1."),
    ],
)
def test_wrong_use_is_refused_in_words_before_anything_is_written(
    arguments: list[str], message: str, tmp_path: Path
) -> None:
    outcome = tune(tmp_path, *arguments)
    assert outcome.code == WRONG_USE
    assert message in " ".join(outcome.err.split())
    assert not (tmp_path / "tuning").exists()


def test_tables_or_a_store_are_required(tmp_path: Path) -> None:
    outcome = Outcome("tune", "--out", tmp_path / "tuning")
    assert outcome.code == WRONG_USE
    assert "--items, --events: expected both, or a --store that holds them, got neither." in outcome.err


def test_missing_optuna_is_told_with_the_command_that_installs_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "optuna", None)
    outcome = tune(tmp_path)
    assert outcome.code == REFUSED
    assert "optuna: expected it to be installed" in outcome.err
    assert "pip install 'recmem[tune]'" in outcome.err
