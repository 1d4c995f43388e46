"""The split in time where impressions are uneven, and the refusal of a log that leaves a part without queries."""

from __future__ import annotations

import polars as pl
import pytest

from feature_store import DataError
from five_item_dataset import dataset_of
from slow_reference import Event, Showing
from strategies import N_ITEMS, event_log, impression_frame
from training.queries import ImpressionQueries
from training.query_split import require_queries, split_of
from training.splits import Split, SplitConfig, split_times

CONFIG = SplitConfig()
LOG = [Event(user, user, 0) for user in range(3)]
ALONGSIDE = [Event(0, time % N_ITEMS, time) for time in range(1, 21)]
"""Events at the times of the impressions: the match module has its share of both at the same time."""


def impressions(n: int, n_shown: dict[int, int], *, label: int = 1) -> list[Showing]:
    """`n` impressions of user 0, one at each time, the first item of each clicked; of two items, or of `n_shown`."""
    return [
        Showing(time, 0, item, time, label if item == 0 else 0)
        for time in range(1, n + 1)
        for item in range(n_shown.get(time, 2))
    ]


def repeated(shown: list[Showing], time: int, n: int) -> pl.DataFrame:
    """The impressions as a table in which the one at `time` shows as many as `n` other items, too."""
    table = impression_frame(shown)
    long = table.filter(pl.col("impression_id") == f"m{time}").head(1)
    others = pl.concat([long] * n).with_columns(label=pl.lit(0, pl.Int8), item_id=pl.format("o{}", pl.int_range(n)))
    return pl.concat([table, others])


def test_a_log_without_impressions_is_split_by_its_events() -> None:
    log = event_log([Event(0, time % N_ITEMS, time) for time in range(20)])
    assert split_of(log, impression_frame([]), CONFIG) == split_times(log.times, CONFIG)


def test_impressions_are_split_by_the_items_that_they_show() -> None:
    table = impression_frame(impressions(20, {}))
    expected = split_times(table["timestamp"].dt.epoch("us").to_numpy(), CONFIG)
    assert split_of(event_log(ALONGSIDE), table, CONFIG) == expected
    assert (expected.ranker_from, expected.test_from) == (14, 18)


@pytest.mark.parametrize("time", [15, 19])
def test_one_huge_impression_does_not_leave_the_ranker_or_the_test_without_others(time: int) -> None:
    table = repeated(impressions(20, {}), time, 10_050)
    split = split_of(event_log(ALONGSIDE), table, CONFIG)
    assert (split.ranker_from, split.test_from) == (14, 18)


def test_impressions_after_long_histories_are_all_the_rankers() -> None:
    histories = [Event(user, item, item - 10) for user in range(3) for item in range(4)]
    split = split_of(event_log(histories), impression_frame(impressions(20, {})), CONFIG)
    # From the first impression, at 1, to the test; four windows that cover the 18 times.
    assert split == Split(ranker_from=0, test_from=18, refresh=5)


def test_the_match_module_keeps_its_share_of_the_events_before_the_test() -> None:
    # 18 events before the test, of which 14 are 7 / 9: they have happened by 7.
    events = [Event(user, time % N_ITEMS, time) for user in range(2) for time in range(1, 10)]
    split = split_of(event_log(events), impression_frame(impressions(20, {})), CONFIG)
    assert (split.ranker_from, split.test_from) == (7, 18)


def test_where_events_come_late_the_windows_are_those_of_the_impressions() -> None:
    events = [Event(0, time % N_ITEMS, time) for time in range(15, 19)]
    split = split_of(event_log(events), impression_frame(impressions(20, {})), CONFIG)
    assert (split.ranker_from, split.test_from) == (14, 18)


def test_where_no_split_helps_it_stays_that_of_the_items_shown() -> None:
    late = event_log([Event(0, 0, 18)])
    table = repeated(impressions(20, {}, label=0), 19, 10_050)
    assert split_of(late, table, CONFIG) == split_times(table["timestamp"].dt.epoch("us").to_numpy(), CONFIG)


def refusal_of_impressions(shown: list[Showing]) -> str:
    dataset = dataset_of(LOG, shown)
    with pytest.raises(DataError) as refused:
        require_queries(dataset, ImpressionQueries.of(dataset), Split(ranker_from=14, test_from=18, refresh=1))
    return str(refused.value)


def test_too_few_clicked_impressions_for_a_part_are_refused() -> None:
    early = impressions(15, {})
    assert refusal_of_impressions(early).startswith("impressions: expected at least 2 impressions with a clicked item")
    assert "got 1. Give more impressions" in refusal_of_impressions(early)
    assert "where the test begins, got none" in refusal_of_impressions(impressions(18, {}))
    dataset = dataset_of(LOG, impressions(20, {}))
    require_queries(dataset, ImpressionQueries.of(dataset), Split(ranker_from=14, test_from=18, refresh=1))


def test_too_few_queries_of_a_log_are_refused() -> None:
    log = [Event(user, item, 10 * item + user) for user in range(3) for item in range(4)]
    split = Split(ranker_from=9, test_from=29, refresh=1)
    require_queries(dataset_of(log), None, split)
    with pytest.raises(DataError, match=r"events: expected at least 2 queries .*ranker learns from, got 1\."):
        require_queries(dataset_of(log), None, Split(ranker_from=9, test_from=10, refresh=1))
    with pytest.raises(DataError, match=r"events: expected some queries .* where the test begins, got none\."):
        require_queries(dataset_of(log), None, Split(ranker_from=9, test_from=32, refresh=1))
