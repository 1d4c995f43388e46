"""Delta Lake as the store uses it; test_store.py has concurrent writers, test_forgetting.py the erasure of ids."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest
from deltalake.exceptions import CommitFailedError

from feature_store import DataError, _delta

SCHEMA: dict[str, pl.DataType] = {"item_id": pl.String(), "pages": pl.Int64()}
ROWS = pl.DataFrame({"item_id": ["a", "b"], "pages": [1, 2]})


def opened(uri: str) -> _delta.DeltaTable:
    table = _delta.open_table(uri, storage_options=None)
    assert table is not None
    return table


@pytest.fixture
def uri(tmp_path: Path) -> str:
    uri = str(tmp_path / "items")
    assert _delta.create_table(uri, SCHEMA, storage_options=None)
    return uri


def test_a_table_is_created_once(uri: str) -> None:
    assert not _delta.create_table(uri, SCHEMA, storage_options=None)
    assert _delta.stored_schema(opened(uri)) == SCHEMA
    assert opened(uri).version() == 0


def test_there_is_no_table_where_none_was_created(tmp_path: Path) -> None:
    assert _delta.open_table(str(tmp_path / "none"), storage_options=None) is None


def test_a_scan_has_the_columns_that_the_stored_table_lacks(uri: str) -> None:
    table = opened(uri)
    _delta.append(table, ROWS)
    wanted = SCHEMA | {"cancels": pl.String()}
    found = _delta.scan(opened(uri), wanted).collect()
    assert found.schema == pl.Schema(wanted)
    assert found["cancels"].null_count() == 2


def test_an_upsert_replaces_rows_by_key_and_adds_the_others(uri: str) -> None:
    _delta.append(opened(uri), ROWS)
    _delta.upsert(opened(uri), pl.DataFrame({"item_id": ["b", "c"], "pages": [20, 30]}), keys=("item_id",))
    found = _delta.scan(opened(uri), SCHEMA).collect()
    assert sorted(found.rows()) == [("a", 1), ("b", 20), ("c", 30)]


def test_a_replacement_may_change_dtypes_and_keeps_the_old_version(uri: str) -> None:
    _delta.append(opened(uri), ROWS)
    _delta.replace(opened(uri), ROWS.cast({"pages": pl.Float64}))
    assert _delta.stored_schema(opened(uri))["pages"] == pl.Float64()
    old = opened(uri)
    old.load_as_version(1)
    assert _delta.stored_schema(old)["pages"] == pl.Int64()


@pytest.mark.parametrize("path", ["s3://bucket/shop/", "s3://bucket/shop"])
def test_the_url_of_an_object_store_is_the_root(path: str) -> None:
    assert _delta.table_root(path) == "s3://bucket/shop"


def test_a_folder_becomes_absolute_and_unsafe_characters_are_refused(tmp_path: Path) -> None:
    assert _delta.table_root(tmp_path / "my shop") == (tmp_path / "my shop").as_posix()
    with pytest.raises(DataError, match=r"^store\.path: expected a path without %, got '.*100%'"):
        _delta.table_root(tmp_path / "100%")


def test_errors_of_the_libraries_become_a_data_error_but_a_lost_race_does_not() -> None:
    expected = r"^store: expected .* at 'shop', got an error \(disk full\)\. Check disk space"
    with pytest.raises(DataError, match=expected), _delta.failures("shop"):
        raise OSError("disk full.\nmore")
    with pytest.raises(CommitFailedError), _delta.failures("shop"):
        raise CommitFailedError("late")
    with pytest.raises(KeyError), _delta.failures("shop"):
        raise KeyError("a mistake of ours")


def test_an_attempt_is_repeated_until_it_commits() -> None:
    attempts: list[int] = []

    def third_time_lucky() -> int:
        attempts.append(len(attempts))
        if len(attempts) < 3:
            raise CommitFailedError("late")
        return len(attempts)

    assert _delta.until_committed(third_time_lucky) == 3


def test_giving_up_reports_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_delta, "_GIVE_UP_AFTER_S", 0.0)

    def always_late() -> None:
        raise CommitFailedError("late")

    with pytest.raises(TimeoutError, match=r"^store: expected to commit within 0 s, .* Use fewer writers"):
        _delta.until_committed(always_late)
