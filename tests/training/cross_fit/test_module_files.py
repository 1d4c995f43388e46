"""Modules as files: what was written is read, under the same key only."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

import cross_fit_log
from training.cross_fit.module_files import SUMMARY, read_modules, write_modules

FOUND = cross_fit_log.fitted()
CONFIG = FOUND.modules[0].module.config


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_modules(tmp_path, "key", FOUND.modules, FOUND.borders)
    return tmp_path


def test_folds_are_read_as_they_were_written(folder: Path) -> None:
    kept = read_modules(folder, "key", CONFIG)
    assert kept is not None
    assert kept.borders == FOUND.borders
    for each, written in zip(kept.modules, FOUND.modules, strict=True):
        assert (each.until, each.scores_until, each.calibration) == (
            written.until,
            written.scores_until,
            written.calibration,
        )
        weights = written.module.state_dict()
        assert all(torch.equal(weights[name], weight) for name, weight in each.module.state_dict().items())
        assert not each.module.training


def test_folds_of_another_key_are_not_read(folder: Path) -> None:
    assert read_modules(folder, "another", CONFIG) is None


def test_fewer_folds_leave_no_file_of_the_ones_before(folder: Path) -> None:
    write_modules(folder, "fewer", FOUND.modules[:2], ())
    assert len(list(folder.glob("*.safetensors"))) == 2


@pytest.mark.parametrize("damage", ["no summary", "no weights", "no JSON", "other weights"])
def test_damaged_files_are_as_none(folder: Path, damage: str) -> None:
    if damage == "no summary":
        (folder / SUMMARY).unlink()
    elif damage == "no weights":
        (folder / "module_1.safetensors").unlink()
    elif damage == "no JSON":
        (folder / SUMMARY).write_text("{")
    else:
        (folder / "module_1.safetensors").write_bytes(b"not tensors")
    assert read_modules(folder, "key", CONFIG) is None
