"""The short form of forgetting under every spelling and clock; `make soak` is the long one, docs/soak.md its result."""

from __future__ import annotations

from pathlib import Path

import pytest

from recmem.forgetting import forget as forget_module
from tests.soak.forgetting import run


def test_no_byte_of_a_forgotten_id_is_left_and_nobody_else_notices(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(forget_module, "registered_versions", dict)
    tally = run(rounds=12, seconds=5, folder=tmp_path, seed=1)
    assert tally.faults == []
    assert tally.forgotten_beside > 0
    assert tally.batches > 3
    assert tally.reads > 3
