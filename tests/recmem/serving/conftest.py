"""Fixtures that the tests of serving share."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from debian_model import trained_model
from recmem.serving.model import Model


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A copy of the bundle, which the test may change."""
    return Path(shutil.copytree(trained_model().bundle, tmp_path / "bundle"))


@pytest.fixture(scope="module")
def model() -> Model:
    """Shared: no test here may let it observe anything."""
    return trained_model().model()


@pytest.fixture(scope="module")
def candidates() -> pl.DataFrame:
    """Twelve queries of different lengths at different times, their rows mixed."""
    random = np.random.default_rng(5)
    events = trained_model().events.sort("timestamp", "user_id", "item_id")
    items = trained_model().items["item_id"]
    rows = []
    for query in random.choice(len(events) // 2, 12, replace=False) + len(events) // 2:
        chosen = random.choice(len(items), int(random.integers(1, 15)), replace=False)
        rows += [(events["user_id"][int(query)], events["timestamp"][int(query)], items[int(item)]) for item in chosen]
    frame = pl.DataFrame(rows, schema=["user_id", "timestamp", "item_id"], orient="row")
    return frame.sample(fraction=1.0, shuffle=True, seed=1)
