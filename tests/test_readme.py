"""The README is true: its example runs, its files exist, its options are those of the command line."""

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
    printed = capsys.readouterr().out
    assert "because" in printed
    assert printed.count("libcairo2-dev") >= 2  # ranked at first, remembered at last


def test_example_is_short() -> None:
    lines = [line for line in example().splitlines() if line.strip()]
    assert len(lines) <= N_EXAMPLE_LINES_MAX


def prose() -> str:
    """The README without code, listings and tables."""
    without_code = re.sub(r"```.*?```", "", README, flags=re.DOTALL)
    return "\n".join(line for line in without_code.splitlines() if not line.startswith(("    ", "|")))


def file_map() -> list[str]:
    """The folders of the file map, with those that they are listed under: "recmem/cli"."""
    files = re.search(r"## Files\n\n(.*?)\n\n", README, re.DOTALL)
    assert files is not None
    found = []
    parent = ""
    for line in files[1].splitlines():
        name = line.split()[0].rstrip("/")
        if line.startswith("      "):
            found.append(f"{parent}/{name}")
        else:
            parent = name
            found.append(name)
    return found


def test_prose_is_as_long_as_a_readme_should_be() -> None:
    assert 300 <= len(prose().split()) <= 600


def test_file_map_names_every_package_and_room() -> None:
    named = file_map()
    assert [name for name in named if not (ROOT / name).is_dir()] == []
    packages = [path.parent for path in ROOT.glob("*/**/__init__.py") if ".venv" not in path.parts]
    rooms = {str(path.relative_to(ROOT)) for path in packages if "tests" not in path.relative_to(ROOT).parts}
    assert rooms <= set(named)


def test_links_lead_somewhere() -> None:
    links = re.findall(r"\]\((?!http)([^)#]+)", README)
    assert links
    assert [link for link in links if not (ROOT / link).exists()] == []


@pytest.mark.parametrize("arguments", command_lines(), ids=" ".join)
def test_command_lines_name_options_that_exist(arguments: list[str]) -> None:
    shown = CliRunner().invoke(app, [arguments[0], "--help"], env={"COLUMNS": "200", "NO_COLOR": "1"}).output
    assert [option for option in arguments if option.startswith("--") and option not in shown] == []


def test_make_targets_exist() -> None:
    targets = re.findall(r"^    make (\w+)", README, re.MULTILINE)
    makefile = (ROOT / "Makefile").read_text()
    assert targets
    assert [target for target in targets if f"\n{target}:" not in makefile] == []
