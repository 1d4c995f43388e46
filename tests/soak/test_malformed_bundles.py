"""The short form of the malformed bundles; `make soak` is the long one, and docs/soak.md its last result."""

from __future__ import annotations

from pathlib import Path

from tests.soak.malformed_bundles import OTHER, REFUSED, SAME, UNCHANGED, run


def test_malformed_bundles_are_refused_in_words(tmp_path: Path) -> None:
    tally = run(cases=120, seed=1, folder=tmp_path)
    assert tally.faults == []
    assert tally.count(REFUSED, "trees", "arrays") == 48
    assert tally.count(REFUSED, "encoder") >= 20
    assert tally.count(OTHER, *UNCHANGED) == 0
    assert tally.count(REFUSED) + tally.count(SAME) + tally.count(OTHER) == 120
    assert tally.count(REFUSED) > 90
