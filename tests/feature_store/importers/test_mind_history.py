from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl

from feature_store import EventLog, SignalConfig
from feature_store.importers.mind_history import distinct_histories, history_events
from feature_store.importers.table_files import TIME
from recmem.matching.user_memory import MemoryConfig
from training.fitting.match_batches import BatchConfig, MatchBatches

BEGIN = datetime(2019, 11, 9, tzinfo=UTC)
"""Of the log: another user's impression."""
NO_CLICKS = pl.DataFrame(schema={"user_id": pl.String, "item_id": pl.String, "timestamp": TIME})


def hours(n: int) -> datetime:
    return BEGIN + timedelta(hours=n)


def events(rows: list[tuple[str, str, datetime]], clicks: pl.DataFrame = NO_CLICKS) -> pl.DataFrame:
    schema = {"user_id": pl.String, "history": pl.String, "timestamp": TIME}
    begin = ("V", "", BEGIN)
    return history_events(distinct_histories([pl.DataFrame([begin, *rows], schema=schema, orient="row")]), clicks)


def clicked(*rows: tuple[str, str, datetime]) -> pl.DataFrame:
    return pl.DataFrame(rows, schema=NO_CLICKS.schema, orient="row")


def test_a_history_lies_a_second_apart_before_the_log_and_is_known_from_its_first_row_on() -> None:
    found = events([("U", "N1 N3 N2", hours(5)), ("U", "N1 N3 N2", hours(2))])
    assert found.rows() == [
        ("U", "N1", BEGIN - timedelta(seconds=3), "click", hours(2), None),
        ("U", "N3", BEGIN - timedelta(seconds=2), "click", hours(2), None),
        ("U", "N2", BEGIN - timedelta(seconds=1), "click", hours(2), None),
    ]


def test_what_a_later_row_adds_is_dated_just_before_that_row_and_known_from_it_on() -> None:
    found = events([("U", "N1", hours(2)), ("U", "N1 N5 N6", hours(4))])
    assert found.rows()[1:] == [
        ("U", "N5", hours(4) - timedelta(milliseconds=2), "click", hours(4), 0.0),
        ("U", "N6", hours(4) - timedelta(milliseconds=1), "click", hours(4), 0.0),
    ]


def test_a_click_of_an_earlier_impression_is_not_repeated_by_a_later_history() -> None:
    found = events([("U", "N1", hours(2)), ("U", "N1 N4", hours(4))], clicked(("U", "N4", hours(2))))
    assert found["item_id"].to_list() == ["N1"]
    # Clicked at the row itself, so it was in the history by another click.
    found = events([("U", "N1", hours(2)), ("U", "N1 N4", hours(4))], clicked(("U", "N4", hours(4))))
    assert found["item_id"].to_list() == ["N1", "N4"]


def test_news_clicked_twice_stay_twice_and_a_history_that_lost_its_begin_adds_nothing() -> None:
    found = events([("U", "N1 N2 N1", hours(2)), ("U", "N2 N1", hours(3))])
    assert found["item_id"].to_list() == ["N1", "N2", "N1"]


def test_an_empty_history_has_no_events() -> None:
    assert events([("U", "", hours(2))]).is_empty()


def test_nothing_of_a_history_is_read_before_the_row_that_has_it_and_all_of_it_then() -> None:
    found = events([("U", "N1 N3", hours(2)), ("W", "N3", hours(7))])
    users = pl.Series(["U", "W"])
    items = pl.Series(["N1", "N3"])
    log = EventLog.from_frame(found.with_columns(value=pl.lit(None, pl.Float64)), users, items, SignalConfig())

    def at(time: datetime) -> int:
        return int(time.timestamp() * 1_000_000)

    both = np.array([0, 1])
    assert log.past(both, np.array([at(hours(2)) - 1, at(hours(7)) - 1])).items.lengths.tolist() == [0, 0]
    assert log.past(both, np.array([at(hours(2)), at(hours(7))])).items.to_lists() == [[0, 1], [1]]
    # Counters neither: N3 has the clicks of the users whose rows have come.
    (in_all,) = log.item_counts(np.array([1, 1, 1]), np.array([at(BEGIN), at(hours(3)), at(hours(8))]), ())
    assert in_all.tolist() == [0, 1, 2]


def test_no_click_of_a_history_is_a_target_of_the_match_module() -> None:
    clicks = clicked(("U", "N4", hours(2)), ("W", "N1", hours(3)))
    found = events([("U", "N1 N3", hours(2)), ("W", "N3 N2", hours(3))], clicks)
    log_of = pl.concat([found, clicks.with_columns(event=pl.lit("click"))], how="diagonal")
    users = pl.Series(["U", "W"])
    items = pl.Series(["N1", "N2", "N3", "N4"])
    log = EventLog.from_frame(log_of.with_columns(value=pl.lit(None, pl.Float64)), users, items, SignalConfig())
    batches = MatchBatches(
        log, 4, until=int(log.known.max()), memory=MemoryConfig(), config=BatchConfig(queries=4, negatives=4), seed=0
    )
    assert batches.n_examples == 2
