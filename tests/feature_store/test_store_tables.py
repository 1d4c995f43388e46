"""The tables below a store: their versions, digests and schemas, and what is refused."""

from __future__ import annotations

import shutil
from pathlib import Path

import polars as pl
import pytest
from deltalake.exceptions import CommitFailedError

from feature_store import _delta
from feature_store.data_errors import DataError
from feature_store.schema import (
    EVENTS,
    REJECTED,
)
from feature_store.store import Store
from store_rows import event_rows, item_rows


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store.create(tmp_path / "shop")


def test_tables_that_do_not_exist_yet_read_as_empty_frames_of_the_right_schema(store: Store) -> None:
    assert store.events().schema == pl.Schema(EVENTS.schema())
    assert store.rejected().schema == pl.Schema(REJECTED.schema())
    assert (store.items().height, store.impressions().height) == (0, 0)
    assert store.versions() == {"rejected": 0}
    store.append_items(item_rows(item_id=[1], title=["a"]))
    assert store.events().schema["item_id"] == pl.Int64


def test_every_version_can_be_read_again_and_others_are_refused(store: Store) -> None:
    store.append_events(event_rows(("u", "i", 1)))
    version = store.append_events(event_rows(("u", "j", 2))).version
    assert version is not None
    assert store.versions()["events"] == version
    assert store.events(version=version - 1)["item_id"].to_list() == ["i"]
    assert sorted(store.events(version=version)["item_id"].to_list()) == ["i", "j"]
    with pytest.raises(DataError, match=r"^events\.version: expected a version from 0 to 2, got 3\."):
        store.events(version=3)
    with pytest.raises(
        DataError, match=r"^items\.version: expected no version, because the table does not exist yet, got 0\."
    ):
        store.items(version=0)


def test_old_versions_are_kept_beyond_the_thirty_days_of_delta(store: Store) -> None:
    store.append_events(event_rows(("u", "i", 1)))
    table = _delta.open_table(f"{store.path}/events", storage_options=None)
    assert table is not None
    assert table.metadata().configuration["delta.logRetentionDuration"] == "interval 36500 days"


def test_the_digest_changes_with_every_commit_and_differs_between_stores(store: Store, tmp_path: Path) -> None:
    digests = {store.digest(), Store.create(tmp_path / "other").digest()}
    store.append_events(event_rows(("u", "i", 1)))
    digests.add(store.digest())
    assert len(digests) == 3
    store.append_events(event_rows(("u", "i", 1)))
    assert store.digest() in digests


def test_an_append_to_an_outdated_version_is_refused_not_rebased(store: Store) -> None:
    store.append_events(event_rows(("u", "i", 1)))
    stale = _delta.open_table(f"{store.path}/events", storage_options=None)
    assert stale is not None
    store.append_events(event_rows(("u", "j", 1)))
    with pytest.raises(CommitFailedError):
        _delta.append(stale, store.events())
    assert store.events().height == 2


@pytest.mark.parametrize("named", ["../../secret.parquet", "part\\u0000.parquet"])
def test_a_log_that_names_a_file_outside_the_table_is_refused(tmp_path: Path, named: str) -> None:
    store = Store.create(tmp_path / "store")
    store.append_events(pl.DataFrame({"user_id": ["u"], "item_id": ["i"], "timestamp": [1]}))
    table = tmp_path / "store" / "events"
    part = Path(_delta.open_table(str(table), storage_options=None).file_uris()[0])
    shutil.move(part, tmp_path / "secret.parquet")
    for log in (table / "_delta_log").glob("*.json"):
        log.write_text(log.read_text().replace(f'"path":"{part.name}"', f'"path":"{named}"'))
    (table / "_digests.txt").unlink()  # otherwise the edit itself is refused
    with pytest.raises(DataError, match="expected files inside"):
        store.events()
