"""The texts under which a user's vectors may be cached: interests of now and of before."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest

from counting_encoder import DIM, FINGERPRINT, CountingEncoder
from feature_store import Store
from recmem.forgetting import forget as forget_module
from recmem.forgetting.forget import forget_item, forget_user
from recmem.forgetting.interest_texts import cached_interests_of
from recmem.text.vector_cache import VECTORS_FOLDER, VectorCache

TEXTS = ["jazz", "tea", "opera", "a pen", "rock"]


@pytest.fixture(autouse=True)
def no_registry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(forget_module, "registered_versions", dict)


def declared(folder: Path) -> tuple[Store, VectorCache]:
    """A store in which "u" has declared jazz, then tea, then a pen, which an item is too; "v" tea as well, and rock."""
    store = Store.create(folder / "store")
    store.append_items(pl.DataFrame({"item_id": ["pen"], "title": ["a pen"]}))
    store.append_users(pl.DataFrame({"user_id": ["u", "v"], "interests": ["jazz.", "tea"]}))
    store.append_users(pl.DataFrame({"user_id": ["u"], "interests": ["opera"]}))
    more = {"user_id": ["u", "u", "v"], "timestamp": ["2026-01-01", "2026-01-02", "2026-01-01"]}
    store.append_users(pl.DataFrame(more | {"interests": ["tea", "a  pen", "rock"]}))
    cache = VectorCache(Path(store.path) / VECTORS_FOLDER, FINGERPRINT, DIM)
    cache.fill(TEXTS, CountingEncoder())
    return store, cache


def test_vectors_of_present_and_earlier_interests_are_removed_with_the_user(tmp_path: Path) -> None:
    store, cache = declared(tmp_path)
    assert cached_interests_of(store, "u") == ["jazz", "opera"]
    receipt = forget_user(store, "u")
    assert receipt.vectors == 2
    assert receipt.rows["users"] == 3
    assert sorted(cache.known(TEXTS)) == ["a pen", "rock", "tea"]
    assert store.users()["user_id"].unique().to_list() == ["v"]


def test_a_user_without_a_row_takes_nothing_along(tmp_path: Path) -> None:
    store, cache = declared(tmp_path)
    assert cached_interests_of(store, "stranger") == []
    assert forget_user(store, "stranger").vectors == 0
    assert len(cache) == len(TEXTS)


def test_vectors_of_each_interest_of_a_list_are_removed_too(tmp_path: Path) -> None:
    store = Store.create(tmp_path / "store")
    store.append_items(pl.DataFrame({"item_id": ["pen"], "title": ["a pen"]}))
    store.append_users(pl.DataFrame({"user_id": ["u", "v"], "interests": ["jazz, tea", "tea\nrock"]}))
    cache = VectorCache(Path(store.path) / VECTORS_FOLDER, FINGERPRINT, DIM)
    cache.fill([*TEXTS, "jazz, tea", "tea rock"], CountingEncoder())
    assert forget_user(store, "u").vectors == 2
    assert sorted(cache.known([*TEXTS, "jazz, tea", "tea rock"])) == sorted({*TEXTS, "tea rock"} - {"jazz"})


def test_vectors_of_entries_of_a_line_that_is_no_list_are_removed_too(tmp_path: Path) -> None:
    line = "我喜欢足球比赛,特别是英超联赛的精彩进球"
    listed = "爵士乐、黑胶唱片、歌剧"
    # As entries and lines were told apart before commas of other scripts were.
    earlier = [*line.split(","), listed]
    store = Store.create(tmp_path / "store")
    store.append_users(pl.DataFrame({"user_id": ["u"], "interests": [f"{line}\n{listed}"]}))
    cache = VectorCache(Path(store.path) / VECTORS_FOLDER, FINGERPRINT, DIM)
    cache.fill(["jazz", *earlier], CountingEncoder())
    assert forget_user(store, "u").vectors == 3
    assert sorted(cache.known(["jazz", *earlier])) == ["jazz"]


def test_vectors_of_facts_stay_they_are_words_of_several_items(tmp_path: Path) -> None:
    store, cache = declared(tmp_path)
    store.append_facts(pl.DataFrame({"subject": ["pen"], "relation": ["topic"], "object": ["jazz"]}))
    cache.fill(["topic: jazz"], CountingEncoder())
    forget_user(store, "u")
    assert sorted(cache.known([*TEXTS, "topic: jazz"])) == ["a pen", "rock", "tea", "topic: jazz"]
    forget_item(store, "pen")
    assert store.facts().is_empty()
    assert sorted(cache.known([*TEXTS, "topic: jazz"])) == ["rock", "tea", "topic: jazz"]
