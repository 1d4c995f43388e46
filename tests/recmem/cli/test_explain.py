"""`recmem explain`: a reason, and parts that add up."""

from __future__ import annotations

from pathlib import Path

import pytest

import small_training
from command_line import DONE, Outcome


@pytest.fixture(scope="module")
def run() -> Path:
    return small_training.trained() / "run"


@pytest.fixture(scope="module")
def bundle(run: Path) -> Path:
    return run / "bundle"


def test_the_reason_is_printed_and_the_parts_add_up(bundle: Path) -> None:
    outcome = Outcome("explain", "--model", bundle, "--user", "curl", "--item", "libopus-dev")
    assert outcome.code == DONE, outcome.err
    assert "because" in outcome.out
    assert "Match score" in outcome.out
    match, ranking = outcome.out.split("Ranking score")
    for part, total in ((match, "match score, raw"), (ranking, "ranking score")):
        lines = [line.rsplit(None, 1) for line in part.splitlines() if line.rsplit(None, 1)[-1:] and _is_number(line)]
        parts = {words.strip(): float(number) for words, number in lines}
        expected = next(value for words, value in parts.items() if words == total)
        assert sum(value for words, value in parts.items() if words != total) == pytest.approx(expected, abs=0.02)


def _is_number(line: str) -> bool:
    return line.rsplit(None, 1)[-1].lstrip("+-").replace(".", "", 1).isdigit() and len(line.rsplit(None, 1)) == 2


def test_an_unknown_user_gets_the_base_score(bundle: Path) -> None:
    outcome = Outcome("explain", "--model", bundle, "--user", "newcomer", "--item", "libpng-dev")
    assert outcome.code == DONE, outcome.err
    assert "base score (not from any memory slot)" in outcome.out
