"""The `recmem` command: help, usage errors, exit codes, and commands of other packages."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Callable
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Annotated

import pytest
import typer

from command_line import DONE, REFUSED, WRONG_USE, Outcome
from feature_store import DataError
from recmem.cli import app as app_module
from recmem.cli.console import say

ROOT = Path(__file__).parents[3]
HEAVY = ["torch", "transformers", "mlflow", "lightgbm", "polars", "deltalake", "pyarrow", "matplotlib"]
WITH_SUBCOMMANDS = {"import": ("mind", "movielens", "amazon", "goodreads"), "export": ("mind-prediction",)}
COMMANDS = [
    *((name,) for name in app_module.HELP_ORDER if name not in WITH_SUBCOMMANDS),
    *((name, form) for name, forms in WITH_SUBCOMMANDS.items() for form in forms),
]
HELP = """
import sys
heavy, sys.argv = set(sys.argv[1:]), ["recmem", "--help"]
from recmem.cli import main
try:
    main()
finally:
    print(*heavy & set(sys.modules), file=sys.stderr)
"""


@pytest.fixture
def entry_point(monkeypatch: pytest.MonkeyPatch) -> Callable[[str, str], None]:
    """Registers one command as another package would."""

    def register(name: str, value: str) -> None:
        point = EntryPoint(name, value, app_module.COMMAND_GROUP)
        monkeypatch.setattr(app_module, "entry_points", lambda group: [point])

    return register


def hello(name: Annotated[str, typer.Option(help="Whom to greet.")] = "world") -> None:
    """Greet somebody."""
    if name == "nobody":
        raise DataError("name: expected somebody, got nobody. Name a person.")
    say(f"Hello {name}")


def test_help_names_the_commands_and_loads_nothing_heavy() -> None:
    done = subprocess.run([sys.executable, "-c", HELP, *HEAVY], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == DONE
    assert done.stderr.split() == []
    listed = re.findall(r"^  (\w+)  ", done.stdout, re.MULTILINE)
    assert listed == list(app_module.HELP_ORDER)


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_help_of_a_command_describes_each_option_in_words(command: tuple[str, ...]) -> None:
    outcome = Outcome(*command, "--help")
    assert outcome.code == DONE
    options = re.findall(r"^  (--[\w-]+)(.*?)(?=^  --|\Z)", outcome.out, re.MULTILINE | re.DOTALL)
    assert {"--help", *(name for name, _ in options)} > {"--help"}
    assert [name for name, text in options if len(text.split()) < 4] == []


@pytest.mark.parametrize("command", ["train", "ingest"])
def test_help_shows_the_optional_columns_in_their_brackets(command: str) -> None:
    shown = " ".join(Outcome(command, "--help").out.split())
    assert "timestamp [event, value, session_id, available_at, event_id, cancels, weight]" in shown
    assert "label (1 if clicked) [position, weight]" in shown


def test_help_of_score_shows_the_optional_columns_in_their_brackets() -> None:
    assert "item_id [timestamp, impression_id, history, ...]" in " ".join(Outcome("score", "--help").out.split())


def test_a_command_of_another_package_is_listed_and_run(entry_point: Callable[[str, str], None]) -> None:
    entry_point("hello", f"{__name__}:hello")
    assert re.search(r"^  hello +Greet somebody", Outcome("--help").out, re.MULTILINE)
    assert Outcome("hello", "--name", "all").out == "Hello all\n"


def test_errors_of_a_command_of_another_package_are_sentences(entry_point: Callable[[str, str], None]) -> None:
    entry_point("hello", f"{__name__}:hello")
    outcome = Outcome("hello", "--name", "nobody")
    assert (outcome.code, outcome.err) == (REFUSED, "name: expected somebody, got nobody. Name a person.\n")


NOT_A_COMMAND = 7


def leave() -> None:
    raise SystemExit(3)


@pytest.mark.parametrize(
    "value", ["no_such_package:command", "recmem.cli.app:no_such_command", f"{__name__}:NOT_A_COMMAND"]
)
def test_a_command_that_cannot_be_imported_leaves_the_others_working(
    entry_point: Callable[[str, str], None], value: str
) -> None:
    entry_point("broken", value)
    shown = Outcome("--help")
    assert shown.code == DONE
    assert "  score " in shown.out
    assert f"broken: expected a command at {value}, got" in shown.err
    assert Outcome("broken").code == WRONG_USE


def test_an_entry_point_does_not_replace_a_command_of_recmem(entry_point: Callable[[str, str], None]) -> None:
    entry_point("score", f"{__name__}:hello")
    assert "--candidates" in Outcome("score", "--help").out


def test_the_former_name_of_resubmit_still_works_and_is_not_listed() -> None:
    assert Outcome("mend", "--help").code == DONE
    assert not re.search(r"^  mend ", Outcome("--help").out, re.MULTILINE)


def test_no_summary_of_a_command_is_cut_off() -> None:
    assert "..." not in Outcome("--help").out.partition("Commands:")[2].partition("First run:")[0]


def test_usage_errors_begin_with_the_option() -> None:
    assert "\nError: --items, --events: expected both" in Outcome("train", "--out", "run").err
    outcome = Outcome("train", "--out", "run", "--store", "s", "--positive-from", "1", "--negative-to", "2")
    assert "\nError: --negative-to: expected less than --positive-from (1.0), got 2.0. " in outcome.err
    assert (
        "\nError: --encoder: expected a folder" in Outcome("train", "--out", "run", "--store", "s", "--encoder", "").err
    )


def test_version_is_that_of_the_distribution() -> None:
    outcome = Outcome("--version")
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert outcome.code == DONE
    assert outcome.out.strip() in {f"recmem {project['version']}", "recmem (not installed)"}


@pytest.mark.parametrize(
    "arguments",
    [
        ["nonsense"],
        ["train"],
        ["train", "--out", "run"],
        ["train", "--out", "run", "--items", "items.parquet"],
        ["train", "--out", "run", "--store", "s", "--candidates", "0"],
        ["train", "--out", "run", "--store", "s", "--candidates", "many"],
        ["train", "--out", "run", "--store", "s", "--seed", "-1"],
        ["train", "--out", "run", "--store", "s", "--positive-from", "1", "--negative-to", "2"],
        ["train", "--out", "run", "--store", "s", "--positive-from", "nan"],
        ["train", "--out", "run", "--store", "s", "--encoder", ""],
        ["ingest", "--store", "s"],
        ["ingest", "--items", "items.parquet"],
        ["score", "--model", "b", "--candidates", "c.parquet"],
        ["score", "--model", "b", "--candidates", "c.parquet", "--out", "c.parquet"],
        ["score", "--model", "b", "--candidates", "c.parquet", "--out", "s.parquet", "--columns", "both"],
        ["score", "--model", "b", "--candidates", "c.parquet", "--out", "s.parquet", "--chunk-rows", "0"],
        ["score", "--model", "b", "--candidates", "c.parquet", "--out", "s.parquet", "--device", "abacus"],
        ["explain", "--model", "b", "--user", "u"],
        ["explain", "--model", "b", "--user", "u", "--item", "i", "--timestamp", "yesterday"],
        ["memory", "--model", "b", "--user", "u", "--timestamp", "nan"],
        ["memory", "--model", "b", "--user", "u", "--unheard-of"],
    ],
    ids=" ".join,
)
def test_a_usage_error_exits_with_2_and_says_why(
    arguments: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    outcome = Outcome(*arguments)
    assert outcome.code == WRONG_USE
    assert outcome.err.strip()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "code"),
    [(["memory", "--model", "absent", "--user", "u"], REFUSED), (["memory", "--model", "absent"], WRONG_USE)],
)
def test_the_process_exits_with_the_code_and_prints_no_traceback(
    arguments: list[str], code: int, tmp_path: Path
) -> None:
    command = [sys.executable, "-c", "from recmem.cli import main; main()", *arguments]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.returncode == code
    assert "Traceback" not in done.stderr
    assert done.stderr.strip()
    assert done.stdout == ""


def test_a_command_whose_module_exits_leaves_the_others_working(
    entry_point: Callable[[str, str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    entry_point("broken", f"{__name__}:hello")
    monkeypatch.setattr(EntryPoint, "load", lambda point: leave())
    shown = Outcome("--help")
    assert (shown.code, "  score " in shown.out) == (DONE, True)
    assert "got SystemExit: 3" in shown.err


def test_commands_of_recmem_that_are_not_installed_say_how_to_install_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(app_module, "entry_points", lambda group: [])
    outcome = Outcome("train", "--out", "run")
    assert outcome.code == WRONG_USE
    assert "train: expected recmem to be installed with its commands" in outcome.err
    assert "  train " not in Outcome("--help").out


def test_another_package_cannot_replace_recmems_own_train(monkeypatch: pytest.MonkeyPatch) -> None:
    own = [point for point in entry_points(group=app_module.COMMAND_GROUP) if point.name == "train"]
    other = EntryPoint("train", f"{__name__}:hello", app_module.COMMAND_GROUP)
    for points in ([*own, other], [other, *own]):
        monkeypatch.setattr(app_module, "entry_points", lambda group, points=points: points)
        assert "--events" in Outcome("train", "--help").out
