"""What is remembered of a user at a time."""

from __future__ import annotations

import polars as pl

from debian_model import trained_model
from recmem.serving.model import Model


def test_memory_at_a_time_is_strictly_before_it(model: Model) -> None:
    events = trained_model().events.filter(pl.col("available_at").is_null()).sort("timestamp")
    user = events["user_id"].mode()[0]
    mine = trained_model().events.filter(pl.col("user_id") == user).sort("timestamp")
    for time in mine["timestamp"].unique():
        remembered = model.memory(user, time)
        known = mine.filter(
            pl.col("timestamp") < time, pl.col("available_at").is_null() | (pl.col("available_at") <= time)
        )
        expected = sorted(known.select("timestamp", "item_id").rows(), reverse=True)[:20]
        got = sorted(remembered.select("timestamp", "item_id").rows(), reverse=True)
        assert len(got) == min(len(known), 20)
        if known["available_at"].null_count() == len(known):
            assert got == expected
