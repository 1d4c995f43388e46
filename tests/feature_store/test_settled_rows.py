"""Rejected rows that were corrected, stored since or written off are not reported again, and nothing is lost."""

from __future__ import annotations

import json
from pathlib import Path

import polars as pl
import pytest

from feature_store import EVENTS, IMPRESSIONS, ITEMS, REJECTED, USERS, Receipt, Store, settled_rows
from feature_store._delta import open_table, replace
from feature_store.forgetting.id_search import IdSearch
from feature_store.resubmission import read_corrected, resubmit, write_correction_file
from feature_store.schema import Table

OLD = pl.DataFrame(
    {
        "user_id": ["u", "v", "w"],
        "item_id": ["a", "b", "c"],
        "timestamp": ["2026-01-01", "soon", "2026-01-03"],
        "value": ["5", "5", "many"],
    }
)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store.create(tmp_path / "store")


def counts(receipt: Receipt) -> tuple[int, int, int, int]:
    """New, duplicate, rejected, known."""
    assert receipt.n_in == receipt.n_new + receipt.n_duplicate + receipt.n_rejected + receipt.n_known
    assert sum(receipt.reasons.values()) == receipt.n_rejected
    assert set(receipt.examples) <= set(receipt.reasons)
    return receipt.n_new, receipt.n_duplicate, receipt.n_rejected, receipt.n_known


def all_rejected(store: Store) -> list[tuple[str, str | None]]:
    """The rows and how they were dealt with."""
    return sorted(store.read(REJECTED).select("row", "settled").iter_rows())


def test_the_old_file_is_given_every_night_after_its_rows_were_resubmitted(store: Store, tmp_path: Path) -> None:
    assert counts(store.append_events(OLD)) == (1, 0, 2, 0)
    assert counts(store.append_events(OLD)) == (0, 1, 2, 0)  # nobody has dealt with them
    write_correction_file(store.rejected(), tmp_path / "rows.jsonl")
    lines = read_corrected(tmp_path / "rows.jsonl")
    for line in lines:
        line["row"] |= {"timestamp": "2026-01-02", "value": 4}
    assert resubmit(store, lines).n_accepted == 2
    for _ in range(2):
        assert counts(store.append_events(OLD)) == (0, 1, 0, 2)
    assert store.rejected().is_empty()
    assert [how for _, how in all_rejected(store)] == ["resubmitted"] * 2
    assert len(store.events()) == 3


def test_a_row_that_comes_in_a_mended_file_is_settled_where_its_key_could_be_read(store: Store) -> None:
    store.append_events(OLD)
    mended = OLD.with_columns(timestamp=pl.Series(["2026-01-01", "2026-01-02", "2026-01-03"]), value=pl.lit("5"))
    assert counts(store.append_events(mended)) == (2, 1, 0, 0)
    # The row without a time had no key: whoever knows what became of it writes it off.
    assert [json.loads(row)["user_id"] for row in store.rejected()["row"]] == ["v"]
    assert counts(store.append_events(OLD)) == (0, 1, 1, 1)
    assert store.settle_rejected(store.rejected()["content_hash"].to_list()) == 1
    assert counts(store.append_events(OLD)) == (0, 1, 0, 2)


def test_an_event_id_is_a_key_whatever_else_is_bad(store: Store) -> None:
    old = OLD.with_columns(event_id=pl.Series(["e1", "e2", "e3"]))
    store.append_events(old)
    store.append_events(old.with_columns(timestamp=pl.lit("2026-01-02"), value=pl.lit("5")))
    assert store.rejected().is_empty()
    # Another column comes in: other rows by their content, but of stored events.
    assert counts(store.append_events(old.with_columns(session_id=pl.lit("s")))) == (0, 1, 0, 2)


def test_an_invalid_row_of_a_stored_event_is_known_from_the_first_time_on(store: Store) -> None:
    mended = OLD.with_columns(timestamp=pl.lit("2026-01-03"), value=pl.lit("5"))
    store.append_events(mended)
    assert counts(store.append_events(OLD)) == (1, 0, 1, 1)
    assert [json.loads(row)["user_id"] for row in store.rejected()["row"]] == ["v"]


