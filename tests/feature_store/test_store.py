from __future__ import annotations

import json
import shutil
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import polars as pl
import pytest
from deltalake.exceptions import CommitFailedError
from hypothesis import given, settings
from hypothesis import strategies as st

from feature_store import _delta, item_changes, settled_rows, table_writes, user_rows
from feature_store.data_errors import DataError
from feature_store.receipts import Receipt
from feature_store.schema import (
    EVENTS,
    FACTS,
    IMPRESSIONS,
    ITEM_CHANGES,
    ITEM_VECTORS,
    ITEMS,
    REJECTED,
    TABLES,
    USERS,
    Table,
)
from feature_store.store import Store

DAY = datetime(2024, 1, 1, tzinfo=UTC)


def event_rows(*rows: tuple[Any, Any, int], **columns: Any) -> pl.DataFrame:
    """Events of (user, item, day of January)."""
    users, items, days = zip(*rows, strict=True)
    times = [DAY + timedelta(days=day - 1) for day in days]
    return pl.DataFrame({"user_id": users, "item_id": items, "timestamp": times} | columns)


def item_rows(**columns: Any) -> pl.DataFrame:
    return pl.DataFrame(columns)


def counts(receipt: Receipt) -> tuple[int, int, int, int]:
    assert receipt.n_in == receipt.n_new + receipt.n_duplicate + receipt.n_rejected + receipt.n_known
    assert sum(receipt.reasons.values()) == receipt.n_rejected
    return receipt.n_in, receipt.n_new, receipt.n_duplicate, receipt.n_rejected


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store.create(tmp_path / "shop")


# Opening


def test_create_refuses_an_existing_store_and_open_a_missing_one(tmp_path: Path) -> None:
    with pytest.raises(
        DataError,
        match=r"^store\.path: expected a store, got none at '.*shop'\. Check the path, or .*`recmem ingest`, or Store",
    ):
        Store.open(tmp_path / "shop")
    Store.create(tmp_path / "shop").append_events(event_rows(("u", "i", 1)))
    with pytest.raises(
        DataError, match=r"^store\.path: expected a path without a store, got one at '.*shop'\. Use Store\.open\."
    ):
        Store.create(tmp_path / "shop")
    for reopened in (Store.open(tmp_path / "shop"), Store.open_or_create(str(tmp_path / "shop"))):
        assert reopened.events().height == 1


def test_a_path_that_cannot_hold_a_store_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match=r"^store\.path: expected a folder that can be written, got '.*file'"):
        Store.open_or_create(tmp_path / "file")
    with pytest.raises(DataError, match=r"^store\.path: expected a path without \[ \], got"):
        Store.open_or_create(tmp_path / "a[1]")


def test_a_path_with_spaces_and_umlauts_holds_a_store(tmp_path: Path) -> None:
    store = Store.create(tmp_path / "mein süßer shop (1)")
    store.append_items(item_rows(item_id=["a"], title=["x"]))
    store.append_items(item_rows(item_id=["a", "b"], title=["y", "z"]))
    assert sorted(store.items().rows()) == [("a", "y"), ("b", "z")]
    assert store.items(version=1).rows() == [("a", "x")]


def test_tables_that_do_not_exist_yet_read_as_empty_frames_of_the_right_schema(store: Store) -> None:
    assert store.events().schema == pl.Schema(EVENTS.schema())
    assert store.rejected().schema == pl.Schema(REJECTED.schema())
    assert (store.items().height, store.impressions().height) == (0, 0)
    assert store.versions() == {"rejected": 0}
    store.append_items(item_rows(item_id=[1], title=["a"]))
    assert store.events().schema["item_id"] == pl.Int64


# Events


def test_a_repeated_event_counts_once_within_a_frame_and_against_the_table(store: Store) -> None:
    first = event_rows(("u", "i", 1), ("u", "i", 1), ("u", "i", 2), ("v", "i", 1))
    assert counts(store.append_events(first)) == (4, 3, 1, 0)
    assert counts(store.append_events(first)) == (4, 0, 4, 0)
    assert counts(store.append_events(event_rows(("u", "i", 1), ("u", "j", 1)))) == (2, 1, 1, 0)
    assert store.events().height == 4


