"""Vectors of items in the store: their names, what may be added to which, and that they are forgotten with the item."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest

from feature_store.data_errors import DataError
from feature_store.item_vectors import (
    append_vectors,
    checked_vectors,
    space_fingerprint,
    space_name,
    stored_spaces,
    stored_vectors,
)
from feature_store.receipts import Receipt
from feature_store.schema import ITEM_VECTORS, ITEMS
from feature_store.store import Store

N_ITEMS = 30


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store.create(tmp_path / "store")


def vectors(dim: int = 8, *, seed: int = 0, n: int = N_ITEMS) -> pl.DataFrame:
    numbers = np.random.default_rng(seed).normal(size=(n, dim)).astype(np.float32)
    return pl.DataFrame({"item_id": [f"i{row:02}" for row in range(n)], "vector": pl.Series(numbers)})


def add(store: Store, table: pl.DataFrame, name: str = "clip") -> Receipt:
    return append_vectors(store, checked_vectors(store, table, name))


def counts(receipt: Receipt) -> tuple[int, int, int]:
    return receipt.n_in, receipt.n_new, receipt.n_duplicate


def test_what_was_added_is_read_back_at_unit_length(store: Store) -> None:
    assert counts(add(store, vectors())) == (N_ITEMS, N_ITEMS, 0)
    ids, units = stored_vectors(store, "clip")
    given = vectors()["vector"].to_numpy()
    expected = given / np.linalg.norm(given, axis=1, keepdims=True)
    assert ids.to_list() == vectors()["item_id"].to_list()
    assert units == pytest.approx(expected, abs=5e-4)


def test_a_store_without_vectors_is_as_it_was(store: Store) -> None:
    assert ITEM_VECTORS.name not in store.versions()
    assert stored_spaces(store) == {}
    assert len(stored_vectors(store, "clip")[0]) == 0
    assert not (Path(store.path) / ITEM_VECTORS.name).exists()


def test_a_new_vector_takes_the_place_of_the_old_one_and_an_equal_one_changes_nothing(store: Store) -> None:
    add(store, vectors())
    assert counts(add(store, vectors())) == (N_ITEMS, 0, N_ITEMS)
    version = store.versions()[ITEM_VECTORS.name]
    numbers = vectors()["vector"].to_numpy().copy()
    numbers[3] = -numbers[3]
    changed = vectors().with_columns(vector=pl.Series(numbers))
    assert counts(add(store, changed)) == (N_ITEMS, 1, N_ITEMS - 1)
    assert store.versions()[ITEM_VECTORS.name] == version + 1
    after = stored_vectors(store, "clip")[1]
    before = checked_vectors(store, vectors(), "other").rows.units
    assert np.array_equal(after[3], -before[3])
    assert np.array_equal(np.delete(after, 3, axis=0), np.delete(before, 3, axis=0))


def test_vectors_of_two_names_lie_beside_each_other(store: Store) -> None:
    add(store, vectors(8), "a")
    add(store, vectors(4, n=10), "b")
    assert stored_spaces(store) == {"a": N_ITEMS, "b": 10}
    assert stored_vectors(store, "b")[1].shape == (10, 4)
    assert stored_vectors(store, "a")[1].shape == (N_ITEMS, 8)


def test_a_fingerprint_is_of_name_and_length(store: Store) -> None:
    prints = {space_fingerprint(name, dim) for name in ("a", "b") for dim in (8, 9)}
    assert len(prints) == 4
    assert space_fingerprint("a", 8) == space_fingerprint("a", 8)
    assert all(len(each) == 16 for each in prints)


def test_vectors_of_another_length_are_refused_under_the_same_name(store: Store) -> None:
    add(store, vectors(8))
    with pytest.raises(DataError, match=r"expected 8 numbers, as the store's vectors of 'clip' have, .* two models"):
        checked_vectors(store, vectors(9), "clip")


def test_vectors_of_another_model_are_refused_where_enough_items_have_both(store: Store) -> None:
    add(store, vectors())
    with pytest.raises(DataError, match=r"another model: the median cosine .* over 30 items that have both"):
        checked_vectors(store, vectors(seed=1), "clip")
    few = vectors(seed=1).head(19)
    assert checked_vectors(store, few, "clip").rows.ids.len() == 19


def test_vectors_of_none_of_the_items_are_refused_with_the_likely_cause(store: Store) -> None:
    store.append(ITEMS, pl.DataFrame({"item_id": ["I00", "I01"], "title": ["a", "b"]}))
    with pytest.raises(DataError, match=r"got none of them, such as 'i00'\. Likely cause: upper and lower case"):
        checked_vectors(store, vectors(), "clip")


def test_later_vectors_may_be_of_new_items_alone(store: Store) -> None:
    store.append(ITEMS, pl.DataFrame({"item_id": ["i00", "i01"], "title": ["a", "b"]}))
    add(store, vectors())
    new = vectors(n=2).with_columns(item_id=pl.Series(["new", "newer"]))
    assert counts(add(store, new)) == (2, 2, 0)


def test_ids_follow_the_type_of_the_items(store: Store) -> None:
    store.append(ITEMS, pl.DataFrame({"item_id": ["1", "2"], "title": ["a", "b"]}))
    add(store, pl.DataFrame({"item_id": [1, 2], "vector": [[1.0], [2.0]]}))
    assert stored_vectors(store, "clip")[0].to_list() == ["1", "2"]


def test_columns_that_are_not_read_are_named(store: Store) -> None:
    receipt = add(store, vectors().with_columns(model=pl.lit("x")))
    assert any("'model'" in warning for warning in receipt.warnings)


def test_without_a_name_the_stores_only_one_is_taken_else_that_of_the_file(store: Store) -> None:
    assert space_name(store, "", "exports/clip-v1.5.parquet") == "clip-v1.5"
    assert space_name(store, "", "s3://bucket/clip.arrow?versionId=3") == "clip"
    assert space_name(store, "", vectors()) == "vectors"
    add(store, vectors(), "clip-2026-11-27")
    assert space_name(store, "", "clip-2026-11-28.parquet") == "clip-2026-11-27"
    assert space_name(store, "new", "clip-2026-11-28.parquet") == "new"
    add(store, vectors(4), "other")
    assert space_name(store, "", "clip-2026-11-28.parquet") == "clip-2026-11-28"


@pytest.mark.parametrize("name", [" ", "a\nb", "x" * 201])
def test_a_name_is_a_short_plain_one(store: Store, name: str) -> None:
    with pytest.raises(DataError, match="vectors_name: expected a name of at most 200 characters"):
        space_name(store, name, "file.parquet")


def test_an_item_is_forgotten_with_its_vectors(store: Store) -> None:
    add(store, vectors(), "a")
    add(store, vectors(4), "b")
    assert store.forget_item("i03").n_removed[ITEM_VECTORS.name] == 2
    assert stored_spaces(store) == {"a": N_ITEMS - 1, "b": N_ITEMS - 1}
    assert "i03" not in store.read(ITEM_VECTORS)["item_id"].to_list()


def test_items_without_any_text_are_taken_beside_vectors_only(store: Store) -> None:
    items = pl.DataFrame({"item_id": ["a", "b"]})
    with pytest.raises(DataError, match="at least one text column"):
        store.append(ITEMS, items)
    assert store.append(ITEMS.without_texts(), items).n_new == 2
    assert store.items()["item_id"].sort().to_list() == ["a", "b"]
