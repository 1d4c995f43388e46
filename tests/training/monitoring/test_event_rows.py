"""Which events are the first of their user or item, and which items are unknown."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import polars as pl

from training.monitoring.event_rows import FIRST_OF_ITEM, FIRST_OF_USER, UNKNOWN_ITEM, UNNAMED, event_rows

START = datetime(2026, 1, 1, tzinfo=UTC)


def events(*rows: tuple[str, str, int, str | None]) -> pl.DataFrame:
    frame = pl.DataFrame(rows, schema=["user_id", "item_id", "day", "event"], orient="row")
    return frame.select(
        "user_id", "item_id", timestamp=pl.lit(START) + pl.col("day") * timedelta(days=1), event="event"
    )


def test_figures_of_new_events() -> None:
    log = events(("u", "a", 0, "click"), ("u", "b", 5, "view"), ("v", "b", 6, None), ("v", "x", 7, "view"))
    found = event_rows(log[1:], log, pl.Series(["a", "b"]))
    assert found.shares[FIRST_OF_USER].tolist() == [False, True, False]
    assert found.shares[FIRST_OF_ITEM].tolist() == [True, False, True]
    assert found.shares[UNKNOWN_ITEM].tolist() == [False, False, True]
    places, names = found.kinds
    assert [names[place] for place in places] == ["view", UNNAMED, "view"]
    assert found.users.tolist() == [1, 2, 2]