def test_events_of_another_kind_at_the_same_time_are_other_events(store: Store) -> None:
    frame = event_rows(("u", "i", 1), ("u", "i", 1), ("u", "i", 1), event=["click", "purchase", None])
    assert counts(store.append_events(frame)) == (3, 3, 0, 0)
    assert counts(store.append_events(frame.head(2))) == (2, 0, 2, 0)
    assert counts(store.append_events(event_rows(("u", "i", 1)))) == (1, 0, 1, 0)


def test_events_with_an_event_id_are_compared_by_it_alone(store: Store) -> None:
    frame = event_rows(("u", "i", 1), ("u", "i", 1), ("v", "j", 9), ("u", "i", 1), event_id=["a", "b", "a", None])
    assert counts(store.append_events(frame)) == (4, 3, 1, 0)
    assert counts(store.append_events(event_rows(("w", "k", 5), event_id=["b"]))) == (1, 0, 1, 0)
    assert counts(store.append_events(event_rows(("u", "i", 1)))) == (1, 0, 1, 0)


def test_an_event_without_an_id_is_not_the_one_with_an_id_at_the_same_time(store: Store) -> None:
    store.append_events(event_rows(("u", "i", 1), event_id=["a"]))
    assert counts(store.append_events(event_rows(("u", "i", 1)))) == (1, 1, 0, 0)


def test_the_first_of_two_events_with_one_identity_is_stored(store: Store) -> None:
    store.append_events(event_rows(("u", "i", 1), ("u", "i", 1), value=[1.0, 2.0]))
    store.append_events(event_rows(("u", "i", 1), value=[3.0]))
    assert store.events()["value"].to_list() == [1.0]


def test_a_first_append_without_a_valid_row_decides_nothing(store: Store) -> None:
    receipt = store.append_events(event_rows((None, "i", 1)))
    assert counts(receipt) == (1, 0, 0, 1)
    assert receipt.version is None
    assert store.append_events(event_rows((7, 8, 1))).version == 1
    assert store.events()["user_id"].to_list() == [7]


def test_ids_come_back_as_the_first_append_had_them_in_every_table(store: Store) -> None:
    store.append_events(event_rows((7, "i", 1)))
    store.append_events(event_rows(("8", "j", 2), ("x", "k", 3)))
    store.append_events(event_rows((9, 9, 4)))
    assert sorted(store.events().select("user_id", "item_id").rows()) == [(7, "i"), (8, "j"), (9, "9")]
    store.append_items(item_rows(item_id=[9], title=["nine"]))
    assert store.items().rows() == [("9", "nine")]
    assert store.rejected()["reason"].to_list() == ["user_id: expected an integer id, got text that is not an integer"]


def test_a_refused_table_changes_nothing(store: Store) -> None:
    with pytest.raises(DataError, match=r"^events\.timestamp: expected the column"):
        store.append_events(pl.DataFrame({"user_id": [None, "u"], "item_id": ["i", "i"]}))
    assert store.versions() == {"rejected": 0}


# Rejected rows


def test_an_invalid_row_is_kept_with_its_reason_its_place_and_its_content(store: Store) -> None:
    frame = event_rows(("u", "i", 1), (None, "ü", 2), value=[1.0, float("nan")], note=["a", "b"])
    receipt = store.append_events(frame)
    reason = "user_id: expected an id, got null; value: expected a finite number, got NaN or infinity"
    assert receipt.reasons == {reason: 1}
    (row,) = store.rejected().to_dicts()
    assert (row["table"], row["reason"], row["row_number"]) == ("events", reason, 1)
    assert json.loads(row["row"]) == {
        "user_id": None,
        "item_id": "ü",
        "timestamp": "2024-01-02 00:00:00+00:00",
        "value": "nan",
        "note": "b",
    }


