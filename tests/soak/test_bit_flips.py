"""The short form of flipped bits; `make soak` is the long one, and docs/soak.md its last result."""

from __future__ import annotations

from pathlib import Path

from tests.soak.bit_flips import run


def test_every_flipped_bit_is_found_or_harmless(tmp_path: Path) -> None:
    tally = run(flips=30, folder=tmp_path, seed=1)
    assert tally.silent == []
    assert tally.faults == []
    assert tally.found > 5
    assert tally.found + tally.harmless == 30
