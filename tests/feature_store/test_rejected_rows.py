from __future__ import annotations

import json
from hashlib import blake2b

import polars as pl

from feature_store.rejected_rows import mentions_id, rejected_rows
from feature_store.schema import EVENTS, REJECTED
from feature_store.table_checks import check_table

FRAME = pl.DataFrame(
    {
        "user_id": ["u", None, "v", "u"],
        "item_id": ["i", "i", "j", "k"],
        "timestamp": ["2024-01-01", "2024-01-01", "never", "2024-01-01"],
        "value": [1.0, 2.0, 3.0, float("inf")],
        "colour": ["red", "grün", None, "blue"],
    }
)
REJECTIONS = rejected_rows(check_table(FRAME, EVENTS))


def test_an_invalid_row_is_kept_whole_with_its_place_and_reason() -> None:
    assert REJECTIONS.schema == pl.Schema(REJECTED.schema())
    assert REJECTIONS["row_number"].to_list() == [1, 2, 3]
    assert REJECTIONS["reason"][0] == "user_id: expected an id, got null"
    assert json.loads(REJECTIONS["row"][0]) == {
        "user_id": None, "item_id": "i", "timestamp": "2024-01-01", "value": 2.0, "colour": "grün",
    }  # fmt: skip
    assert json.loads(REJECTIONS["row"][2])["value"] == "inf"


def test_the_hash_is_over_table_reason_and_row() -> None:
    parts = ["events", REJECTIONS["reason"][0], REJECTIONS["row"][0]]
    expected = blake2b(json.dumps(parts).encode(), digest_size=16).hexdigest()
    assert REJECTIONS["content_hash"][0] == expected


def test_the_order_of_rows_and_columns_is_no_part_of_the_hash() -> None:
    turned = FRAME.reverse().select(reversed(FRAME.columns))
    again = rejected_rows(check_table(turned, EVENTS))
    assert set(again["content_hash"]) == set(REJECTIONS["content_hash"])


def test_a_frame_without_a_bad_row_has_no_rejections() -> None:
    none = rejected_rows(check_table(FRAME[:1], EVENTS))
    assert none.is_empty()
    assert none.schema == pl.Schema(REJECTED.schema())


def test_rows_that_mention_a_user_or_an_item_are_found_in_their_text() -> None:
    assert mentions_id(REJECTIONS, "user_id", "u").to_list() == [False, False, True]
    assert mentions_id(REJECTIONS, "item_id", "i").to_list() == [True, False, False]
    assert mentions_id(REJECTIONS, "user_id", "i").to_list() == [False, False, False]


def test_an_id_is_found_in_any_column_and_in_a_row_that_is_no_object() -> None:
    rows = [
        json.dumps({"user_id": None, "session_id": "70000007.0"}),
        json.dumps({"user_id": 5, "item_id": " 70000007"}),
        json.dumps({"line": "70000007;12;2024", "value": 1}),
        json.dumps("70000007,broken"),
        "70000007 is not even JSON",
        json.dumps({"user_id": 70000008, "item_id": 12}),
    ]
    frame = pl.DataFrame(
        {**dict.fromkeys(REJECTED.schema()), "table": "events", "reason": "-", "row": rows, "content_hash": "-"},
        schema=REJECTED.schema(),
    )
    assert mentions_id(frame, "user_id", 70000007).to_list() == [True] * 5 + [False]
