"""What an append adds, rejects and settles."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from feature_store import table_writes
from feature_store.data_errors import DataError
from feature_store.schema import (
    IMPRESSIONS,
)
from feature_store.store import Store
from feature_store.store_tables import StoreTables
from store_rows import counts, event_rows, item_rows


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store.create(tmp_path / "shop")


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


def test_a_column_that_another_writer_has_just_stored_with_another_dtype_is_refused(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.append_items(item_rows(item_id=["a"], title=["a"]))
    monkeypatch.setattr(StoreTables, "decided_dtypes", lambda *_: {})  # what it was before the other writer's commit
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
