"""The short form of the mutated inputs; `make soak` is the long one, and docs/soak.md its last result."""

from __future__ import annotations

from pathlib import Path

from tests.soak.fuzz import run


def test_every_input_is_taken_or_refused_in_the_one_form(tmp_path: Path) -> None:
    ends, faults = run(cases=300, seed=2, folder=tmp_path)
    assert faults == []
    assert ends["taken"] + ends["refused"] == 300
    assert ends["taken"] > 20
    assert ends["refused"] > 100