@pytest.mark.parametrize(
    ("table", "good", "bad"),
    [
        (
            IMPRESSIONS,
            {"impression_id": "m", "user_id": "u", "timestamp": "2026-01-01", "item_id": "a", "label": 1},
            {"label": 7},
        ),
        (ITEMS, {"item_id": "a", "title": "t", "price": 5}, {"price": "5 EUR"}),
        (USERS, {"user_id": "u", "timestamp": "2026-01-01", "age": 30}, {"age": "thirty"}),
        (ITEMS, {"item_id": "a", "title": "t", "price": 5, "timestamp": "2026-01-01"}, {"price": "5 EUR"}),
    ],
    ids=["impressions", "items", "users", "items with times"],
)
def test_rows_of_every_table_are_settled_by_a_valid_row_of_their_key(
    store: Store, table: Table, good: dict[str, object], bad: dict[str, object]
) -> None:
    """Another row decides the types of the columns first."""
    id_name = next(iter(good))
    other = pl.DataFrame(good | {id_name: "other"})
    broken = pl.concat([other, pl.DataFrame(good | bad)], how="diagonal_relaxed")
    store.append(table, other)
    assert counts(store.append(table, broken))[2:] == (1, 0)
    assert counts(store.append(table, broken))[2:] == (1, 0)
    store.append(table, pl.DataFrame(good))
    assert store.rejected().is_empty()
    assert counts(store.append(table, broken))[2:] == (0, 1)


def test_an_update_of_an_item_that_fails_is_open_though_the_item_is_stored(store: Store) -> None:
    items = pl.DataFrame({"item_id": ["a", "b"], "title": ["x", "y"], "price": [5, 6]})
    store.append_items(items)
    update = items.with_columns(price=pl.Series(["5", "six"]))
    assert counts(store.append_items(update)) == (0, 1, 1, 0)
    assert counts(store.append_items(update)) == (0, 1, 1, 0)
    assert len(store.rejected()) == 1


def test_an_update_that_fails_beside_a_valid_row_of_its_item_stays_open(store: Store) -> None:
    store.append_items(pl.DataFrame({"item_id": ["b"], "title": ["y"], "price": [6]}))
    both = pl.DataFrame({"item_id": ["a", "a"], "title": ["x", "x"], "price": ["5", "five"]})
    for _ in range(2):
        assert store.append_items(both).n_rejected == 1
        assert len(store.rejected()) == 1


def test_a_row_that_was_written_off_is_recognised_however_its_columns_are_read(store: Store) -> None:
    extra = OLD.with_columns(position=pl.lit(1.50), note=pl.lit(None, dtype=pl.String))
    store.append_events(extra)
    assert store.settle_rejected(store.rejected()["content_hash"].to_list()) == 2
    before = all_rejected(store)
    assert [how for _, how in before] == ["written off"] * 2
    for same in (extra, extra.with_columns(position=pl.lit("1.50 ")), extra.drop("note"), extra.reverse()):
        assert counts(store.append_events(same)) == (0, 1, 0, 2)
    assert all_rejected(store) == before
    changed = extra.with_columns(timestamp=pl.lit("later"))
    assert counts(store.append_events(changed)) == (0, 0, 3, 0)
    zeros = extra.with_columns(user_id="00" + pl.col("user_id"))
    assert counts(store.append_events(zeros)) == (1, 0, 2, 0)


def test_a_row_that_comes_again_with_its_columns_read_otherwise_is_listed_once(store: Store) -> None:
    extra = OLD.with_columns(position=pl.lit(1))
    text = extra.with_columns(position=pl.lit("1"))
    for frame in (extra, text, extra, text):
        assert store.append_events(frame).n_rejected == 2
        assert len(store.rejected()) == 2
    assert len(store.read(REJECTED)) == 4
    # Settling one settles its other form.
    store.settle_rejected(store.rejected()["content_hash"].to_list())
    assert store.append_events(extra).n_known == store.append_events(text).n_known == 2