def test_an_invalid_row_is_kept_once_however_often_it_comes(store: Store) -> None:
    bad = event_rows((None, "i", 1), (None, "i", 1), (None, "j", 1))
    for _ in range(2):
        assert counts(store.append_events(bad)) == (3, 0, 0, 3)
    assert counts(store.append_events(bad.reverse().select("timestamp", "item_id", "user_id"))) == (3, 0, 0, 3)
    assert store.rejected().height == 2
    assert store.versions()["rejected"] == 1


def test_an_append_killed_after_its_rejected_rows_is_completed_by_repeating_it(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    frame = event_rows(("u", "i", 1), (None, "i", 1))
    store.append_events(event_rows(("v", "i", 1)))

    commit = table_writes.append

    def dies_at_the_events(delta: Any, rows: pl.DataFrame) -> None:
        if "user_id" in rows.columns:
            raise KeyboardInterrupt
        commit(delta, rows)

    with monkeypatch.context() as patched:
        patched.setattr(table_writes, "append", dies_at_the_events)
        with pytest.raises(KeyboardInterrupt):
            store.append_events(frame)
    assert (store.events().height, store.rejected().height) == (1, 1)
    assert counts(store.append_events(frame)) == (2, 1, 0, 1)
    assert (store.events().height, store.rejected().height) == (2, 1)


# Impressions


def test_an_impression_shows_an_item_once(store: Store) -> None:
    frame = event_rows(("u", "i", 1), ("u", "j", 1), ("u", "i", 1), impression_id=[5, 5, 5], label=[0, 1, 1])
    assert counts(store.append_impressions(frame)) == (3, 2, 1, 0)
    assert counts(store.append_impressions(frame.with_columns(pl.lit(6).alias("impression_id")))) == (3, 2, 1, 0)
    assert counts(store.append_impressions(frame)) == (3, 0, 3, 0)
    shown = store.impressions().sort("impression_id", "item_id").select("impression_id", "item_id", "label").rows()
    assert shown == [(5, "i", 0), (5, "j", 1), (6, "i", 0), (6, "j", 1)]


def shown(**columns: list[object]) -> pl.DataFrame:
    return event_rows(("u", "i", 1), ("u", "j", 1), impression_id=[5, 5], label=[0, 1], **columns)


def test_columns_of_impressions_that_are_asked_for_are_stored_and_others_are_named(store: Store) -> None:
    wanted = IMPRESSIONS.with_features(["ctr", "device"])
    receipt = store.append(wanted, shown(ctr=[1, None], device=["web", "app"], unused=[1, 2]))
    assert "Not read: 'unused'." in receipt.warnings[-1]
    stored = store.impressions().sort("item_id")
    assert stored.select("ctr", "device").rows() == [(1.0, "web"), (None, "app")]
    assert stored.schema["ctr"] == pl.Float64
    assert "unused" not in stored.columns
    # They are stored from now on, if a frame has them.
    later = event_rows(("v", "i", 2), ("v", "j", 2), impression_id=[6, 6], label=[0, 1], ctr=[0.5, 0.25])
    assert store.append_impressions(later).n_new == 2
    assert store.impressions().filter(pl.col("user_id") == "v").sort("item_id")["ctr"].to_list() == [0.5, 0.25]


def test_features_of_stored_impressions_are_filled_in_and_never_changed(store: Store) -> None:
    store.append_impressions(shown())
    wanted = IMPRESSIONS.with_features(["ctr"])
    assert counts(store.append(wanted, shown(ctr=[0.1, None]))) == (2, 1, 1, 0)
    assert counts(store.append(wanted, shown(ctr=[0.1, None]))) == (2, 0, 2, 0)
    assert counts(store.append(wanted, shown(ctr=[0.9, 0.2]))) == (2, 1, 1, 0)
    assert store.impressions().sort("item_id")["ctr"].to_list() == [0.1, 0.2]
    assert store.impressions().sort("item_id")["label"].to_list() == [0, 1]


def test_positions_and_weights_of_stored_impressions_are_filled_in_and_never_changed(store: Store) -> None:
    store.append_impressions(shown())
    assert counts(store.append_impressions(shown(position=[2, 1]))) == (2, 2, 0, 0)
    assert counts(store.append_impressions(shown(position=[8, 9], weight=[0.5, None]))) == (2, 1, 1, 0)
    assert counts(store.append_impressions(shown(weight=[0.1, 3]))) == (2, 1, 1, 0)
    assert counts(store.append_impressions(shown())) == (2, 0, 2, 0)
    stored = store.impressions().sort("item_id").select("position", "weight", "label")
    assert stored.rows() == [(2, 0.5, 0), (1, 3.0, 1)]


def test_events_keep_their_weights_and_a_table_of_before_has_none(store: Store) -> None:
    store.append_events(event_rows(("u", "i", 1), ("u", "j", 1), weight=[0.5, None]))
    assert store.events().sort("item_id")["weight"].to_list() == [0.5, None]
    # A weight is no part of what an event is: the same event is stored once.
    assert counts(store.append_events(event_rows(("u", "j", 1), weight=[7]))) == (1, 0, 1, 0)
    assert store.events().sort("item_id")["weight"].to_list() == [0.5, None]


def test_a_feature_that_the_impressions_lack_is_refused_and_one_of_another_type_is_rejected(store: Store) -> None:
    with pytest.raises(DataError, match=r"impressions.ctr: expected the column, got only .*Rename 'CTR' to 'ctr'"):
        store.append(IMPRESSIONS.with_features(["ctr"]), shown(CTR=[0.1, 0.2]))
    store.append(IMPRESSIONS.with_features(["ctr"]), shown(ctr=[0.1, 0.2]))
    later = event_rows(("v", "i", 2), ("v", "j", 2), impression_id=[6, 6], label=[0, 1], ctr=["0.5", "high"])
    receipt = store.append_impressions(later)
    assert receipt.n_rejected == 1
    assert next(iter(receipt.reasons)).startswith("ctr: expected Float64 as in the store")


def test_impressions_of_two_users_or_times_may_have_one_id(store: Store) -> None:
    store.append_impressions(event_rows(("u", "i", 1), impression_id=["1"], label=[0]))
    others = event_rows(("v", "i", 1), ("u", "i", 2), ("u", "i", 1), impression_id=["1"] * 3, label=[1, 1, 1])
    assert counts(store.append_impressions(others)) == (3, 2, 1, 0)
    shown = store.impressions().sort("user_id", "timestamp").select("user_id", "label").rows()
    assert shown == [("u", 0), ("u", 1), ("v", 1)]


@pytest.mark.parametrize("name", ["user_id", "impression_id"])
def test_an_items_column_named_as_an_id_of_another_table_does_not_decide_its_type(store: Store, name: str) -> None:
    store.append_items(pl.DataFrame({"item_id": ["i"], "title": ["text"], name: [7]}))
    assert counts(store.append_events(event_rows(("ann", "i", 1)))) == (1, 1, 0, 0)
    assert counts(store.append_impressions(event_rows(("ann", "i", 1), impression_id=["p"], label=[1]))) == (1, 1, 0, 0)
    assert store.items()[name].to_list() == [7]


# Items


def test_the_newest_description_wins_and_the_same_again_changes_nothing(store: Store) -> None:
    assert counts(store.append_items(item_rows(item_id=["a", "b", "a"], title=["old", "b", "new"]))) == (3, 2, 1, 0)
    assert sorted(store.items().rows()) == [("a", "new"), ("b", "b")]
    update = item_rows(item_id=["b", "a", "c"], title=["b", "newer", "c"])
    assert counts(store.append_items(update)) == (3, 2, 1, 0)
    version = store.versions()["items"]
    assert counts(store.append_items(update)) == (3, 0, 3, 0)
    assert store.versions()["items"] == version
    assert sorted(store.items().rows()) == [("a", "newer"), ("b", "b"), ("c", "c")]


def test_columns_that_a_frame_lacks_stay_and_new_ones_are_added(store: Store) -> None:
    store.append_items(item_rows(item_id=["a", "b"], title=["a", "b"], price=[1, 2]))
    store.append_items(item_rows(item_id=["b", "c"], title=["B", "C"], **{"Farbe (außen)": ["red", "blue"]}))
    assert store.items().columns == ["item_id", "title", "price", "Farbe (außen)"]
    assert sorted(store.items().rows()) == [("a", "a", 1, None), ("b", "B", 2, "red"), ("c", "C", None, "blue")]


def test_a_new_column_may_come_with_new_items_alone(store: Store) -> None:
    store.append_items(item_rows(item_id=["a"], title=["a"]))
    store.append_items(item_rows(item_id=["b"], title=["b"], size=[2]))
    assert sorted(store.items().rows()) == [("a", "a", None), ("b", "b", 2)]


def test_a_null_overwrites_and_a_column_that_only_adds_nulls_is_no_change(store: Store) -> None:
    store.append_items(item_rows(item_id=["a"], title=["a"], brand=["x"]))
    store.append_items(item_rows(item_id=["a"], title=["a"], brand=[None]))
    assert store.items().rows() == [("a", "a", None)]
    empty = pl.DataFrame({"item_id": ["a"], "title": ["a"], "size": pl.Series([None], dtype=pl.Int64)})
    assert counts(store.append_items(empty)) == (1, 0, 1, 0)


def test_whole_numbers_become_fractions_when_one_comes(store: Store) -> None:
    store.append_items(item_rows(item_id=["a", "b"], title=["a", "b"], price=[1, None], pages=[3, 4]))
    assert counts(store.append_items(item_rows(item_id=["b", "c"], title=["b", "c"], price=[2.0, 5.0]))) == (2, 2, 0, 0)
    assert store.items().schema["price"] == pl.Int64
    fractions = item_rows(item_id=["a", "b", "d"], title=["a", "b", "d"], price=[1.0, 2.5, 0.5])
    assert counts(store.append_items(fractions)) == (3, 2, 1, 0)
    assert store.items().schema["price"] == pl.Float64
    rows = [("a", "a", 1.0, 3), ("b", "b", 2.5, 4), ("c", "c", 5.0, None), ("d", "d", 0.5, None)]
    assert sorted(store.items().rows()) == rows
    assert counts(store.append_items(item_rows(item_id=["a"], title=["a"], price=[1]))) == (1, 0, 1, 0)


@pytest.mark.parametrize("name", ["price [EUR]", "a.b", "a b", '"x"', "^", "**"])
def test_a_column_of_any_name_widens_and_is_updated(store: Store, name: str) -> None:
    store.append_items(item_rows(item_id=["a", "b"], title=["a", "b"], **{name: [1, 2]}))
    assert counts(store.append_items(item_rows(item_id=["b"], title=["b"], **{name: [2.5]}))) == (1, 1, 0, 0)
    assert counts(store.append_items(item_rows(item_id=["a"], title=["new"], **{name: [1.0]}))) == (1, 1, 0, 0)
    assert sorted(store.items().rows()) == [("a", "new", 1.0), ("b", "b", 2.5)]


# Versions


def test_every_version_can_be_read_again_and_others_are_refused(store: Store) -> None:
    store.append_events(event_rows(("u", "i", 1)))
    version = store.append_events(event_rows(("u", "j", 2))).version
    assert version is not None
    assert store.versions()["events"] == version
    assert store.events(version=version - 1)["item_id"].to_list() == ["i"]
    assert sorted(store.events(version=version)["item_id"].to_list()) == ["i", "j"]
    with pytest.raises(DataError, match=r"^events\.version: expected a version from 0 to 2, got 3\."):
        store.events(version=3)
    with pytest.raises(
        DataError, match=r"^items\.version: expected no version, because the table does not exist yet, got 0\."
    ):
        store.items(version=0)


def test_old_versions_are_kept_beyond_the_thirty_days_of_delta(store: Store) -> None:
    store.append_events(event_rows(("u", "i", 1)))
    table = _delta.open_table(f"{store.path}/events", storage_options=None)
    assert table is not None
    assert table.metadata().configuration["delta.logRetentionDuration"] == "interval 36500 days"


def test_the_digest_changes_with_every_commit_and_differs_between_stores(store: Store, tmp_path: Path) -> None:
    digests = {store.digest(), Store.create(tmp_path / "other").digest()}
    store.append_events(event_rows(("u", "i", 1)))
    digests.add(store.digest())
    assert len(digests) == 3
    store.append_events(event_rows(("u", "i", 1)))
    assert store.digest() in digests


def test_a_receipt_reads_as_a_sentence(store: Store) -> None:
    receipt = store.append_events(event_rows(("u", "i", 1), (None, "i", 1)))
    assert str(receipt) == "events: 1 new, 0 duplicate, 1 rejected of 2 rows\n  1 x user_id: expected an id, got null"


# Typed calls


@pytest.mark.parametrize("table", [ITEMS, EVENTS, IMPRESSIONS])
def test_the_methods_named_after_tables_are_append_and_read_of_the_table(store: Store, table: Table) -> None:
    frame = event_rows(("u", "i", 1), impression_id=["p"], label=[1], title=["text"])
    if table is ITEMS:
        frame = frame.select("item_id", "title")
    appended = {ITEMS: store.append_items, EVENTS: store.append_events, IMPRESSIONS: store.append_impressions}[table]
    read = {ITEMS: store.items, EVENTS: store.events, IMPRESSIONS: store.impressions}[table]
    assert counts(store.append(table, frame)) == (1, 1, 0, 0)
    assert counts(appended(frame)) == (1, 0, 1, 0)
    assert store.read(table).equals(read())
    assert store.read(table, version=0).equals(read(0))
    assert store.read(table, version=0).is_empty()


def test_rejected_rows_cannot_be_appended_by_a_caller(store: Store) -> None:
    with pytest.raises(ValueError, match=r"^table: expected one of items, events, impressions, got rejected"):
        store.append(REJECTED, event_rows(("u", "i", 1)))
    assert store.read(REJECTED).equals(store.rejected())


# Writers at the same time


def test_an_append_to_an_outdated_version_is_refused_not_rebased(store: Store) -> None:
    store.append_events(event_rows(("u", "i", 1)))
    stale = _delta.open_table(f"{store.path}/events", storage_options=None)
    assert stale is not None
    store.append_events(event_rows(("u", "j", 1)))
    with pytest.raises(CommitFailedError):
        _delta.append(stale, store.events())
    assert store.events().height == 2


@pytest.mark.parametrize("table", TABLES, ids=[table.name for table in TABLES])
def test_an_append_that_loses_against_another_writer_reads_again(
    store: Store, table: Table, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another writer adds the same rows between the reading and the commit of ours, once."""
    shown = event_rows(("u", "i", 1), ("u", "j", 1), impression_id=["p", "p"], label=[0, 1])
    refused = shown.with_columns(pl.lit(None, dtype=pl.String).alias("user_id"))
    items = item_rows(item_id=["a", "b"], title=["a", "b"])
    dated = items.with_columns(timestamp=pl.lit("2026-01-01"))
    vectors = pl.DataFrame({"item_id": ["a", "b"], "space": "clip", "vector": [[1.0], [-1.0]]})
    users = pl.DataFrame({"user_id": ["u", "v"], "age": [30, 40]})
    frames = {ITEMS: items, ITEM_CHANGES: dated, EVENTS: shown, IMPRESSIONS: shown, USERS: users}
    facts = pl.DataFrame({"subject": ["a", "b"], "relation": "author", "object": ["x", "y"]})
    frame = (frames | {REJECTED: refused, ITEM_VECTORS: vectors, FACTS: facts})[table]
    appended_to = {REJECTED: EVENTS, ITEM_CHANGES: ITEMS}.get(table, table)

    def add() -> Receipt:
        return store.append(appended_to, frame)

    writes = {ITEM_CHANGES: item_changes, USERS: user_rows, REJECTED: settled_rows}.get(table, table_writes)
    commit = writes.append
    met = []

    def slow_commit(delta: Any, rows: pl.DataFrame) -> None:
        if not met:
            met.append(True)
            assert counts(add())[0] == 2
        commit(delta, rows)

    monkeypatch.setattr(writes, "append", slow_commit)
    receipt = add()
    assert met
    assert counts(receipt) == ((2, 0, 0, 2) if table is REJECTED else (2, 0, 2, 0))
    assert store.read(table).height == 2


def test_a_column_that_another_writer_has_just_stored_with_another_dtype_is_refused(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.append_items(item_rows(item_id=["a"], title=["a"]))
    monkeypatch.setattr(Store, "_decided_dtypes", lambda *_: {})  # what it was before the other writer's commit
    with_text = item_rows(item_id=["b"], title=["b"], size=["large"])
    with_number = item_rows(item_id=["b"], title=["b"], size=[3])
    store.append_items(with_text)
    with pytest.raises(
        DataError, match=r"^items\.size: expected String as another writer .*, got Int64\. Repeat the app"
    ):
        store.append_items(with_number)
    monkeypatch.undo()
    store.append_items(with_number)
    assert sorted(store.items().rows()) == [("a", "a", None), ("b", "b", 3)]


def test_giving_up_reports_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_delta, "_GIVE_UP_AFTER_S", 0.0)

    def always_late() -> None:
        raise CommitFailedError("late")

    with pytest.raises(TimeoutError, match=r"^store: expected to commit within 0 s, .* Use fewer writers"):
        _delta.until_committed(always_late)


WRITER = """
import sys
import polars as pl
from feature_store.store import Store

path, seed = sys.argv[1], int(sys.argv[2])
store = Store.open_or_create(path)
events = pl.DataFrame({"user_id": [f"u{k % 7}" for k in range(60)], "item_id": [f"i{k}" for k in range(60)]})
events = events.with_columns(timestamp=pl.int_range(60) + 1_700_000_000).sample(fraction=1, shuffle=True, seed=seed)
n_new = sum(store.append_events(batch).n_new for batch in events.iter_slices(10))
items = pl.DataFrame({"item_id": [f"i{k}" for k in range(20)], "title": [f"title {k}" for k in range(20)]})
n_new_items = sum(store.append_items(batch).n_new for batch in items.iter_slices(5))
print(n_new, n_new_items)
"""


def test_two_processes_that_append_the_same_rows_at_once_add_each_once(tmp_path: Path) -> None:
    root = Path(__file__).parents[2]
    command = [sys.executable, "-c", WRITER, str(tmp_path / "shop")]
    writers = [
        subprocess.Popen([*command, str(seed)], cwd=root, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for seed in range(2)
    ]
    added = []
    for writer in writers:
        out, err = writer.communicate(timeout=60)
        assert writer.returncode == 0, err
        added.append([int(n) for n in out.split()])
    store = Store.open(tmp_path / "shop")
    assert [sum(n) for n in zip(*added, strict=True)] == [60, 20]
    assert store.events()["item_id"].n_unique() == store.events().height == 60
    assert store.items()["item_id"].n_unique() == store.items().height == 20


# Properties

USER_IDS = st.sampled_from(["u", "v", None])
TIMES = st.sampled_from(["2024-01-01", "2024-01-02T00:00:00Z", "never", None])
EVENT_ROWS = st.lists(
    st.tuples(USER_IDS, st.sampled_from(["i", "j"]), TIMES, st.sampled_from([None, "e1", "e2"])), min_size=1
)
EVENT_SCHEMA = {"user_id": pl.String, "item_id": pl.String, "timestamp": pl.String, "event_id": pl.String}


def content(store: Store) -> tuple[list[Any], list[Any]]:
    """The content of the store, without columns that depend on the order of appends."""
    rejected = store.rejected().drop("row_number")
    return sorted(store.events().rows(), key=repr), sorted(rejected.rows())


def event_frame(rows: list[tuple[Any, Any, Any, Any]]) -> pl.DataFrame:
    """Events of which those of one `event_id` are the same event: which of two equal ones is kept must not matter."""
    same = [
        row if row[3] is None or None in row[:3] or row[2] == "never" else ("u", "i", "2024-01-01", row[3])
        for row in rows
    ]
    return pl.DataFrame(same, schema=EVENT_SCHEMA, orient="row")


@settings(max_examples=12, deadline=None)
@given(rows=EVENT_ROWS, data=st.data())
def test_any_split_in_any_order_gives_the_same_tables_as_the_whole_and_twice_changes_nothing(
    rows: list[tuple[Any, Any, Any, Any]], data: st.DataObject
) -> None:
    frame = event_frame(rows)
    order = data.draw(st.permutations(range(frame.height)))
    cuts = sorted(data.draw(st.sets(st.integers(1, frame.height), max_size=3)) | {0, frame.height})
    with TemporaryDirectory() as folder:
        whole, parts = Store.create(f"{folder}/whole"), Store.create(f"{folder}/parts")
        receipt = whole.append_events(frame)
        n_in, n_new, n_duplicate, _ = counts(receipt)
        shuffled = frame[order]
        split = [counts(parts.append_events(shuffled[a:b])) for a, b in pairwise(cuts)]
        # An invalid row is open until a valid one of its event_id comes, which may be in a later part.
        assert tuple(sum(n) for n in zip(*split, strict=True))[:3] == (n_in, n_new, n_duplicate)
        assert content(parts) == content(whole)
        versions, before = parts.versions(), content(parts)
        again = parts.append_events(frame)
        assert counts(again) == (n_in, 0, n_new + n_duplicate, receipt.n_rejected)
        assert again.n_known == receipt.n_known
        assert (parts.versions(), content(parts)) == (versions, before)
        assert whole.events().height == n_new


ITEM_ROWS = st.lists(
    st.tuples(st.sampled_from("abcd"), st.sampled_from(["x", "y", None]), st.sampled_from([None, 1, 2]))
)


@settings(max_examples=12, deadline=None)
@given(batches=st.lists(ITEM_ROWS.filter(bool), min_size=1, max_size=3))
def test_items_are_what_a_dict_that_is_updated_row_by_row_would_hold(batches: list[list[tuple[Any, Any, Any]]]) -> None:
    oracle: dict[str, tuple[Any, Any]] = {}
    with TemporaryDirectory() as folder:
        store = Store.create(f"{folder}/shop")
        for batch in batches:
            before = dict(oracle)
            oracle |= {item_id: (title, size) for item_id, title, size in batch}
            schema = {"item_id": pl.String, "title": pl.String, "size": pl.Int32}
            receipt = store.append_items(pl.DataFrame(batch, schema=schema, orient="row"))
            assert counts(receipt)[1] == sum(before.get(item_id) != row for item_id, row in oracle.items())
        stored = store.items().select("item_id", "title", "size").rows()
        assert sorted(stored, key=repr) == sorted(((item_id, *row) for item_id, row in oracle.items()), key=repr)


@pytest.mark.parametrize("named", ["../../secret.parquet", "part\\u0000.parquet"])
def test_a_log_that_names_a_file_outside_the_table_is_refused(tmp_path: Path, named: str) -> None:
    store = Store.create(tmp_path / "store")
    store.append_events(pl.DataFrame({"user_id": ["u"], "item_id": ["i"], "timestamp": [1]}))
    table = tmp_path / "store" / "events"
    part = Path(_delta.open_table(str(table), storage_options=None).file_uris()[0])
    shutil.move(part, tmp_path / "secret.parquet")
    for log in (table / "_delta_log").glob("*.json"):
        log.write_text(log.read_text().replace(f'"path":"{part.name}"', f'"path":"{named}"'))
    (table / "_digests.txt").unlink()  # otherwise the edit itself is refused
    with pytest.raises(DataError, match="expected files inside"):
        store.events()


def test_a_table_given_by_its_name_is_refused(tmp_path: Path) -> None:
    store = Store.create(tmp_path / "store")
    with pytest.raises(ValueError, match=r"table: expected a table such as feature_store\.EVENTS, got 'events'"):
        store.append("events", pl.DataFrame({"user_id": ["u"]}))  # type: ignore[arg-type]
