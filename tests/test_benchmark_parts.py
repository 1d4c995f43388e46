"""Parts of a benchmark are measured in processes of their own: what breaks one leaves the rows of all others."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks.__main__ import is_encoder
from benchmarks.parts import FAILED, Part, chosen, measured
from benchmarks.timing import Row


def row(way: str) -> Row:
    return Row("match", "3 x 4", way, 5.0, "scores/s", 1.0)


def two_tables() -> Iterator[list[Row]]:
    yield [row("first")]
    yield [row("second")]


def fails_after(way: str) -> Iterator[list[Row]]:
    yield [row(way)]
    raise RuntimeError("CUDA error: an illegal memory access | was encountered")


def exits() -> Iterator[list[Row]]:
    raise SystemExit("bundle: expected one, got none.")
    yield []


def dies() -> Iterator[list[Row]]:
    os._exit(7)
    yield []


def hangs() -> Iterator[list[Row]]:
    yield [row("before it hangs")]
    time.sleep(600)


def test_what_breaks_a_part_is_told_and_the_next_ones_are_measured(capfd: pytest.CaptureFixture[str]) -> None:
    parts = [
        Part("broken", fails_after, ("by hand",)),
        Part("without a model", exits),
        Part("dead", dies),
        Part("whole", two_tables),
    ]
    rows = [each for rows in measured(parts) for each in rows]
    assert [(each.what, each.way) for each in rows] == [
        ("match", "by hand"),
        ("broken", FAILED),
        ("without a model", FAILED),
        ("dead", FAILED),
        ("match", "first"),
        ("match", "second"),
    ]
    assert [each.note for each in rows if each.way == FAILED] == [
        "RuntimeError: CUDA error: an illegal memory access / was encountered",
        "SystemExit: bundle: expected one, got none.",
        "the process ended with exit code 7",
    ]
    assert "fails_after" in capfd.readouterr().err  # a traceback


def test_a_part_that_hangs_is_stopped_and_keeps_its_rows() -> None:
    begin = time.monotonic()
    rows = [each for rows in measured([Part("hanging", hangs)], limit_s=60) for each in rows]
    assert [each.way for each in rows] == ["before it hangs", FAILED]
    assert rows[1].note == "stopped, since it took too long"
    assert time.monotonic() - begin < 300


def runs_a_command() -> Iterator[list[Row]]:
    command = subprocess.Popen(["sleep", "600"])
    yield [replace(row("with a command"), note=str(command.pid))]
    command.wait()


def test_a_command_of_a_part_is_stopped_with_it() -> None:
    rows = [each for rows in measured([Part("commanding", runs_a_command)], limit_s=60) for each in rows]
    assert [each.way for each in rows] == ["with a command", FAILED]
    status = Path(f"/proc/{rows[0].note}/stat")
    deadline = time.monotonic() + 60
    while status.exists() and status.read_text().rpartition(")")[2].split()[0] not in "ZX":
        assert time.monotonic() < deadline, "the command goes on"
        time.sleep(0.1)


def test_a_part_may_be_called_like_a_folder_that_is_no_encoder(tmp_path: Path) -> None:
    assert Path("training").is_dir()
    assert not is_encoder("training")
    assert not is_encoder(str(tmp_path))
    (tmp_path / "config.json").touch()
    assert is_encoder(str(tmp_path))


def test_parts_are_chosen_by_the_beginnings_of_their_names() -> None:
    parts = [Part("match 50", two_tables), Part("match 100", two_tables), Part("training", two_tables)]
    assert [part.name for part in chosen(parts, ["match 1", "tr"])] == ["match 100", "training"]
    assert chosen(parts, []) == parts
    with pytest.raises(SystemExit, match=r"parts: expected beginnings of 'match 50', .*, got 'score'"):
        chosen(parts, ["score"])
