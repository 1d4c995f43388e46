"""Derived files: read as they were written or not at all, bounded, and gone with a forgotten id."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from feature_store import derived_files
from feature_store.derived_files import DERIVED_FOLDER, DerivedFiles, remove_derived


def only_file(store: Path) -> Path:
    (path,) = (path for path in (store / DERIVED_FOLDER).rglob("*") if path.is_file())
    return path


def test_a_file_is_read_as_it_was_written_by_another_process_too(tmp_path: Path) -> None:
    files = DerivedFiles(tmp_path)
    assert files.read("models") is None
    assert files.write("models", b"weights")
    assert files.read("models") == b"weights"
    assert DerivedFiles(tmp_path).read("models") == b"weights"


@pytest.mark.parametrize("damage", [b"", b"weights", b"x" * 40])
def test_a_damaged_file_counts_as_missing_and_can_be_written_again(tmp_path: Path, damage: bytes) -> None:
    files = DerivedFiles(tmp_path)
    files.write("models", b"weights")
    only_file(tmp_path).write_bytes(damage)
    assert files.read("models") is None
    assert files.write("models", b"weights")
    assert files.read("models") == b"weights"


def test_the_files_that_were_not_used_for_longest_are_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(derived_files, "MOST_FILES", 2)
    files = DerivedFiles(tmp_path)
    for second, name in enumerate(("first", "second")):
        files.write(name, b"weights")
        os.utime(only_file_named(tmp_path, name), (second, second))
    files.read("first")
    files.write("third", b"weights")
    assert [name for name in ("first", "second", "third") if files.read(name)] == ["first", "third"]


def test_all_files_together_stay_within_the_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(derived_files, "MOST_BYTES", 100)
    files = DerivedFiles(tmp_path)
    assert files.write("small", b"w" * 40)
    os.utime(only_file(tmp_path), (1, 1))
    assert files.write("other", b"w" * 40)
    assert files.read("small") is None
    assert not files.write("large", b"w" * 101)
    assert files.read("other") == b"w" * 40


def test_after_forgetting_a_process_that_ran_before_writes_nothing(tmp_path: Path) -> None:
    before = DerivedFiles(tmp_path)
    before.write("models", b"of all users")
    remove_derived(tmp_path)
    assert not before.write("models", b"of all users")
    after = DerivedFiles(tmp_path)
    assert after.read("models") is None
    assert not before.write("models", b"of all users")
    assert after.read("models") is None
    assert after.write("models", b"of the others")
    assert only_file(tmp_path).read_bytes().endswith(b"of the others")


def test_a_removal_that_was_killed_is_completed_by_the_next(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    DerivedFiles(tmp_path).write("models", b"of all users")

    def killed(path: Path) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(derived_files.shutil, "rmtree", killed)
        with pytest.raises(KeyboardInterrupt):
            remove_derived(tmp_path)
    assert DerivedFiles(tmp_path).read("models") is None
    remove_derived(tmp_path)
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


def test_a_file_that_another_program_has_left_is_removed_too(tmp_path: Path) -> None:
    DerivedFiles(tmp_path).write("models", b"of all users")
    (tmp_path / DERIVED_FOLDER / ".DS_Store").write_bytes(b"")
    remove_derived(tmp_path)
    assert not list((tmp_path / DERIVED_FOLDER).iterdir())


def test_a_store_that_cannot_be_written_has_no_derived_files(tmp_path: Path) -> None:
    # A file in place of the folder: permissions do not bind root.
    (tmp_path / DERIVED_FOLDER).write_bytes(b"")
    files = DerivedFiles(tmp_path)
    assert not files.write("models", b"weights")
    assert files.read("models") is None
    remove_derived(tmp_path)
    assert (tmp_path / DERIVED_FOLDER).is_file()


def only_file_named(store: Path, name: str) -> Path:
    (path,) = (store / DERIVED_FOLDER).rglob(name)
    return path
