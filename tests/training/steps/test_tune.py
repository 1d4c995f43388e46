"""The step `tune` in a run: what later steps read of it, and what is refused."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

import small_training
from feature_store import DataError
from recmem.text.unit_vectors import exact_units
from small_tuning import small_config
from tolerances import close
from training.config import TrainingConfig
from training.evaluation.encoder_choice import EncoderChoice, HeldOutPart
from training.progress import Silent
from training.run import Run, open_run
from training.steps.ingest import ingest
from training.steps.tune import PROGRESS, tune
from training.tables import Tables

TUNED = EncoderChoice(True, "it was told to", 30, 0, frozen_ndcg=0.1, tuned_ndcg=0.2)


class NoTracking:
    """A step's run that keeps what would be logged."""

    key = "key"

    def __init__(self) -> None:
        self.metrics: dict[str, float] = {}
        self.texts: dict[str, str] = {}

    def log_metrics(self, metrics: dict[str, float]) -> None:
        self.metrics |= metrics

    def log_text(self, text: str, name: str) -> None:
        self.texts[name] = text

    def __getattr__(self, name: str) -> Any:
        return lambda *_, **__: None


def run_of(folder: Path, config: TrainingConfig) -> Run:
    items, events = small_training.write_tables(folder / "tables")
    run = open_run(Tables.of(str(items), str(events), None), folder / "out", None, config, Silent())
    ingest(run, NoTracking())  # type: ignore[arg-type]
    return run


def tuned(run: Run) -> NoTracking:
    tracking = NoTracking()
    tune(run, tracking)  # type: ignore[arg-type]
    return tracking


@pytest.fixture
def always_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(HeldOutPart, "decide", lambda *_: TUNED)


@pytest.mark.usefixtures("always_kept")
def test_later_steps_read_frozen_and_tuned_vectors_side_by_side(tmp_path: Path) -> None:
    run = run_of(tmp_path, small_config())
    tracking = tuned(run)
    assert tracking.metrics["tuning/tuned_ndcg"] == 0.2
    assert tracking.texts["encoder.txt"].startswith("The text encoder was tuned")
    unit = run.training_data.unit
    dim = unit.shape[1]
    for name in ("base", "final"):
        vectors = run.vectors(name)  # type: ignore[arg-type]
        encoder = run.tuned_encoder(name)  # type: ignore[arg-type]
        assert encoder is not None
        close(vectors[:, :dim], unit, "exact")
        expected = exact_units(encoder.encode(run.training_data.dataset.catalogue.texts))
        close(vectors[:, dim:], expected, "grid")
        close(vectors[:, dim:] * 2048, (vectors[:, dim:] * 2048).round(), "exact")
    assert not torch.equal(run.vectors("base"), run.vectors("final"))
    assert (run.match_config.dim, run.match_config.similarity_dim) == (2 * dim, dim)
    # A run in another process reads the same files.
    again = open_run(Tables(), run.out, None, run.config, Silent())
    close(again.vectors("final"), run.vectors("final"), "exact")
    assert not (run.out / "work" / PROGRESS).exists()


def test_off_leaves_the_vectors_and_the_module_as_they_were(tmp_path: Path) -> None:
    run = run_of(tmp_path, small_config("off"))
    tuned(run)
    unit = run.training_data.unit
    close(run.vectors("base"), unit, "exact")
    assert run.vectors("final") is unit
    assert run.match_config.similarity_dim is None
    assert run.match_config.dim == unit.shape[1]
    summary = json.loads((run.folder("tune") / "summary.json").read_text())
    assert summary["tuning"] is None
    assert [path.name for path in run.folder("tune").iterdir()] == ["summary.json"]


@pytest.mark.usefixtures("always_kept")
def test_turning_it_off_again_removes_what_was_tuned(tmp_path: Path) -> None:
    tuned(run_of(tmp_path, small_config()))
    off = run_of(tmp_path, small_config("off"))
    tuned(off)
    assert off.vectors("final") is off.training_data.unit
    assert [path.name for path in off.folder("tune").iterdir()] == ["summary.json"]


def test_a_missing_extra_and_an_encoder_that_does_not_fit_are_refused_in_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "peft", None)
    with pytest.raises(DataError, match=r"pip install 'recmem\[peft\]'"):
        tuned(run_of(tmp_path / "peft", small_config("lora")))
    with pytest.raises(DataError, match="layers: expected at most the encoder's 3, got 9"):
        tuned(run_of(tmp_path / "layers", small_config("last", layers=9)))
