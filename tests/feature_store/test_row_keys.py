"""A rejected row is recognised by what identifies it, as far as that could be read."""

from __future__ import annotations

import json

import polars as pl
import pytest

from feature_store.row_keys import are_among, keys_of_invalid
from feature_store.schema import DATED_ITEMS, EVENTS, IMPRESSIONS, ITEMS, USERS, Table
from feature_store.table_checks import check_table

NEW_YEAR_US = 1_767_225_600_000_000
ROW = {
    "user_id": "u",
    "item_id": 7,
    "timestamp": "2026-01-01",
    "impression_id": "m",
    "label": 1,
    "event": "click",
    "value": "5",
    "title": "t",
    "event_id": "e",
    "price": "5",
}


def keys(table: Table, *rows: dict[str, object]) -> list[object]:
    names = list(rows[0])
    frame = pl.DataFrame({name: [row[name] for row in rows] for name in names}, strict=False)
    found = keys_of_invalid(check_table(frame, table, stored={"price": pl.Int64()}))
    return [None if key is None else json.loads(key) for key in found]


def row(*names: str, **changed: object) -> dict[str, object]:
    return {name: ROW[name] for name in names} | changed


@pytest.mark.parametrize(
    ("table", "bad", "key"),
    [
        (EVENTS, row("user_id", "item_id", "timestamp", "event_id", value="x"), {"event_id": "e"}),
        (EVENTS, row("item_id", "timestamp", "event_id", user_id=None), {"event_id": "e"}),
        (
            EVENTS,
            row("user_id", "item_id", "timestamp", "event", value="x"),
            {"user_id": "u", "item_id": 7, "timestamp": NEW_YEAR_US, "event": "click", "cancels": None},
        ),
        (EVENTS, row("user_id", "item_id", "event", timestamp="soon"), None),
        (
            IMPRESSIONS,
            row("user_id", "item_id", "timestamp", "impression_id", label=3),
            {"user_id": "u", "timestamp": NEW_YEAR_US, "impression_id": "m", "item_id": 7},
        ),
        (ITEMS, row("item_id", "title", price="5 EUR"), {"item_id": 7}),
        (ITEMS, row("title", item_id=None), None),
        (
            DATED_ITEMS,
            row("item_id", "title", "timestamp", price="5 EUR"),
            {"item_id": 7, "timestamp": NEW_YEAR_US, "event_id": None, "cancels": None},
        ),
        (USERS, row("user_id", price="5 EUR"), {"user_id": "u", "timestamp": None}),
    ],
    ids=lambda value: value.name if isinstance(value, Table) else None,
)
def test_a_key_is_the_event_id_or_the_identity_where_all_of_it_could_be_read(
    table: Table, bad: dict[str, object], key: object
) -> None:
    assert keys(table, row(*bad), bad, row(*bad)) == [key]


def test_keys_are_found_among_rows_whatever_type_their_ids_have() -> None:
    found = pl.Series(
        [
            json.dumps({"user_id": 7, "timestamp": NEW_YEAR_US}),
            json.dumps({"user_id": "8", "timestamp": NEW_YEAR_US}),
            json.dumps({"user_id": "7", "timestamp": None}),
            json.dumps({"event_id": "e"}),
            None,
        ],
        dtype=pl.String,
    )
    frame = pl.DataFrame({"user_id": ["7", "9"], "timestamp": [NEW_YEAR_US] * 2, "event_id": [None, "e"]})
    rows = frame.cast({"timestamp": pl.Datetime("us", "UTC")})
    assert are_among(found, rows.lazy()).to_list() == [True, False, False, True, False]
    assert are_among(found, rows.cast({"user_id": pl.Int64}).lazy()).to_list() == [True, False, False, True, False]
    undated = rows.with_columns(timestamp=pl.lit(None, rows.schema["timestamp"]))
    assert are_among(found, undated.lazy()).to_list() == [False, False, True, True, False]
    assert are_among(found, rows.drop("event_id").lazy()).to_list() == [True, False, False, False, False]
