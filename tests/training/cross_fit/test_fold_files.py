"""Folds as files: what was written is read, under the same key only."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

import cross_fit_log
from training.cross_fit.fold_files import SUMMARY, read_folds, write_folds

FOUND = cross_fit_log.fitted()
CONFIG = FOUND.folds[0].module.config


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_folds(tmp_path, "key", FOUND.folds, FOUND.borders)
    return tmp_path


def test_folds_are_read_as_they_were_written(folder: Path) -> None:
    kept = read_folds(folder, "key", CONFIG)
    assert kept is not None
    assert kept.borders == FOUND.borders
    for fold, written in zip(kept.folds, FOUND.folds, strict=True):
        assert (fold.until, fold.scores_until, fold.calibration) == (
            written.until,
            written.scores_until,
            written.calibration,
        )
        weights = written.module.state_dict()
        assert all(torch.equal(weights[name], weight) for name, weight in fold.module.state_dict().items())
        assert not fold.module.training


def test_folds_of_another_key_are_not_read(folder: Path) -> None:
    assert read_folds(folder, "another", CONFIG) is None


def test_fewer_folds_leave_no_file_of_the_ones_before(folder: Path) -> None:
    write_folds(folder, "fewer", FOUND.folds[:2], ())
    assert len(list(folder.glob("*.safetensors"))) == 2


@pytest.mark.parametrize("damage", ["no summary", "no weights", "no JSON", "other weights"])
def test_damaged_files_are_as_none(folder: Path, damage: str) -> None:
    if damage == "no summary":
        (folder / SUMMARY).unlink()
    elif damage == "no weights":
        (folder / "fold_1.safetensors").unlink()
    elif damage == "no JSON":
        (folder / SUMMARY).write_text("{")
    else:
        (folder / "fold_1.safetensors").write_bytes(b"not tensors")
    assert read_folds(folder, "key", CONFIG) is None
