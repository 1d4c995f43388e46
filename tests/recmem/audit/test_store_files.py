"""The audit of a store's files: changed, missing and unknown ones are distinguished."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest

from command_line import DONE, REFUSED, WRONG_USE, Outcome
from counting_encoder import DIM, FINGERPRINT, CountingEncoder
from feature_store import DataError, Store
from feature_store.noted_digests import DIGESTS_FILE
from recmem.audit.store_files import check_files
from recmem.text.vector_cache import VECTORS_FOLDER, VectorCache
from recmem.text.vector_parts import text_hash


@pytest.fixture
def store(tmp_path: Path) -> Store:
    store = Store.create(tmp_path / "store")
    for title in ("ink", "red ink"):
        store.append_items(pl.DataFrame({"item_id": ["i", "j"], "title": [title, "paper"]}))
    store.append_events(pl.DataFrame({"user_id": ["u"], "item_id": ["i"], "timestamp": [1]}))
    VectorCache(tmp_path / "store" / VECTORS_FOLDER, FINGERPRINT, DIM).fill(["ink", "paper"], CountingEncoder())
    return store


def change(path: Path, place: int | None = None) -> str:
    content = bytearray(path.read_bytes())
    content[len(content) // 2 if place is None else place] ^= 1
    path.write_bytes(content)
    return path.name


def test_an_untouched_store_is_as_written(store: Store) -> None:
    found = check_files(store)
    assert found.is_as_written
    # Three data files, six log entries (rejected has one), one part of vectors.
    assert (found.n_unchanged, found.without_digest, found.n_damaged_notes) == (10, (), 0)


def test_changed_files_are_named_even_of_older_versions_and_of_vectors(store: Store) -> None:
    root = Path(store.path)
    newest = set(store.file_names(next(table for table in store.digests() if table.name == "items")))
    older = next(path for path in (root / "items").glob("*.parquet") if path.name not in newest)
    entry = root / "events" / "_delta_log" / f"{1:020}.json"
    part = next((root / VECTORS_FOLDER).rglob("part-*"))
    for path in (older, entry):
        change(path)
    change(part, part.read_bytes().index(text_hash("ink")))
    found = check_files(Store.open(store.path))
    assert not found.is_as_written
    wanted = {f"items/{older.name}", f"events/_delta_log/{entry.name}", f"{VECTORS_FOLDER}/{FINGERPRINT}/{part.name}"}
    assert set(found.changed) == wanted


def test_a_missing_file_of_the_newest_version_is_named(store: Store) -> None:
    (part,) = Path(store.path, "events").glob("*.parquet")
    part.unlink()
    assert check_files(store).missing == (f"events/{part.name}",)


def test_a_lost_log_entry_is_a_problem(store: Store) -> None:
    Path(store.path, "events", "_delta_log", f"{1:020}.json").unlink()
    (problem,) = check_files(store).problems
    assert "expected version 1, which was written, got version 0" in problem


def test_files_without_a_digest_are_counted_and_can_be_recorded(store: Store) -> None:
    for path in Path(store.path).rglob(DIGESTS_FILE):
        path.unlink()
    outcome = Outcome("audit", "--files", "--store", store.path)
    assert outcome.code == DONE
    assert "Files: 1 as written, 0 changed or missing, 9 without a digest." in outcome.out
    assert "--record" in outcome.out
    assert "Noted the digests of 9 files" in Outcome("audit", "--files", "--record", "--store", store.path).out
    assert check_files(store).n_unchanged == 10


def test_the_command_names_a_changed_file_and_exits_with_1(store: Store) -> None:
    name = change(next(Path(store.path, "events").glob("*.parquet")))
    outcome = Outcome("audit", "--files", "--store", store.path)
    assert outcome.code == REFUSED
    assert f"store: expected 'events/{name}' as it was written, got other content. Restore it" in outcome.err


def test_damaged_digests_do_not_accuse_the_files(store: Store) -> None:
    notes = Path(store.path, "events", DIGESTS_FILE)
    notes.write_text(notes.read_text().replace("a", "b", 1).replace("c", "d", 1))
    outcome = Outcome("audit", "--files", "--store", store.path)
    assert outcome.code == DONE
    assert "cannot be read any more; the files themselves are not affected" in outcome.err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((), "--model: expected a model, or --files to check the store's files, got neither."),
        (("--record",), "--record: expected --files, got none."),
        (("--files",), "--store: expected the store whose files to check, got none."),
    ],
)
def test_wrong_use_is_an_error(arguments: tuple[str, ...], words: str) -> None:
    outcome = Outcome("audit", *arguments)
    assert outcome.code == WRONG_USE
    assert words in outcome.err


def test_an_object_store_checks_its_files_itself() -> None:
    with pytest.raises(DataError, match=r"store: expected a local folder, got 's3://bucket/shop'"):
        check_files(Store("s3://bucket/shop"))
