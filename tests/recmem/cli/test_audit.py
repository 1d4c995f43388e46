"""`recmem audit`: nothing differs, and a planted leak is found."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest

import small_training
from command_line import DONE, REFUSED, Outcome
from feature_store import Store
from feature_store.point_in_time.as_of_join import AsOfIndex


@pytest.fixture(scope="module")
def run() -> Path:
    return small_training.trained() / "run"


@pytest.fixture(scope="module")
def bundle(run: Path) -> Path:
    return run / "bundle"


def test_a_clean_audit_reports_what_it_compared(bundle: Path, tmp_path: Path) -> None:
    found = tmp_path / "new" / "found.parquet"
    outcome = Outcome("audit", "--model", bundle, "--queries", 12, "--cuts", 2, "--out", found)
    assert outcome.code == DONE
    assert "of 12 queries" in outcome.out
    assert outcome.out.count("0 differences") == 2
    assert pl.read_parquet(found).is_empty()
    assert list(found.parent.iterdir()) == [found]


def test_the_times_that_were_checked_are_counted_and_not_those_asked_for(bundle: Path) -> None:
    outcome = Outcome("audit", "--model", bundle, "--queries", 1, "--cuts", 20)
    assert "Leaks from the future: 0 differences at 1 time." in outcome.out


def test_a_store_without_events_is_refused(bundle: Path, tmp_path: Path) -> None:
    Store.create(tmp_path / "store").append_items(small_training.items())
    outcome = Outcome("audit", "--model", bundle, "--store", tmp_path / "store")
    assert outcome.code == REFUSED
    assert outcome.err.startswith("store: expected events to replay, got none.")


def test_a_file_that_cannot_be_written_is_refused_before_the_audit(bundle: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    outcome = Outcome("audit", "--model", bundle, "--queries", 12, "--out", tmp_path / "file" / "found.parquet")
    assert outcome.code == REFUSED
    assert "out: expected a file that can be written" in outcome.err
    assert not outcome.out


def test_audit_exits_with_1_and_shows_a_planted_leak(bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    known_until = AsOfIndex.known_until
    monkeypatch.setattr(AsOfIndex, "known_until", lambda index, times: known_until(index, times + 1))
    outcome = Outcome("audit", "--model", bundle, "--queries", 12, "--cuts", 2)
    assert outcome.code == REFUSED
    assert "popularity" in outcome.out
