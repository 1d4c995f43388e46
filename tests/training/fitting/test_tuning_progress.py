from __future__ import annotations

from pathlib import Path

import pytest
import torch

import training.fitting.tuning_progress
from tolerances import close
from training.fitting.tuning_progress import TuningProgress

FACTS = {"step": 3, "batches": {"state": {"state": 2**127 + 1, "inc": 5}}, "checks": [[3, 0.25]]}


def test_what_was_written_is_read_to_the_bit(tmp_path: Path) -> None:
    progress = TuningProgress(tmp_path / "deep" / "folder", "key")
    assert progress.read("learn") is None
    tensors = {"a": torch.rand(3, 2), "step": torch.tensor(4.0), "generator": torch.Generator().get_state()}
    progress.write("learn", tensors, FACTS)
    kept = TuningProgress(tmp_path / "deep" / "folder", "key").read("learn")
    assert kept is not None
    assert kept[1] == FACTS
    assert kept[0].keys() == tensors.keys()
    for name, tensor in tensors.items():
        close(kept[0][name], tensor, "exact")


def test_the_progress_of_another_work_counts_as_none(tmp_path: Path) -> None:
    TuningProgress(tmp_path, "one").write("learn", {"a": torch.ones(1)}, {"step": 1})
    assert TuningProgress(tmp_path, "two").read("learn") is None
    assert TuningProgress(tmp_path, "one").read("base") is None


def test_a_file_that_was_cut_counts_as_none(tmp_path: Path) -> None:
    progress = TuningProgress(tmp_path, "key")
    progress.write("learn", {"a": torch.ones(100)}, {"step": 1})
    path = tmp_path / "learn.safetensors"
    path.write_bytes(path.read_bytes()[:-40])
    assert progress.read("learn") is None
    path.write_bytes(b"")
    assert progress.read("learn") is None


def test_a_failed_write_leaves_the_last_one_and_nothing_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    progress = TuningProgress(tmp_path, "key")
    progress.write("learn", {"a": torch.ones(1)}, {"step": 1})

    def full(*_: object) -> None:
        raise OSError("no space")

    monkeypatch.setattr(training.fitting.tuning_progress.os, "fsync", full)
    with pytest.raises(OSError, match="no space"):
        progress.write("learn", {"a": torch.zeros(1)}, {"step": 2})
    kept = progress.read("learn")
    assert kept is not None
    assert kept[1] == {"step": 1}
    assert [path.name for path in tmp_path.iterdir()] == ["learn.safetensors"]


def test_kills_while_writing_leave_one_unfinished_file_which_the_next_write_takes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    progress = TuningProgress(tmp_path, "key")

    def kill(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as killed:
        killed.setattr(training.fitting.tuning_progress.os, "fsync", kill)
        killed.setattr(Path, "unlink", lambda *_, **__: None)  # a killed process removes nothing
        for _ in range(2):
            with pytest.raises(KeyboardInterrupt):
                progress.write("learn", {"a": torch.ones(1)}, {"step": 1})
    assert [path.name for path in tmp_path.iterdir()] == [".learn.unfinished"]
    assert progress.read("learn") is None
    progress.write("learn", {"a": torch.ones(1)}, {"step": 1})
    assert [path.name for path in tmp_path.iterdir()] == ["learn.safetensors"]


def test_parts_are_removed_one_by_one_or_all(tmp_path: Path) -> None:
    progress = TuningProgress(tmp_path / "progress", "key")
    progress.remove("learn")
    for name in ("learn", "base"):
        progress.write(name, {}, {})
    progress.remove("learn")
    assert progress.read("learn") is None
    assert progress.read("base") == ({}, {})
    progress.clear()
    progress.clear()
    assert not (tmp_path / "progress").exists()
