from __future__ import annotations

import os
import time
from pathlib import Path

import polars as pl
import pytest

from feature_store import Store
from feature_store.atomic_files import (
    ABANDONED_S,
    remove_abandoned,
    temporary_folder,
    write_bytes_atomically,
    write_text_atomically,
)


def age(path: Path, seconds: float) -> None:
    then = time.time() - seconds
    os.utime(path, (then, then))


def test_a_file_takes_the_place_of_an_older_one_and_leaves_nothing_beside_it(tmp_path: Path) -> None:
    path = tmp_path / "report [1].html"
    for text in ("old", "größer"):
        write_text_atomically(path, text)
        assert path.read_text(encoding="utf-8") == text
    assert list(tmp_path.iterdir()) == [path]


def test_a_write_that_fails_leaves_the_old_file_and_nothing_beside_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "ledger.json"
    write_text_atomically(path, "old")

    def fails(source: Path, target: Path) -> None:
        raise OSError("no space left on device")

    monkeypatch.setattr(os, "replace", fails)
    with pytest.raises(OSError, match="no space left"):
        write_text_atomically(path, "new")
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_bytes_are_written_as_they_are(tmp_path: Path) -> None:
    write_bytes_atomically(tmp_path / "chart.png", b"\x89PNG\r\n")
    assert (tmp_path / "chart.png").read_bytes() == b"\x89PNG\r\n"
    assert len(list(tmp_path.iterdir())) == 1


def test_a_link_is_written_through(tmp_path: Path) -> None:
    target = tmp_path / "target.txt"
    link = tmp_path / "link.txt"
    link.symlink_to(target)
    write_text_atomically(link, "text")
    assert link.is_symlink()
    assert target.read_text() == "text"


def test_only_what_nobody_has_written_to_for_long_is_removed(tmp_path: Path) -> None:
    old_file, old_folder, busy_folder, new_file = (tmp_path / name for name in ("a", "b", "c", "d"))
    for path in (old_file, new_file):
        path.write_text("")
    for folder in (old_folder, busy_folder):
        folder.mkdir()
        (folder / "part").write_text("")
    for path in (old_file, old_folder / "part", old_folder, busy_folder):
        age(path, ABANDONED_S + 60)
    remove_abandoned([old_file, old_folder, busy_folder, new_file, tmp_path / "gone already"])
    assert sorted(tmp_path.iterdir()) == [busy_folder, new_file]


def test_an_atomic_write_removes_what_killed_ones_left_of_the_same_file(tmp_path: Path) -> None:
    left = tmp_path / f".a.json-{'0' * 32}"
    of_another = tmp_path / f".b.json-{'0' * 32}"
    of_the_user = tmp_path / ".a.json-old"
    for path in (left, of_another, of_the_user):
        path.write_text("half")
        age(path, ABANDONED_S + 60)
    write_text_atomically(tmp_path / "a.json", "{}")
    assert sorted(path.name for path in tmp_path.iterdir()) == [".a.json-old", of_another.name, "a.json"]


@pytest.mark.parametrize(("mask", "mode"), [(0o022, 0o644), (0o027, 0o640), (0o002, 0o664)], ids=oct)
def test_files_of_a_store_follow_the_umask(tmp_path: Path, mask: int, mode: int) -> None:
    before = os.umask(mask)
    try:
        write_text_atomically(tmp_path / "report.html", "text")
        store = Store.create(tmp_path / "store")
        store.append_items(pl.DataFrame({"item_id": ["i", "j"], "title": ["ink", "paper"]}))
        store.append_items(pl.DataFrame({"item_id": ["i"], "title": ["red ink"]}))
        store.append_events(pl.DataFrame({"user_id": ["u-12345"], "item_id": ["i"], "timestamp": [1]}))
        store.forget_user("u-12345")
    finally:
        os.umask(before)
    modes = {path.name: path.stat().st_mode & 0o777 for path in tmp_path.rglob("*") if path.is_file()}
    assert set(modes.values()) == {mode}, modes
    folders = {path.stat().st_mode & 0o777 for path in tmp_path.rglob("*") if path.is_dir()}
    assert folders == {mode | ((mode & 0o444) >> 2)}


def test_a_temporary_folder_takes_abandoned_ones_of_its_prefix_away(tmp_path: Path) -> None:
    kept = tmp_path / "kept"
    names = ("work-[1]-left_one", "work-[1]-new_one_", "work-1-left_one", "work-[1]-old")
    folders = [tmp_path / name for name in names]
    for folder in (kept, *folders):
        folder.mkdir()
    (tmp_path / "work-[1]-link_one").symlink_to(kept)
    for folder in (kept, folders[0], *folders[2:]):
        age(folder, ABANDONED_S + 60)
    with temporary_folder("work-[1]-", tmp_path) as name:
        assert Path(name).parent == tmp_path
    assert set(tmp_path.iterdir()) == {kept, *folders[1:], tmp_path / "work-[1]-link_one"}
