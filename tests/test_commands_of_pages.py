"""Every page: its commands exist, with their options; its Python can be compiled; its links lead somewhere."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml

from recmem.cli.app import app

ROOT = Path(__file__).parents[1]
PLACES = ("README.md", "CONTRIBUTING.md", "docs/*.md", "mlflow_projects/*.md", "examples/*/README.md")
PAGES = sorted(page for place in PLACES for page in ROOT.glob(place))
OF_THE_PAST = ("log.md",)
"""Pages whose commands are those of their day."""
CURRENT = [page for page in PAGES if page.name not in OF_THE_PAST]


def name_of(page: Path) -> str:
    return str(page.relative_to(ROOT))


def commands(page: Path, program: str) -> Iterator[list[str]]:
    """The command lines of a program in a page's listings and, where they have options, in its text."""
    text = page.read_text()
    listings = "\n".join(re.findall(r"^ {4}(.*)$", text, re.MULTILINE))
    joined = re.sub(r"\\\n\s*", "", listings)
    lines = [line for line in joined.splitlines() if re.match(rf"([A-Z_]+=\S+ )*{program} ", line)]
    lines += [" ".join(found.split()) for found in re.findall(rf"`({program} [^`]*--?\w[^`]*)`", text)]
    for line in lines:
        words = shlex.split(line, comments=True)
        yield words[words.index(program) + 1 :]


@cache
def options_of(name: str) -> frozenset[str] | None:
    """The options of a command of recmem, such as "import mind"; None if there is no such command."""
    found: Any = typer.main.get_command(app)
    for part in name.split():
        found = found.get_command(None, part)
        if found is None:
            return None
    names = {word for option in found.params for word in (*option.opts, *option.secondary_opts)}
    return frozenset(names | {"--help"})


def unknown_words(words: list[str]) -> list[str]:
    """The subcommand, or the options, that recmem does not have."""
    words = [word for word in words if word not in ("--debug", "--version")]
    if not words or not re.fullmatch(r"[a-z]+", words[0]):
        return []
    name = " ".join(words[:2]) if words[0] in ("import", "export") else words[0]
    options = options_of(name)
    if options is None:
        return [name]
    given = [word.partition("=")[0] for word in words if re.match(r"--[a-z]", word)]
    return [word for option in given for word in option.split("|") if word.startswith("--") and word not in options]


@pytest.mark.parametrize("page", CURRENT, ids=name_of)
def test_commands_and_their_options_exist(page: Path) -> None:
    wrong = {shlex.join(words): found for words in commands(page, "recmem") if (found := unknown_words(words))}
    assert wrong == {}


@pytest.mark.parametrize("page", CURRENT, ids=name_of)
def test_parameters_of_mlflow_run_are_those_of_the_project(page: Path) -> None:
    entry_points = yaml.safe_load((ROOT / "mlflow_projects" / "MLproject").read_text())["entry_points"]
    for words in commands(page, "mlflow"):
        if words[0] == "run":
            entry = words[words.index("-e") + 1] if "-e" in words else "main"
            given = {words[place + 1].partition("=")[0] for place, word in enumerate(words) if word == "-P"}
            assert given - set(entry_points[entry]["parameters"]) == set(), shlex.join(words)


@pytest.mark.parametrize("page", CURRENT, ids=name_of)
def test_python_can_be_compiled(page: Path) -> None:
    for code in re.findall(r"```python\n(.*?)```", page.read_text(), re.DOTALL):
        compile(code, name_of(page), "exec")


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_links_lead_to_files_and_headings(page: Path) -> None:
    # Code is left out: an index such as names[0](x) looks like a link.
    text = re.sub(r"```.*?```|`[^`]*`", "", page.read_text(), flags=re.DOTALL)
    for target in re.findall(r"\]\((?!https?:)([^)\s]+)\)", text):
        path, _, heading = target.partition("#")
        file = page if not path else (page.parent / path)
        assert file.exists(), target
        if heading:
            assert heading in headings(file), target


def headings(page: Path) -> set[str]:
    """The anchors of a page's headings, as GitHub makes them."""
    text = re.sub(r"```.*?```", "", page.read_text(), flags=re.DOTALL)
    names = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", name.lower()).replace(" ", "-") for name in names}


def test_wrong_commands_are_found() -> None:
    assert unknown_words(["train", "--item", "x", "--no-refit"]) == ["--item"]
    assert unknown_words(["trains"]) == ["trains"]
    assert unknown_words(["import", "mind", "--news", "x", "--old"]) == ["--old"]
