"""The README holds: its example runs, its files exist, its options are those of the command line."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest
from typer.testing import CliRunner

import small_training
from recmem.cli.app import app

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
N_EXAMPLE_LINES_MAX = 15


def example() -> str:
    (found,) = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    return found


def command_lines() -> list[list[str]]:
    return [line.split()[1:] for line in re.findall(r"^    (recmem .*)$", README, re.MULTILINE)]


def test_example_runs_as_it_stands(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(small_training.trained() / "run" / "bundle", tmp_path / "run" / "bundle")
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {}
    exec(compile(example(), "README.md", "exec"), names)
    told = capsys.readouterr().out
    assert "because" in told
    assert told.count("libcairo2-dev") >= 2  # ranked at first, remembered at last


def test_example_is_short() -> None:
    lines = [line for line in example().splitlines() if line.strip()]
    assert len(lines) <= N_EXAMPLE_LINES_MAX


def test_text_is_as_long_as_a_readme_should_be() -> None:
    assert 300 <= len(README.split()) <= 600


def test_file_map_names_what_is_there() -> None:
    files = re.search(r"## Files\n\n(.*?)\n\n", README, re.DOTALL)
    assert files is not None
    named = [line.split()[0] for line in files[1].splitlines()]
    assert [name for name in named if not (ROOT / name).is_dir()] == []
    packages = {path.parent.name for path in ROOT.glob("*/__init__.py")}
    assert packages - {"tests"} <= {name.rstrip("/") for name in named}


def test_links_lead_somewhere() -> None:
    links = re.findall(r"\]\((?!http)([^)#]+)", README)
    assert links
    assert [link for link in links if not (ROOT / link).exists()] == []


@pytest.mark.parametrize("arguments", command_lines(), ids=" ".join)
def test_command_lines_name_options_that_exist(arguments: list[str]) -> None:
    told = CliRunner().invoke(app, [arguments[0], "--help"], env={"COLUMNS": "200", "NO_COLOR": "1"}).output
    assert [option for option in arguments if option.startswith("--") and option not in told] == []


def test_make_targets_exist() -> None:
    targets = re.findall(r"^    make (\w+)", README, re.MULTILINE)
    makefile = (ROOT / "Makefile").read_text()
    assert targets
    assert [target for target in targets if f"\n{target}:" not in makefile] == []
