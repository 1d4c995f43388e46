from __future__ import annotations

from hashlib import blake2b

import polars as pl

from cancelled_logs import Cancellation, frame_of
from feature_store.point_in_time.read_protocol import END_OF_TIME
from feature_store.redis.event_rows import cancelled_events, valid_events, waiting_cancellations
from online_memories import rows
from slow_reference import Event
from strategies import event_frame

FRAME = frame_of(
    [Event(0, 1, 2), Event(0, 2, 3), Event(1, 1, 4)],
    [Cancellation(0, 6), Cancellation(9, 7), Cancellation(2, 8, strange=True)],
)


def digest(text: str) -> bytes:
    return blake2b(text.encode(), digest_size=16).digest()


def test_an_event_is_identified_by_its_event_id_or_by_its_content() -> None:
    with_id = rows(FRAME[:1])
    assert with_id["identity"].to_list() == [digest("ie0")]
    assert with_id["has_id"].to_list() == [True]
    without_id = rows(FRAME[:1].with_columns(event_id=pl.lit(None, pl.String)))
    event = FRAME["event"][0] or "\0"
    assert without_id["identity"].to_list() == [digest(f"e\x1fuser0\x1fi1\x1f2\x1f{event}")]
    assert without_id["has_id"].to_list() == [False]


def test_a_cancellation_names_the_identity_of_its_event() -> None:
    found = rows(FRAME)
    targets = found.filter(pl.col("target").is_not_null())["target"].to_list()
    assert targets == [digest("ie0"), digest("ie9"), digest("ie2")]


def test_rows_are_valid_events_cancelled_events_or_cancellations() -> None:
    found = rows(FRAME)
    assert valid_events(found)["identity"].to_list() == [digest("ie1"), digest("ie2")]
    assert cancelled_events(found).select("identity", "cancelled_at").rows() == [(digest("ie0"), 7)]
    assert (valid_events(found)["cancelled_at"] == END_OF_TIME).all()


def test_a_cancellation_waits_if_no_event_of_its_user_and_item_has_the_id() -> None:
    assert waiting_cancellations(rows(FRAME))["target"].to_list() == [digest("ie9"), digest("ie2")]


def test_rows_are_in_the_order_in_which_they_became_known() -> None:
    found = rows(event_frame([Event(0, 1, 9), Event(0, 2, 3), Event(1, 1, 4)]))
    assert found["time"].to_list() == [3, 4, 9]


def test_of_equal_rows_and_of_items_out_of_the_catalogue_nothing_is_kept_twice_or_at_all() -> None:
    twice = event_frame([Event(0, 1, 2), Event(0, 1, 2)])
    strange = twice[:1].with_columns(item_id=pl.lit("of another shop"))
    assert len(rows(pl.concat([twice, strange]))) == 1
