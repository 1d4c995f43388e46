"""Older versions are removed by what the newest refers to: no clock, no link and no forged log decides."""

from __future__ import annotations

import json
import os
import shutil
import time
from pathlib import Path

import polars as pl
import pytest
from deltalake.exceptions import CommitFailedError, DeltaError

from feature_store import DataError, Store, _delta
from feature_store.forgetting import erasure
from feature_store.noted_digests import DIGESTS_FILE
from tests.feature_store.test_delta import ROWS, SCHEMA, opened


@pytest.fixture
def uri(tmp_path: Path) -> str:
    """A table of three versions, of which the newest has one file."""
    uri = str(tmp_path / "store" / "items")
    _delta.create_table(uri, SCHEMA, storage_options=None)
    _delta.append(opened(uri), ROWS)
    _delta.replace(opened(uri), ROWS[:1])
    return uri


def files(uri: str) -> set[str]:
    return {path.relative_to(uri).as_posix() for path in Path(uri).rglob("*") if path.is_file()}


def test_the_newest_version_stays_and_no_older_one_can_be_read(uri: str) -> None:
    erasure.erase_history(opened(uri))
    assert _delta.scan(opened(uri), SCHEMA).collect().rows() == [("a", 1)]
    assert len([name for name in files(uri) if not name.startswith("_delta_log")]) == 1
    old = opened(uri)
    with pytest.raises((DeltaError, OSError, pl.exceptions.PolarsError)):
        old.load_as_version(1)


@pytest.mark.parametrize("ahead_s", [3600, 86_400, -86_400, 10**9])
def test_the_clock_of_the_writers_does_not_matter(uri: str, ahead_s: int) -> None:
    for path in Path(uri).rglob("*"):
        os.utime(path, (time.time() + ahead_s,) * 2)
        if path.suffix == ".json":
            text = path.read_text()
            for key in ("timestamp", "modificationTime", "deletionTimestamp"):
                text = text.replace(f'"{key}":1', f'"{key}":{2 if ahead_s > 0 else 1}')
            path.write_text(text)
    erasure.erase_history(opened(uri))
    assert len(files(uri)) == 4  # data, log entry, checkpoint, and what names the checkpoint
    assert _delta.scan(opened(uri), SCHEMA).collect().rows() == [("a", 1)]


def test_what_a_writer_left_that_was_killed_just_now_is_removed(uri: str) -> None:
    part = next(Path(uri).glob("*.parquet"))
    left = [part.with_name("part-1-killed.parquet"), part.with_name("part-2-killed.parquet#1")]
    left += [Path(uri, "_delta_log", "_commit_1f.json.tmp"), Path(uri, "_delta_log", ".00000000000000000001.crc")]
    for path in left:
        shutil.copy(part, path)
    mine = Path(uri, "notes.txt")
    mine.write_text("not recmem's")
    erasure.erase_history(opened(uri))
    assert not any(path.exists() for path in left)
    assert mine.exists()


def test_a_writer_that_read_the_table_before_cannot_commit_and_one_that_reads_it_anew_can(uri: str) -> None:
    late = opened(uri)
    erasure.erase_history(opened(uri))
    with pytest.raises((CommitFailedError, DeltaError)):
        _delta.append(late, ROWS[1:])
    _delta.append(opened(uri), ROWS[1:])
    assert _delta.scan(opened(uri), SCHEMA).collect().height == 2


def test_a_commit_at_a_place_that_was_erased_is_repeated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = Store.create(tmp_path / "store")
    for number in range(4):
        rows = {"user_id": ["user-1", "b"], "item_id": ["i", "i"], "timestamp": [number, number]}
        store.append_events(pl.DataFrame(rows))
    append = _delta.append
    late = [True]

    def overtaken(table: _delta.DeltaTable, rows: pl.DataFrame) -> None:
        append(table, rows)
        if late and table.version() == 5:
            late.clear()
            # As if the user had been forgotten between the writer's reading and its commit: version 4, which it has
            # read, is erased, and so is every entry after it but the newest.
            entry = Path(store.path, "events", "_delta_log", f"{5:020}.json")
            kept = entry.read_text()
            entry.unlink()
            store.forget_user("user-1")
            assert not entry.exists()
            entry.write_text(kept)

    monkeypatch.setattr("feature_store.table_writes.append", overtaken)
    store.append_events(pl.DataFrame({"user_id": ["late"], "item_id": ["i"], "timestamp": [99]}))
    assert sorted(store.events()["user_id"].unique()) == ["b", "late"]
    assert not Path(store.path, "events", "_delta_log", f"{5:020}.json").exists()


