"""What the calls of one search must have in common."""

from __future__ import annotations

from pathlib import Path

import pytest

import small_training
from feature_store import DataError, Store
from training.config import TrainingConfig
from training.fitting.fit_ranker import RankerConfig
from training.progress import Silent
from training.run import open_run
from training.settings_search.identity import identity_of, require_same
from training.tables import Tables

NOTED_STORE = "0123456789abcdef"


def message(run_folder: Path, *, noted: dict[str, object], now: dict[str, object], store: str = NOTED_STORE) -> str:
    run = open_run(Tables(items=small_training.items()), run_folder, None, TrainingConfig(), Silent())
    try:
        require_same(run, noted | {"store": NOTED_STORE}, now, store=store)
    except DataError as error:
        return str(error)
    return ""


def identity(folder: Path, config: TrainingConfig, **tables: object) -> dict[str, object]:
    given = Tables.of(tables.get("items"), tables.get("events"), None)  # type: ignore[arg-type]
    place = None if given.given() else str(folder / "store")
    return identity_of(open_run(given, folder, place, config, Silent()))


def test_equal_searches_pass_and_a_new_one_too(tmp_path: Path) -> None:
    items = small_training.items()
    noted = identity(tmp_path, TrainingConfig(), items=items)
    now = identity(tmp_path, TrainingConfig(), items=items.clone())
    assert message(tmp_path, noted=noted, now=now) == ""
    run = open_run(Tables(items=items), tmp_path, None, TrainingConfig(), Silent())
    require_same(run, {}, now, store="anything")


def test_every_difference_is_named_at_once(tmp_path: Path) -> None:
    items = small_training.items()
    noted = identity(tmp_path, TrainingConfig(), items=items)
    config = TrainingConfig(seed=1, ranker=RankerConfig(leaves=31))
    now = identity(tmp_path, config, items=items.head(20)) | {"code": "another"}
    text = message(tmp_path, noted=noted, now=now)
    assert text.startswith("out: expected a folder whose search was of the same data and settings, got ")
    for part in ("seed was 0 and is 1", "ranker.leaves was 15 and is 31", "items had other rows", "another version of"):
        assert part in text
    assert text.endswith("Choose another folder, or remove tuning.db there to begin anew.")


def test_settings_of_later_steps_are_no_difference(tmp_path: Path) -> None:
    items = small_training.items()
    noted = identity(tmp_path, TrainingConfig(), items=items)
    config = TrainingConfig(promote="never", refit=False, test_queries=10, registered_name="other")
    assert message(tmp_path, noted=noted, now=identity(tmp_path, config, items=items)) == ""


def test_store_alone_stands_for_the_tables_and_its_other_rows_are_told(tmp_path: Path) -> None:
    noted = identity(tmp_path, TrainingConfig(), items=small_training.items())
    Store.create(tmp_path / "store")  # as the step `ingest` does
    now = identity(tmp_path, TrainingConfig())
    assert message(tmp_path, noted=noted, now=now) == ""
    assert "the store had other rows" in message(tmp_path, noted=noted, now=now, store="fedcba9876543210")


@pytest.mark.parametrize("address", ["s3://bucket/items.parquet", "https://host/items.parquet"])
def test_table_at_a_url_is_left_to_the_store(address: str, tmp_path: Path) -> None:
    assert identity(tmp_path, TrainingConfig(), items=address)["tables"] == {}
