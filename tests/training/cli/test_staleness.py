"""`recmem staleness`: the cost of stale features, as a table and a plot."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

import small_training
from command_line import DONE, REFUSED, Outcome


@pytest.fixture(scope="module")
def run() -> Path:
    return small_training.trained() / "run"


@pytest.fixture(scope="module")
def bundle(run: Path) -> Path:
    return run / "bundle"


def test_a_chart_that_cannot_be_written_leaves_the_earlier_one(
    bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "staleness.png").write_bytes(b"earlier")
    replace = os.replace

    def fails(source: Path, target: Path) -> None:
        if Path(target).suffix == ".png":
            raise OSError("No space left on device")
        replace(source, target)

    monkeypatch.setattr(os, "replace", fails)
    outcome = Outcome("staleness", "--model", bundle, "--out", tmp_path, "--queries", 4)
    assert outcome.code == REFUSED
    assert (tmp_path / "staleness.png").read_bytes() == b"earlier"


def test_staleness_tells_and_draws_what_late_feeds_cost(bundle: Path, tmp_path: Path) -> None:
    outcome = Outcome("staleness", "--model", bundle, "--out", tmp_path / "stale", "--queries", 8)
    assert outcome.code == DONE
    assert "NDCG@10 with fresh features: 0." in outcome.out
    assert outcome.out.count("1 week") == 3
    assert (tmp_path / "stale" / "staleness.png").read_bytes().startswith(b"\x89PNG")
    assert json.loads((tmp_path / "stale" / "staleness.json").read_text())["queries"] == 8