def test_lines_without_a_row_can_be_written_off(store: Store, tmp_path: Path) -> None:
    from feature_store.files.table_files import read_table

    (tmp_path / "events.csv").write_text("user_id,item_id,timestamp\nu,a,2026-01-01\nv,b\nw,c,soon\n")
    rows = read_table(str(tmp_path / "events.csv"), table="events")
    first = store.append(EVENTS, rows)
    assert counts(first) == (1, 0, 2, 0)
    assert len(first.examples) == 2
    unread = store.rejected().filter(pl.col("row").str.contains("unreadable"))
    store.settle_rejected(unread["content_hash"].to_list())
    again = store.append(EVENTS, rows)
    assert counts(again) == (0, 1, 1, 1)
    assert list(again.examples.values()) == ["timestamp 'soon' in line 4"]


def test_an_append_that_was_killed_before_it_settled_rows_does_so_when_repeated(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.append_events(OLD)
    mended = OLD.with_columns(value=pl.lit("5")).filter(user_id="w")

    def killed(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("feature_store.appends.settle", killed)
        with pytest.raises(KeyboardInterrupt):
            store.append_events(mended)
    assert (len(store.events()), len(store.rejected())) == (2, 2)
    assert counts(store.append_events(mended)) == (0, 1, 0, 0)
    assert len(store.rejected()) == 1


def test_a_store_of_before_is_read_and_its_rows_can_be_settled(store: Store, tmp_path: Path) -> None:
    store.append_events(OLD)
    table = open_table(f"{store.path}/rejected", storage_options=None)
    assert table is not None
    before = store.read(REJECTED).drop("key", "settled", "replaced_by")
    replace(table, before)
    (tmp_path / "store" / "rejected" / "_digests.txt").unlink()
    assert len(store.rejected()) == 2
    assert counts(store.append_events(OLD)) == (0, 1, 2, 0)
    mended = OLD.with_columns(value=pl.lit("5"))
    store.append_events(mended)
    # They have no key, until they come again.
    assert counts(store.append_events(OLD)) == (0, 1, 1, 1)
    assert len(store.rejected()) == 1
    assert store.settle_rejected(before["content_hash"].to_list()) == 1


def test_a_user_who_is_forgotten_is_in_no_settled_row_either(store: Store, tmp_path: Path) -> None:
    user = "a-user-with-a-long-id"
    old = OLD.with_columns(user_id=pl.lit(user))
    store.append_events(old)
    store.append_events(old.with_columns(value=pl.lit("5")))
    assert [how for _, how in all_rejected(store)].count("stored") == 1
    store.forget_user(user)
    assert all_rejected(store) == []
    search = IdSearch(user)
    assert not any(search.is_in(path) for path in (tmp_path / "store").rglob("*") if path.is_file())


def test_the_earlier_form_of_a_forgotten_row_is_open_again(store: Store, tmp_path: Path) -> None:
    """Corrected under another user's id, still bad, and that user is forgotten: the first form must not stay hidden."""
    store.append_events(OLD.head(2))
    write_correction_file(store.rejected(), tmp_path / "rows.jsonl")
    (line,) = read_corrected(tmp_path / "rows.jsonl")
    line["row"] |= {"user_id": "user-two"}
    assert resubmit(store, [line]).n_still_bad == 1
    store.forget_user("user-two")
    (row,) = store.rejected()["row"]
    assert json.loads(row)["user_id"] == "v"


def test_those_that_a_row_has_replaced_are_settled_with_it() -> None:
    rejected = pl.DataFrame({"content_hash": list("abcd"), "replaced_by": ["b", "c", None, None]})
    assert settled_rows.with_replaced(rejected, ["c"]) == {"a", "b", "c"}
    assert settled_rows.with_replaced(rejected, ["b", "d"]) == {"a", "b", "d"}
