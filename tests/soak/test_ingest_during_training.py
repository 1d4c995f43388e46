"""The short form of ingests during trainings; `make soak` is the long one, and docs/soak.md its last result."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.soak.ingest_during_training import run


@pytest.mark.timeout(280)
def test_the_training_after_an_ingest_is_that_of_a_clean_folder(tmp_path: Path) -> None:
    tally = run(rounds=1, seed=3, folder=tmp_path)
    assert tally.faults == []
    assert tally.without + tally.with_ <= 1