def test_a_commit_right_after_the_erasure_does_not_undo_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = Store.create(tmp_path / "store")
    rows = {"user_id": ["user-1", "b"], "item_id": ["i", "i"], "timestamp": [1, 2]}
    store.append_events(pl.DataFrame(rows))
    remove = erasure._remove
    late = [pl.DataFrame({"user_id": ["late"], "item_id": ["i"], "timestamp": [99]})]

    def overtaken(folder: Path, names: object) -> None:
        if late and folder.name == "events":
            Store.open(store.path).append_events(late.pop())
        remove(folder, names)  # type: ignore[arg-type]

    monkeypatch.setattr(erasure, "_remove", overtaken)
    store.forget_user("user-1")
    assert sorted(Store.open(store.path).events()["user_id"]) == ["b", "late"]


@pytest.mark.parametrize("kind", ["file", "folder"])
def test_nothing_is_removed_through_a_link(tmp_path: Path, kind: str) -> None:
    store = Store.create(tmp_path / "store")
    store.append_events(pl.DataFrame({"user_id": ["user-1"], "item_id": ["i"], "timestamp": [1]}))
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "part-0.parquet").write_text("somebody else's")
    link = Path(store.path, "events", "part-9.parquet" if kind == "file" else "more")
    link.symlink_to(elsewhere / "part-0.parquet" if kind == "file" else elsewhere)
    with pytest.raises(DataError, match=rf"store: expected files and folders, got links in .*'events/{link.name}'"):
        store.forget_user("user-1")
    assert (elsewhere / "part-0.parquet").read_text() == "somebody else's"
    assert store.events().height == 1
    erasure.erase_history(opened(f"{store.path}/events"))
    assert (elsewhere / "part-0.parquet").read_text() == "somebody else's"


def test_a_store_that_is_a_link_itself_is_forgotten_in(tmp_path: Path) -> None:
    Store.create(tmp_path / "real").append_events(
        pl.DataFrame({"user_id": ["user-1", "b"], "item_id": ["i", "i"], "timestamp": [1, 2]})
    )
    (tmp_path / "link").symlink_to(tmp_path / "real")
    assert Store.open(tmp_path / "link").forget_user("user-1").n_removed["events"] == 1
    assert Store.open(tmp_path / "real").events()["user_id"].to_list() == ["b"]


@pytest.mark.parametrize(
    "named", ["../../precious.parquet", "{folder}/precious.parquet", "file://{folder}/precious.parquet"]
)
def test_a_forged_log_cannot_have_files_outside_the_store_removed(tmp_path: Path, named: str) -> None:
    store = Store.create(tmp_path / "store")
    for number in (1, 2):
        store.append_events(pl.DataFrame({"user_id": ["user-1"], "item_id": ["i"], "timestamp": [number]}))
    precious = tmp_path / "precious.parquet"
    precious.write_text("precious")
    path = named.format(folder=tmp_path)
    removal = {"remove": {"path": path, "deletionTimestamp": 1, "dataChange": True}}
    entry = Path(store.path, "events", "_delta_log", f"{1:020}.json")
    entry.write_text(f"{entry.read_text().rstrip()}\n{json.dumps(removal)}\n")
    Path(store.path, "events", DIGESTS_FILE).unlink()
    store.forget_user("user-1")
    assert precious.read_text() == "precious"
    assert store.events().is_empty()


def test_files_that_cannot_be_removed_are_named_and_the_store_is_not_called_damaged(
    uri: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(path: Path) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(erasure, "_unlink", refused)
    with pytest.raises(DataError, match=r"got an error for 'part-.*Permission denied.*The store is in order") as raised:
        erasure.erase_history(opened(uri))
    assert "backup" not in str(raised.value)


def test_nothing_is_removed_if_a_file_of_the_newest_version_is_missing(uri: str) -> None:
    table = opened(uri)
    (needed,) = table.file_names()  # type: ignore[attr-defined]
    Path(uri, needed).unlink()
    before = files(uri)
    with pytest.raises(DataError, match=r"store: expected all files of version 3 .*Nothing was removed"):
        erasure.erase_history(opened(uri))
    assert before <= files(uri)


def test_an_object_store_is_erased_by_age_and_a_clock_that_is_behind_is_an_error(uri: str) -> None:
    erasure._erase_by_age(opened(uri))
    assert _delta.scan(opened(uri), SCHEMA).collect().rows() == [("a", 1)]
    _delta.replace(opened(uri), ROWS)
    for path in Path(uri, "_delta_log").iterdir():
        os.utime(path, (time.time() + 86_400,) * 2)
    with pytest.raises(DataError, match=r"expected no older versions .* older log entries\. The clock of this machine"):
        erasure._erase_by_age(opened(uri))
