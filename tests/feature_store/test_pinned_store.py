"""A pinned store reads the same whatever others append; what was forgotten is said to be forgotten."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest

import small_training
from feature_store import DataError, Store
from feature_store.pinned_store import PinnedStore


@pytest.fixture
def store(tmp_path: Path) -> Store:
    store = Store.create(tmp_path / "a store")
    store.append_items(small_training.items())
    store.append_events(small_training.events())
    return store


def later_event() -> pl.DataFrame:
    return pl.DataFrame({"user_id": ["late"], "item_id": ["libssl-dev"], "timestamp": ["2027-01-01"]})


def test_appends_of_others_change_nothing(store: Store) -> None:
    pinned = PinnedStore.newest(store)
    before = (pinned.items(), pinned.events(), pinned.versions(), pinned.digest())
    store.append_events(later_event())
    # A new column gives the table another id in Delta: the digest must not follow.
    store.append_items(pl.DataFrame({"item_id": ["new"], "title": ["A library"], "price": [3]}))
    store.append_items(pl.DataFrame({"item_id": ["libssl-dev"], "title": ["Another title"]}))
    store.append_impressions(
        pl.DataFrame({"impression_id": ["1"], "user_id": ["u"], "timestamp": [1], "item_id": ["new"], "label": [1]})
    )
    after = (pinned.items(), pinned.events(), pinned.versions(), pinned.digest())
    assert after[0].equals(before[0])
    assert after[1].equals(before[1])
    assert after[2:] == before[2:]
    assert pinned.impressions().height == 0
    assert store.digest() != pinned.digest()


def test_digest_is_that_of_the_store_when_it_was_pinned(store: Store) -> None:
    pinned = PinnedStore.newest(store)
    assert pinned.digest() == store.digest()
    again = PinnedStore.at(store, pinned.versions(), pinned.digest())
    assert again.events().equals(pinned.events())
    assert again.digest() == pinned.digest()


def test_a_version_that_forgetting_erased_is_said_to_be_forgotten(store: Store) -> None:
    pinned = PinnedStore.newest(store)
    store.forget_user("curl")
    with pytest.raises(
        DataError,
        match=r"store\.events: expected version 1, which this training reads, got .*forgot someone.*run it again",
    ):
        pinned.events()


def test_a_pinned_store_is_not_written_to(store: Store) -> None:
    with pytest.raises(ValueError, match="store: expected a store to append events to, got a pinned one"):
        PinnedStore.newest(store).append_events(later_event())
    assert store.events().height == small_training.events().height
