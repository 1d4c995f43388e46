"""The texts under which an item's vector may be cached: earlier ones, and those of other choices of columns."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest

from counting_encoder import DIM, FINGERPRINT, CountingEncoder
from feature_store import Store
from recmem.forgetting import forget as forget_module
from recmem.forgetting.forget import forget_item
from recmem.forgetting.item_texts import cached_texts_of
from recmem.text.item_text import item_text
from recmem.text.vector_cache import VECTORS_FOLDER, VectorCache


@pytest.fixture(autouse=True)
def no_registry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(forget_module, "registered_versions", dict)


def cached(store: Store, fingerprint: str = FINGERPRINT) -> VectorCache:
    return VectorCache(Path(store.path) / VECTORS_FOLDER, fingerprint, DIM)


def described(folder: Path, *titles: str) -> Store:
    """A store whose item "pen" has had these titles, each of them cached."""
    store = Store.create(folder / "store")
    for title in titles:
        store.append_items(pl.DataFrame({"item_id": ["pen", "ink"], "title": [title, "red ink"], "brand": ["A", "B"]}))
        cached(store).fill(item_text(store.items()), CountingEncoder())
    return store


def test_vectors_of_earlier_texts_are_removed_with_the_item(tmp_path: Path) -> None:
    store = described(tmp_path, "a pen", "a blue pen", "the best pen")
    assert len(cached(store)) == 4
    assert forget_item(store, "pen").vectors == 3
    assert cached(store).known(["red ink. brand: B"]) == ["red ink. brand: B"]
    assert len(cached(store)) == 1


def test_a_vector_that_another_item_needs_now_stays(tmp_path: Path) -> None:
    store = described(tmp_path, "a pen", "the best pen")
    store.append_items(pl.DataFrame({"item_id": ["twin"], "title": ["a pen"], "brand": ["A"]}))
    assert forget_item(store, "pen").vectors == 1
    assert cached(store).known(["a pen. brand: A", "the best pen. brand: A"]) == ["a pen. brand: A"]


def test_a_vector_of_a_model_that_reads_other_columns_is_removed(tmp_path: Path) -> None:
    store = described(tmp_path, "a pen")
    cached(store, "e" * 16).fill(item_text(store.items(), ["title"]), CountingEncoder(fingerprint="e" * 16))
    assert cached_texts_of(store, "pen") == ["a pen", "a pen. brand: A"]
    assert forget_item(store, "pen").vectors == 2
    assert cached(store, "e" * 16).known(["a pen", "red ink"]) == ["red ink"]


def test_an_item_that_is_not_stored_takes_nothing_along(tmp_path: Path) -> None:
    store = described(tmp_path, "a pen")
    assert forget_item(store, "pencil").vectors == 0
    assert len(cached(store)) == 2
    assert cached_texts_of(Store.create(tmp_path / "empty"), "pen") == []


def test_half_a_file_of_a_killed_writer_is_passed_over(tmp_path: Path) -> None:
    store = described(tmp_path, "a pen", "the best pen")
    Path(store.path, "items", "part-half.parquet").write_bytes(b"PAR1")
    assert forget_item(store, "pen").vectors == 2
