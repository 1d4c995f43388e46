"""Where the stages of a run are shown: to a person who watches."""

from __future__ import annotations

import io

import pytest

from recmem.cli.console import Bars
from training.progress import Lines, Silent, shown_progress


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_bars_are_shown_on_a_terminal_and_nothing_in_a_file(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stderr", io.StringIO())
    assert isinstance(shown_progress(None), Silent)
    monkeypatch.setattr("sys.stderr", Terminal())
    monkeypatch.setenv("TERM", "xterm")
    assert isinstance(shown_progress(None), Bars)


def test_lines_are_shown_in_a_notebook(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rich.console._is_jupyter", lambda: True)
    assert isinstance(shown_progress(None), Lines)


def test_a_progress_that_is_given_is_the_one_that_is_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stderr", Terminal())
    given = Silent()
    assert shown_progress(given) is given


def test_a_line_is_printed_for_each_outer_stage(capsys: pytest.CaptureFixture[str]) -> None:
    lines = Lines()
    with lines.stage("Encoding texts", 1200) as advance:
        advance(1200)
        with lines.stage("inner", 3):
            pass
    with lines.stage("Computing ranking features", None):
        pass
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.splitlines() == ["Encoding texts (1,200)", "Computing ranking features"]
