"""Output to the terminal: texts as they are, results on stdout, warnings and progress on stderr."""

from __future__ import annotations

import pytest

from recmem.cli.console import Bars, complain, say, show_table, table_fits


@pytest.fixture(autouse=True)
def _wide(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setenv("TERM", "dumb")


def test_brackets_are_printed_as_they_are(capsys: pytest.CaptureFixture[str]) -> None:
    say("a title [bold] with [/brackets]")
    show_table(("item [id]", "score"), [("x [red]", "1.0")])
    out = capsys.readouterr().out
    assert "a title [bold] with [/brackets]" in out
    assert "item [id]" in out
    assert "x [red]" in out


def test_results_go_to_stdout_and_warnings_to_stderr(capsys: pytest.CaptureFixture[str]) -> None:
    say("done")
    complain("careful")
    printed = capsys.readouterr()
    assert (printed.out, printed.err) == ("done\n", "careful\n")


def test_numbers_of_a_table_are_aligned_to_the_right(capsys: pytest.CaptureFixture[str]) -> None:
    show_table(("name", "value"), [("first", "1"), ("second", "100")])
    lines = [line.rstrip() for line in capsys.readouterr().out.splitlines()]
    (first,) = [line for line in lines if "first" in line]
    (second,) = [line for line in lines if "second" in line]
    assert len(first) == len(second)


def test_a_table_fits_a_terminal_that_is_as_wide_as_its_lines(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    table = (("name", "value"), [("the first of two", "1"), ("second", "100")])
    show_table(*table)
    width = max(map(len, capsys.readouterr().out.splitlines()))
    monkeypatch.setenv("COLUMNS", str(width))
    assert table_fits(*table)
    monkeypatch.setenv("COLUMNS", str(width - 1))
    assert not table_fits(*table)


def test_a_stage_within_a_stage_gets_a_bar_of_its_own_on_stderr(capsys: pytest.CaptureFixture[str]) -> None:
    bars = Bars()
    with bars.stage("outer", 2) as advance_outer, bars.stage("inner", None) as advance_inner:
        advance_inner(3)
        advance_outer(2)
    printed = capsys.readouterr()
    assert printed.out == ""
    assert "outer" in printed.err
    assert "2/2" in printed.err
    assert "3/3" in printed.err  # the total of a stage without one is what it did


def test_a_stage_in_which_there_was_nothing_to_do_leaves_no_bar(capsys: pytest.CaptureFixture[str]) -> None:
    bars = Bars()
    with bars.stage("outer", 1) as advance:
        with bars.stage("nothing to test", None):
            pass
        advance(1)
    with bars.stage("alone", 0):
        pass
    err = capsys.readouterr().err
    assert "1/1" in err
    assert "nothing to test" not in err
    assert "0/0" not in err
    assert "alone" not in err


def test_bars_that_do_not_stay_leave_nothing_in_a_file(capsys: pytest.CaptureFixture[str]) -> None:
    with Bars(stay=False).stage("trial", 2) as advance:
        advance(2)
    printed = capsys.readouterr()
    assert (printed.out, printed.err) == ("", "")


ATTACK = "\x1b[2J\x1b]0;owned\x07 \x9b31m \u202e [bold]x[/bold] [link=http://a]y[/link]"
SHOWN = r"\x1b[2J\x1b]0;owned\x07 \x9b31m \u202e [bold]x[/bold] [link=http://a]y[/link]"


@pytest.mark.parametrize("term", ["dumb", "xterm-256color"])
def test_control_characters_are_written_out_wherever_they_are_printed(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, term: str
) -> None:
    monkeypatch.setenv("TERM", term)
    say(ATTACK)
    complain(ATTACK)
    show_table((ATTACK, "score"), [(f"{ATTACK}\nsecond line", "1.0")], title=ATTACK)
    with Bars().stage(ATTACK, 1) as advance:
        advance(1)
    printed = capsys.readouterr()
    assert printed.out.count(SHOWN) == 4
    assert f"{SHOWN}\\nsecond line" in printed.out
    assert SHOWN in printed.err
    for text in (printed.out, printed.err):
        assert not set(text) & {"\x1b", "\x07", "\x9b", "\u202e"}


def test_addresses_in_warnings_are_shown_without_passwords(capsys: pytest.CaptureFixture[str]) -> None:
    complain("no answer from redis://me:hunter2@host:6379/0 for https://hunter2@host/api?token=hunter2")
    assert capsys.readouterr().err == "no answer from redis://host:6379/0 for https://host/api\n"
