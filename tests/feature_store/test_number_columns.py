"""A column that came as text because of a few bad cells becomes one of numbers once they are mended."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest

from feature_store import IMPRESSIONS, ITEMS, USERS, Receipt, Store
from feature_store.files.table_files import read_table
from feature_store.schema import Table

GOOD = "".join(f"u{n},{20 + n}\n" for n in range(10))


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store.create(tmp_path / "store")


def add(store: Store, table: Table, text: str) -> Receipt:
    path = Path(store.path).parent / "table.csv"
    path.write_text(text)
    return store.append(table, read_table(str(path), table=table.name))


def test_a_mended_column_of_users_is_one_of_numbers_again(store: Store) -> None:
    head = "user_id,timestamp,age\n"
    rows = "".join(f"u{n},2026-01-01,{20 + n}\n" for n in range(10))
    bad = add(store, USERS, f"{head}{rows}v,2026-01-01,34 years\nw,2026-01-01,n/a\n")
    assert any("users.age: the column was read as text because 2 cells are no number" in each for each in bad.warnings)
    assert store.users().schema["age"] == pl.String
    # Another row of the user does not mend the earlier one, which past queries read.
    (warning,) = add(store, USERS, f"{head}v,2026-02-01,34\n").warnings
    assert "users.age: the column stays text, because 1 stored cell is no number: '34 years' of user_id 'v'" in warning
    assert f"`recmem ingest --store {store.path} --users FILE`" in warning
    mended = add(store, USERS, f"{head}v,2026-01-01,34\n")
    assert mended.warnings == ()
    ages = store.users().sort("user_id", "timestamp").select("user_id", "age").rows()
    assert store.users().schema["age"] == pl.Int64
    assert ages == [*((f"u{n}", 20 + n) for n in range(10)), ("v", 34), ("v", 34), ("w", None)]
    # What is bad from now on costs its row alone.
    assert add(store, USERS, f"{head}{rows}v,2026-03-01,35 years\n").n_rejected == 1


def test_a_mended_column_of_items_is_one_of_numbers_again_and_others_stay_text(store: Store) -> None:
    head = "item_id,title,price,code,pages\n"
    rows = "".join(f"i{n},{1980 + n},{n}.50,{n},{n}\n" for n in range(3))
    add(store, ITEMS, f"{head}{rows}a,Emma,7.00,007,cloth\nb,Dune,8 EUR,8,paper\n")
    before = store.items()
    assert [before.schema[name] for name in ("price", "code")] == [pl.String, pl.Int64]
    (warning,) = add(store, ITEMS, "item_id,title,price\nb,2001,8\n").warnings
    assert warning.startswith("items.price: the column held text, and has become one of numbers.")
    items = store.items().sort("item_id")
    assert items.schema == before.schema | {"price": pl.Float64()}
    assert items["price"].to_list() == [7.0, 8.0, 0.5, 1.5, 2.5]
    assert items["title"].to_list() == ["Emma", "2001", "1980", "1981", "1982"]


def test_codes_with_zeros_in_front_are_no_numbers(store: Store) -> None:
    store.append_items(pl.DataFrame({"item_id": ["a", "b", "c"], "title": ["a", "b", "c"], "zip": ["007", "8", "9"]}))
    (warning,) = store.append_items(pl.DataFrame({"item_id": ["d"], "title": ["d"], "zip": [10]})).warnings
    assert "items.zip: the column stays text, because 1 stored cell is no number: '007' of item_id 'a'" in warning
    assert store.items().sort("item_id")["zip"].to_list() == ["007", "8", "9", "10"]


def test_a_column_of_texts_stays_so_without_a_word_when_a_few_rows_hold_numbers(store: Store) -> None:
    sizes = ["small", "large", "42"]
    store.append_items(pl.DataFrame({"item_id": ["a", "b", "c"], "title": ["a", "b", "c"], "size": sizes}))
    receipt = store.append_items(pl.DataFrame({"item_id": ["d"], "title": ["d"], "size": [43]}))
    assert receipt.warnings == ()
    assert store.items().schema["size"] == pl.String


def test_numbers_that_are_text_on_purpose_stay_text(store: Store) -> None:
    frame = pl.DataFrame({"user_id": ["u", "v"], "plan": ["1", "2"]})
    store.append_users(frame)
    store.append_users(frame.with_columns(plan=pl.lit("3")))
    assert store.users().schema["plan"] == pl.String


def test_items_with_times_get_their_mended_numbers_as_of_their_times(store: Store) -> None:
    head = "item_id,timestamp,title,price\n"
    rows = "".join(f"i{n},2026-01-0{n + 1},t,{n}\n" for n in range(5))
    add(store, ITEMS, f"{head}{rows}a,2026-01-01,t,5 EUR\na,2026-02-01,t,6\n")
    assert "price" not in store.item_changes().columns
    part = add(store, ITEMS, f"{head}a,2026-01-01,t,5\na,2026-02-01,t,6\n")
    assert store.items().schema["price"].is_numeric()
    assert any("items.price: 5 stored rows have no number as of their times" in warning for warning in part.warnings)
    whole = add(store, ITEMS, f"{head}{rows}a,2026-01-01,t,5\na,2026-02-01,t,6\n")
    assert whole.warnings == ()
    changes = store.item_changes().filter(item_id="a").sort("timestamp")
    assert changes["price"].to_list() == [5.0, 6.0]
    assert store.item_changes()["price"].null_count() == 0
    assert add(store, ITEMS, f"{head}{rows}a,2026-01-01,t,5\na,2026-02-01,t,6\n").n_new == 0


def test_features_of_impressions_that_said_nothing_are_filled_in_and_others_are_named(store: Store) -> None:
    table = IMPRESSIONS.with_features(["ctr"])
    shown = pl.DataFrame(
        {
            "impression_id": "m",
            "user_id": "u",
            "timestamp": "2026-01-01",
            "item_id": ["a", "b", "c"],
            "label": [0, 1, 0],
        }
    )
    store.append(table, shown.with_columns(ctr=pl.Series(["0.5", "n/a", "none"])))
    store.append(table, shown.with_columns(ctr=pl.Series([0.5, 0.25, None])))
    assert store.impressions().sort("item_id")["ctr"].to_list() == [0.5, 0.25, None]
    other = shown.with_columns(impression_id=pl.lit("n"))
    rates = store.append(IMPRESSIONS.with_features(["rate"]), other.with_columns(rate=pl.Series(["1", "2", "high"])))
    assert rates.n_new == 3
    last = store.append(IMPRESSIONS.with_features(["rate"]), other.with_columns(rate=pl.Series([1, 2, 3])))
    assert "impressions.rate: the column stays text" in last.warnings[0]
    assert "Stored impressions stay as they are: add the mended table to a new store" in last.warnings[0]


def test_an_append_that_was_killed_before_the_column_became_numbers_is_completed_by_repeating_it(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    add(store, USERS, f"user_id,age\n{GOOD}v,34 years\n")

    def killed(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("feature_store.number_columns.replace", killed)
        with pytest.raises(KeyboardInterrupt):
            add(store, USERS, f"user_id,age\n{GOOD}v,34\n")
    assert store.users().schema["age"] == pl.String
    assert add(store, USERS, f"user_id,age\n{GOOD}v,34\n").n_duplicate == 11
    assert store.users()["age"].sort().to_list() == [*range(20, 30), 34]


def test_an_older_version_is_read_as_it_was(store: Store) -> None:
    add(store, USERS, f"user_id,age\n{GOOD}v,34 years\n")
    version = store.versions()["users"]
    add(store, USERS, f"user_id,age\n{GOOD}v,34\n")
    assert "34 years" in store.read(USERS, version=version)["age"].to_list()
    assert store.users().schema["age"] == pl.Int64
