from __future__ import annotations

import subprocess
import sys
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from feature_store import item_changes, settled_rows, table_writes, user_rows
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
from store_rows import counts, event_rows, item_rows


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store.create(tmp_path / "shop")


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


def test_a_receipt_reads_as_a_sentence(store: Store) -> None:
    receipt = store.append_events(event_rows(("u", "i", 1), (None, "i", 1)))
    assert str(receipt) == "events: 1 new, 0 duplicate, 1 rejected of 2 rows\n  1 x user_id: expected an id, got null"


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
    with pytest.raises(
        ValueError, match=r"^table: expected one of items, events, impressions, users, facts, got rejected"
    ):
        store.append(REJECTED, event_rows(("u", "i", 1)))
    assert store.read(REJECTED).equals(store.rejected())


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


def test_a_table_given_by_its_name_is_refused(tmp_path: Path) -> None:
    store = Store.create(tmp_path / "store")
    with pytest.raises(ValueError, match=r"table: expected a table such as feature_store\.EVENTS, got 'events'"):
        store.append("events", pl.DataFrame({"user_id": ["u"]}))  # type: ignore[arg-type]
