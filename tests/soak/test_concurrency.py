"""The short form of writers and readers at once; `make soak` is the long one, and docs/soak.md its last result."""

from __future__ import annotations

from pathlib import Path

from tests.soak.concurrency import run


def test_every_batch_is_there_and_every_read_is_whole(tmp_path: Path) -> None:
    n_batches, n_reads, faults = run(seconds=6, writers=3, readers=2, folder=tmp_path)
    assert faults == []
    assert n_batches > 3
    assert n_reads > 3
