"""One table from several files: by name, without losing anything, or refused with the file and the column."""

from __future__ import annotations

from datetime import UTC, date, datetime

import polars as pl
import pytest

from feature_store.data_errors import DataError
from feature_store.files.part_columns import Part, as_one
from feature_store.schema import EVENTS, ITEMS

PLAIN = pl.DataFrame({"item_id": ["a"], "title": ["x"], "price": [1]})


def joined(*frames: pl.DataFrame) -> pl.DataFrame:
    return as_one([Part(f"{place}.parquet", frame) for place, frame in enumerate(frames)], ITEMS)[0]


def test_columns_are_matched_by_name_whatever_their_order() -> None:
    assert joined(PLAIN, PLAIN.select("price", "title", "item_id")).rows() == [("a", "x", 1), ("a", "x", 1)]


def test_numbers_widen_and_columns_of_nulls_take_the_type_of_the_others() -> None:
    wide = joined(PLAIN, PLAIN.with_columns(price=1.5), PLAIN.with_columns(price=None))
    assert wide["price"].to_list() == [1.0, 1.5, None]
    small = joined(PLAIN.with_columns(price=pl.lit(7, pl.Int8)), PLAIN)
    assert small["price"].dtype == pl.Int64


def test_whole_number_ids_beside_ids_of_text_are_text_and_large_ones_stay_exact() -> None:
    assert joined(PLAIN, PLAIN.with_columns(item_id=12))["item_id"].to_list() == ["a", "12"]
    large = joined(PLAIN.with_columns(item_id=2**53 + 1), PLAIN.with_columns(item_id=7.0))
    assert large["item_id"].to_list() == [2**53 + 1, 7]


def test_times_of_any_kind_become_moments() -> None:
    moments = [
        datetime(2024, 1, 1, tzinfo=UTC),
        datetime(2024, 1, 1),
        date(2024, 1, 1),
    ]
    read = joined(*(PLAIN.with_columns(available_from=moment) for moment in moments))
    assert read["available_from"].to_list() == [moments[0]] * 3


def test_a_clash_of_types_names_the_files_and_the_column() -> None:
    with pytest.raises(
        DataError, match=r"items\.price: expected one type in all files, got Int64 in 0\.parquet, String in 1\.parquet"
    ):
        joined(PLAIN, PLAIN.with_columns(price=pl.lit("cheap")))
    with pytest.raises(DataError, match=r"items\.item_id: expected one type"):
        joined(PLAIN, PLAIN.with_columns(item_id=1.5))


def test_a_column_that_a_file_lacks_is_null_with_a_warning_unless_it_is_required() -> None:
    parts = [Part("0.parquet", PLAIN), Part("1.parquet", PLAIN.drop("price"))]
    frame, warnings = as_one(parts, ITEMS)
    assert frame["price"].to_list() == [1, None]
    assert warnings == ["items.price: 1 file lacks the column, such as 1.parquet; it is null there."]
    events = pl.DataFrame({"user_id": ["u"], "item_id": ["i"], "timestamp": [1]})
    with pytest.raises(
        DataError, match=r"events\.timestamp: expected the column in every file, got none in b\.parquet"
    ):
        as_one([Part("a.parquet", events), Part("b.parquet", events.drop("timestamp"))], EVENTS)
