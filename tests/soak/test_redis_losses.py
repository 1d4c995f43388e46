"""The short form of the losses of a Redis server; `make soak` is the long one, and docs/soak.md its last result."""

from __future__ import annotations

from pathlib import Path

import pytest

from services import REDIS, redis_program
from tests.soak.redis_losses import N_USERS, run


@pytest.mark.skipif(redis_program() is None, reason=REDIS)
def test_restarts_and_evictions_in_a_publish_leave_right_or_refused_answers(tmp_path: Path) -> None:
    tallies = run(rounds=20, seed=1, folder=tmp_path)
    assert {name: tally.faults for name, tally in tallies.items()} == {"restart": [], "eviction": []}
    for tally in tallies.values():
        assert tally.rounds == 20
        assert tally.right + tally.refused == 20 * N_USERS
        assert tally.published < 20
        assert tally.refused > 0
