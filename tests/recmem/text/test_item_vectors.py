"""Vectors of items in place of an encoder's: found by id, zeros for an item without one, and added to."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
import torch

from feature_store import DataError
from feature_store.item_vectors import space_fingerprint
from feature_store.vector_checks import VectorRows, check_vectors
from recmem.text.item_vectors import ItemVectors, given_rows
from recmem.text.unit_vectors import exact_units


def rows(ids: list[object], numbers: np.ndarray) -> VectorRows:
    return check_vectors(pl.DataFrame({"item_id": ids, "vector": pl.Series(numbers.astype(np.float32))}))


def drawn(n: int, dim: int = 4, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(n, dim))


def test_an_item_has_its_vector_as_an_encoders_would_be_read_and_an_unknown_one_zeros() -> None:
    numbers = drawn(3, dim=384)
    units = (numbers / np.linalg.norm(numbers, axis=1, keepdims=True)).astype(np.float32)
    vectors = ItemVectors.of("clip", rows(["c", "a", "b"], units))
    found = vectors.of_ids(pl.Series(["a", "z", "c"]))
    expected = exact_units(torch.from_numpy(units).half().float())
    assert torch.equal(found, torch.stack([expected[1], torch.zeros(384), expected[0]]))
    assert vectors.knows(pl.Series(["a", "z", None])).tolist() == [True, False, False]
    assert (vectors.dim, vectors.fingerprint) == (384, space_fingerprint("clip", 384))


def test_many_ids_and_single_ones_are_found_alike() -> None:
    ids = [f"i{number}" for number in range(3000)]
    vectors = ItemVectors.of("clip", rows(ids, drawn(3000)))
    together = vectors.of_ids(pl.Series(ids))
    for number in (0, 17, 2999):
        assert torch.equal(vectors.of_ids(pl.Series([ids[number]]))[0], together[number])


def test_ids_are_compared_in_the_type_of_the_vectors() -> None:
    vectors = ItemVectors.of("clip", rows([7, 8], drawn(2)))
    assert vectors.knows(pl.Series(["7", "007", "8"])).tolist() == [True, False, True]


def test_added_vectors_are_found_and_new_ones_replace_old_ones() -> None:
    first = ItemVectors.of("clip", rows(["b", "a"], drawn(2)))
    new = rows(["a", "c"], drawn(2, seed=1))
    assert first.n_changed(new) == 2
    both = first.with_added(new)
    assert both.ids.to_list() == ["a", "b", "c"]
    assert torch.equal(both.of_ids(pl.Series(["b"])), first.of_ids(pl.Series(["b"])))
    assert torch.equal(both.of_ids(pl.Series(["a", "c"])), ItemVectors.of("clip", new).of_ids(pl.Series(["a", "c"])))
    assert both.n_changed(new) == 0
    assert first.ids.to_list() == ["a", "b"]


def test_without_vectors_every_item_has_zeros_and_the_first_ones_can_be_added() -> None:
    empty = ItemVectors.empty("clip", 4)
    assert not empty.of_ids(pl.Series(["a"])).any()
    assert empty.with_added(rows([1], drawn(1))).knows(pl.Series([1])).tolist() == [True]


def test_vectors_of_another_length_name_or_model_are_not_added() -> None:
    ids: list[object] = [f"i{number}" for number in range(40)]
    vectors = ItemVectors.of("clip", rows(ids, drawn(40, dim=64)))
    with pytest.raises(DataError, match="expected 64 numbers, as the vectors of 'clip' have, got 4"):
        vectors.with_added(rows(ids, drawn(40)))
    with pytest.raises(DataError, match="got ones of another model"):
        vectors.with_added(rows(ids, drawn(40, dim=64, seed=1)))
    frame = pl.DataFrame({"item_id": ["x"], "vector": [[1.0] * 64]})
    with pytest.raises(DataError, match=r"vectors_name: expected 'clip', .* got 'dino'"):
        given_rows(frame, vectors, "dino")
    assert given_rows(frame, vectors, "clip").ids.to_list() == ["x"]
