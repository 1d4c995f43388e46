"""What could act on a terminal is written out; what languages need stays."""

from __future__ import annotations

import pytest

from recmem.cli.printable import one_line, printable


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("\x1b[31mred\x1b[0m", "\\x1b[31mred\\x1b[0m"),
        ("\x1b]0;title\x07", "\\x1b]0;title\\x07"),
        ("\x9b31m", "\\x9b31m"),
        ("a\x00b\x08\x7f", "a\\x00b\\x08\\x7f"),
        ("over\rwritten\ttab", "over\\rwritten\\ttab"),
        ("user\u202etxt.exe\u2066", "user\\u202etxt.exe\\u2066"),
        ("in\u200bvisible\ufeff", "in\\u200bvisible\\ufeff"),
        ("next\u2028line\u2029\x85", "next\\u2028line\\u2029\\x85"),
        ("tag\U000e0041", "tag\\U000e0041"),
        ("half\udc80", "half\\udc80"),
    ],
)
def test_control_characters_are_written_out(text: str, shown: str) -> None:
    assert printable(text) == one_line(text) == shown
    assert printable(f"{text}\nnext") == f"{shown}\nnext"
    assert one_line(f"{text}\nnext") == f"{shown}\\nnext"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "plain [bold]",
        "naïve 日本\u3000語",
        "flag \U0001f3f3\ufe0f\u200d\U0001f308",
        "Persian \u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645",
        "soft\u00adhyphen\u00a0",
    ],
)
def test_writing_of_all_languages_stays_as_it_is(text: str) -> None:
    assert printable(text) == one_line(text) == text
