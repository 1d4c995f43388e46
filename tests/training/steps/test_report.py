"""What a run leaves for readers, and what is left if it is killed in between."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pytest

import small_training
from feature_store import DataError
from training.config import TrainingConfig
from training.configuration.effective import effective_config
from training.progress import Silent
from training.report.run_stamp import PLACE, RunStamp
from training.run import Run, open_run
from training.steps import report as step
from training.steps.report import is_published, publish_report, read_folds, report, report_outputs
from training.tables import Tables
from training.tracking.tracker import Tracker

WRITTEN = ("bundle", "measured_bundle", "ledger.json", "report.html", "recmem.toml")


def content_of(path: Path) -> dict[str, bytes]:
    files = [path] if path.is_file() else sorted(each for each in path.rglob("*") if each.is_file())
    return {each.name: each.read_bytes() for each in files}


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """A copy of the small training, whose readers' files are of another run: the seed of nothing that is left here."""
    shutil.copytree(small_training.trained() / "run", tmp_path / "run")
    for name in WRITTEN:
        path = tmp_path / "run" / name
        for file in [path] if path.is_file() else [path / "ranker.json"]:
            file.write_text(file.read_text() + "\n")
    return open_run(Tables(), tmp_path / "run", None, TrainingConfig(), Silent())


def test_bundles_and_ledger_are_those_of_the_steps(run: Run) -> None:
    with Tracker.start(run.out) as tracker:
        report(run, tracker.parent)
    assert content_of(run.out / "bundle") == content_of(run.folder("calibrate") / "bundle")
    assert content_of(run.out / "measured_bundle") == content_of(run.folder("evaluate") / "bundle")
    assert content_of(run.out / "ledger.json") == content_of(run.folder("evaluate") / "ledger.json")
    left = run.folder("report") / "report.html"
    assert "it was refitted after the figures were measured" in left.read_text()
    published = [run.out / name for name in WRITTEN if name != "report.html"]
    assert report_outputs(run) == [*published, left]


def test_the_report_takes_its_place_with_the_facts_of_its_run(run: Run) -> None:
    with Tracker.start(run.out) as tracker:
        report(run, tracker.parent)
        assert not is_published(run)
        stamp = RunStamp(
            "2026-11-28T14:50:00+00:00", 61, (), "shop, version 7", "It is the champion.", "promoted", "0a1b"
        )
        publish_report(run, stamp)
    assert is_published(run)
    page = (run.out / "report.html").read_text()
    assert "shop, version 7" in page
    assert "1 min 1 s" in page
    assert PLACE not in page


@pytest.mark.parametrize("killed_in", ["remove_bundle", "copy_bundle", "report_content", "render_report"])
def test_a_killed_step_leaves_no_files_of_two_runs(run: Run, killed_in: str, monkeypatch: pytest.MonkeyPatch) -> None:
    before = {name: content_of(run.out / name) for name in WRITTEN}

    def killed(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(step, killed_in, killed)
    with pytest.raises(KeyboardInterrupt), Tracker.start(run.out) as tracker:
        report(run, tracker.parent)
    is_old = {content_of(run.out / name) == before[name] for name in WRITTEN if (run.out / name).exists()}
    assert len(is_old) == 1


def test_folds_of_an_earlier_run_do_not_stay(run: Run) -> None:
    (run.out / "folds.json").write_text("{}")
    with Tracker.start(run.out) as tracker:
        report(run, tracker.parent)
    assert not (run.out / "folds.json").exists()


def test_the_configuration_is_kept_in_the_runs_folder_and_gives_the_same_one(run: Run) -> None:
    run.config = replace(run.config, ranker=replace(run.config.ranker, leaves=31))
    with Tracker.start(run.out) as tracker:
        report(run, tracker.parent)
    assert effective_config(run.out / "recmem.toml") == run.config


def test_folds_that_were_not_measured_are_refused_in_words(run: Run) -> None:
    run.config = replace(run.config, folds=3)
    with pytest.raises(DataError, match=r"folds: expected the figures of 3 folds in .*, got none"):
        read_folds(run)
