"""Digests of a table's files: a changed file is named before anything of it is used."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest

from feature_store import EVENTS, ITEMS, DataError, Store
from feature_store.noted_digests import DIGESTS_FILE, TableDigests, log_entry, log_version


def filled(folder: Path) -> Store:
    store = Store.create(folder / "store")
    store.append_items(pl.DataFrame({"item_id": ["i", "j"], "title": ["ink", "paper"]}))
    for time in (1, 2):
        store.append_events(pl.DataFrame({"user_id": ["u"], "item_id": ["i"], "timestamp": [time]}))
    return store


def flip(path: Path, place: int = 10) -> None:
    content = bytearray(path.read_bytes())
    content[place] ^= 4
    path.write_bytes(content)


def data_file(store: Store, table: str) -> Path:
    return sorted(Path(store.path, table).glob("*.parquet"))[0]


def test_every_file_that_an_append_writes_is_noted(tmp_path: Path) -> None:
    store = filled(tmp_path)
    for table in (ITEMS, EVENTS):
        folder = Path(store.path) / table.name
        files = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
        assert set(TableDigests(folder).noted().digests) == files - {DIGESTS_FILE}


@pytest.mark.parametrize("separator", ["\u2028", "\u2029", "\x85", "\x0b", "\x1e"])
def test_texts_with_unusual_line_separators_are_stored(tmp_path: Path, separator: str) -> None:
    # The log holds the least and the greatest text of a file.
    store = Store.create(tmp_path / "store")
    title = f"ink{separator}and paper"
    receipt = store.append_items(pl.DataFrame({"item_id": [f"i{separator}"], "title": [title]}))
    assert receipt.n_new == 1
    assert Store.open(store.path).items()["title"].to_list() == [title]


@pytest.mark.parametrize("table", [ITEMS, EVENTS], ids=["items", "events"])
def test_a_changed_data_file_is_refused_and_named(tmp_path: Path, table: object) -> None:
    store = filled(tmp_path)
    name = ITEMS.name if table is ITEMS else EVENTS.name
    changed = data_file(store, name)
    flip(changed, changed.stat().st_size // 2)
    wanted = rf"^store\.{name}: expected '{changed.name}' as it was written .* got other content\. .* from a backup"
    with pytest.raises(DataError, match=wanted):
        Store.open(store.path).read(ITEMS if table is ITEMS else EVENTS)


def test_a_changed_log_entry_is_refused_although_it_is_still_json(tmp_path: Path) -> None:
    store = filled(tmp_path)
    entry = Path(store.path, "events", log_entry(2))
    entry.write_text(entry.read_text().replace('{"add"', '{"adf"'))
    with pytest.raises(DataError, match=r"^store\.events: expected '_delta_log/0+2\.json' as it was written"):
        Store.open(store.path).events()
    with pytest.raises(DataError, match="as it was written"):
        Store.open(store.path).append_events(pl.DataFrame({"user_id": ["u"], "item_id": ["i"], "timestamp": [2]}))


def test_a_lost_log_entry_is_refused(tmp_path: Path) -> None:
    store = filled(tmp_path)
    Path(store.path, "events", log_entry(2)).unlink()
    with pytest.raises(DataError, match=r"^store\.events: expected version 2, which was written, got version 1"):
        Store.open(store.path).events()


def test_a_changed_file_is_not_rewritten_as_if_it_were_right(tmp_path: Path) -> None:
    store = filled(tmp_path)
    flip(data_file(store, "items"), 300)
    with pytest.raises(DataError, match=r"store\.items: expected .* as it was written"):
        Store.open(store.path).append_items(pl.DataFrame({"item_id": ["i"], "title": ["red ink"]}))


def test_nothing_is_forgotten_in_a_changed_file(tmp_path: Path) -> None:
    store = filled(tmp_path)
    flip(data_file(store, "events"), 300)
    with pytest.raises(DataError, match=r"store\.events: expected .* as it was written"):
        Store.open(store.path).forget_user("u")


def test_a_pinned_version_is_checked_too(tmp_path: Path) -> None:
    store = filled(tmp_path)
    for path in Path(store.path, "events").glob("*.parquet"):
        flip(path, 300)
    with pytest.raises(DataError, match="as it was written"):
        Store.open(store.path).events(1)


def test_a_store_without_digests_is_read(tmp_path: Path) -> None:
    store = filled(tmp_path)
    for path in Path(store.path).rglob(DIGESTS_FILE):
        path.unlink()
    assert Store.open(store.path).events().height == 2
    store.append_events(pl.DataFrame({"user_id": ["u"], "item_id": ["i"], "timestamp": [3]}))
    assert len(TableDigests(Path(store.path) / "events").noted().digests) == 2


def test_a_damaged_note_is_left_out_and_counted(tmp_path: Path) -> None:
    store = filled(tmp_path)
    notes = Path(store.path, "events", DIGESTS_FILE)
    flip(notes, 5)
    noted = TableDigests(notes.parent).noted()
    assert noted.n_damaged == 1
    assert Store.open(store.path).events().height == 2


def test_a_half_written_note_waits_for_its_end(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("rows")
    digests = TableDigests(tmp_path)
    digests.note(["data"])
    whole = (tmp_path / DIGESTS_FILE).read_bytes()
    (tmp_path / DIGESTS_FILE).write_bytes(whole + whole[:20])
    assert digests.noted().digests.keys() == {"data"}
    assert digests.noted().n_damaged == 0
    with (tmp_path / DIGESTS_FILE).open("ab") as file:
        file.write(whole[20:])
    assert digests.noted().n_damaged == 0


def test_a_file_that_was_found_unchanged_is_read_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "data").write_text("rows")
    TableDigests(tmp_path).note(["data"])
    digests = TableDigests(tmp_path)
    digests.check(["data"], digests.noted())

    def unexpected(path: Path) -> str:
        raise AssertionError(path)

    monkeypatch.setattr("feature_store.noted_digests.file_digest", unexpected)
    digests.check(["data"], digests.noted())
    (tmp_path / "data").write_text("other rows")
    with pytest.raises(AssertionError):
        digests.check(["data"], digests.noted())


def test_versions_are_read_from_the_names_of_the_log() -> None:
    assert log_version(log_entry(12)) == 12
    assert log_version(f"_delta_log/{7:020}.checkpoint.parquet") == 7
    assert log_version("_delta_log/_last_checkpoint") == -1
    assert log_version("part-0.parquet") == -1
