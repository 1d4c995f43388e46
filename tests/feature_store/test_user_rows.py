"""The users table through the store: a row a change, and what counts as the same row."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest

from feature_store import EVENTS, USERS, DataError, Receipt, Store
from feature_store.ingestion import append_tables, check_tables


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store.create(tmp_path / "store")


def users(*rows: tuple[object, ...], columns: str = "user_id timestamp plan") -> pl.DataFrame:
    return pl.DataFrame(rows, schema=columns.split(), orient="row")


def counts(receipt: Receipt) -> tuple[int, int, int]:
    return receipt.n_new, receipt.n_duplicate, receipt.n_rejected


def stored(store: Store) -> list[tuple[object, ...]]:
    table = store.users().drop("available_at").sort(pl.all())
    return table.with_columns(pl.col("timestamp").dt.strftime("%F")).rows()


def test_a_change_is_a_row_and_the_same_again_is_a_duplicate(store: Store) -> None:
    first = users(("u", None, "free"), ("u", "2026-01-01", "paid"), ("v", "2026-01-01", "free"))
    assert counts(store.append_users(first)) == (3, 0, 0)
    assert counts(store.append_users(first)) == (0, 3, 0)
    assert counts(store.append_users(users(("u", "2026-02-01", "paid")))) == (1, 0, 0)
    assert stored(store) == [
        ("u", None, "free"),
        ("u", "2026-01-01", "paid"),
        ("u", "2026-02-01", "paid"),
        ("v", "2026-01-01", "free"),
    ]
    assert store.users().equals(store.read(USERS))


def test_the_last_row_of_a_user_and_time_wins_within_a_frame_and_over_the_table(store: Store) -> None:
    assert counts(store.append_users(users(("u", None, "a"), ("u", None, "b"), ("v", None, "c")))) == (2, 1, 0)
    assert counts(store.append_users(users(("u", None, "d"), ("v", None, "c")))) == (1, 1, 0)
    assert stored(store) == [("u", None, "d"), ("v", None, "c")]


def test_a_replaced_row_keeps_the_columns_that_the_frame_lacks_and_a_new_one_has_none_of_them(store: Store) -> None:
    store.append_users(users(("u", None, "free"), ("v", None, "free")))
    store.append_users(users(("u", None, 30), ("u", "2026-01-01", 31), columns="user_id timestamp age"))
    assert stored(store) == [("u", None, "free", 30), ("u", "2026-01-01", None, 31), ("v", None, "free", None)]


def test_whole_numbers_become_fractions_when_one_comes(store: Store) -> None:
    store.append_users(users(("u", None, 1), columns="user_id timestamp age"))
    store.append_users(users(("v", None, 1.5), columns="user_id timestamp age"))
    assert store.users().schema["age"] == pl.Float64
    assert stored(store) == [("u", None, 1.0), ("v", None, 1.5)]


def test_bad_rows_are_set_aside_with_their_reason(store: Store) -> None:
    receipt = store.append_users(users(("u", "soon", "a"), (None, None, "b"), ("w", "2026-01-01", "c")))
    assert counts(receipt) == (1, 0, 2)
    assert set(receipt.reasons) == {
        "timestamp: expected a time, got text that is not an ISO time",
        "user_id: expected an id, got null",
    }
    assert store.rejected()["table"].to_list() == ["users", "users"]
    assert stored(store) == [("w", "2026-01-01", "c")]


def test_ids_have_the_type_that_the_events_decided(store: Store) -> None:
    store.append_events(pl.DataFrame({"user_id": [7], "item_id": [1], "timestamp": ["2026-01-01"]}))
    store.append_users(users(("7", None, "free")))
    assert store.users()["user_id"].to_list() == [7]


def test_a_users_table_needs_no_text_and_a_missing_id_is_named_without_a_hint_at_swapped_tables(store: Store) -> None:
    events = pl.DataFrame({"user_id": ["u"], "item_id": ["i"], "timestamp": ["2026-01-01"]})
    with pytest.raises(DataError, match=r"^users.user_id: expected the column, got only uid, age\. [^\n]*$"):
        check_tables(store, {EVENTS: events, USERS: pl.DataFrame({"uid": ["u"], "age": [1]})})
    receipts = append_tables(store, {USERS: pl.DataFrame({"user_id": ["u"], "age": [1]})})
    assert counts(receipts[0]) == (1, 0, 0)


def test_one_time_for_all_rows_is_a_warning_that_says_who_reads_them(store: Store) -> None:
    rows = [(f"u{n}", "2026-01-01", "free") for n in range(30)]
    (warning,) = store.append_users(users(*rows)).warnings
    assert warning == (
        "timestamp: all 30 rows have the time 2026-01-01T00:00:00+00:00. No query before that time reads them. If they "
        "always held, leave the column out."
    )


def test_a_forgotten_user_is_gone_from_the_table_and_its_files(store: Store) -> None:
    store.append_users(users(("somebody-else", None, "a"), ("to-be-forgotten", None, "b")))
    store.append_users(users(("to-be-forgotten", "2026-01-01", "c")))
    forgotten = store.forget_user("to-be-forgotten")
    assert forgotten.n_removed["users"] == 2
    assert stored(store) == [("somebody-else", None, "a")]
    files = [path.read_bytes() for path in Path(store.path, "users").rglob("*") if path.is_file()]
    assert files
    assert not any(b"to-be-forgotten" in content for content in files)
