"""Arrow columns as polars columns: converted where polars cannot hold them, or left out; never a panic."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import polars as pl
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from feature_store.cell_parsing import parse_ids
from feature_store.files.arrow_columns import as_polars, can_be_polars

MOMENT = datetime(2024, 1, 1, 12, tzinfo=UTC)


def read(array: Any) -> pl.Series:
    frame, left_out = as_polars(pa.table({"a": array, "b": pa.nulls(len(array))}))
    assert left_out == {}
    return frame["a"]


@pytest.mark.parametrize("zone", ["+05:30", "-03:00", "UTC", "Asia/Kolkata", "No/Such_Place"])
@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
def test_a_time_is_the_same_moment_whatever_its_zone(zone: str, unit: str) -> None:
    per_second = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}[unit]
    times = read(pa.array([int(MOMENT.timestamp()) * per_second, None], pa.timestamp(unit, zone)))
    assert times.to_list() == [MOMENT, None]


def test_decimals_of_256_bits_keep_their_digits_if_polars_has_them() -> None:
    exact = read(pa.array([Decimal("12345678901234567890.12"), None], pa.decimal256(38, 2)))
    assert exact.to_list() == [Decimal("12345678901234567890.12"), None]
    wide = read(pa.array([Decimal("12345678901234567890.12"), None], pa.decimal256(60, 2)))
    assert wide.to_list() == [Decimal("12345678901234567890.12"), None]
    rounded = read(pa.array([Decimal(10) ** 50, None], pa.decimal256(60, 2)))
    assert rounded.to_list() == [1e50, None]


@pytest.mark.parametrize("number", [2**53 + 1, 10**17 + 1, 2**63 - 1])
def test_an_id_as_a_wide_decimal_is_not_rounded(number: int) -> None:
    ids, problems = parse_ids(read(pa.array([Decimal(number)], pa.decimal256(76, 0))))
    assert ids.to_list() == [number]
    assert problems == []


def test_a_decimal_with_a_negative_scale_is_a_number() -> None:
    assert read(pa.array([Decimal("1500")], pa.decimal128(10, -2))).to_list() == [1500.0]


def test_extension_and_run_end_encoded_columns_are_what_they_store() -> None:
    flags = pa.ExtensionArray.from_storage(pa.bool8(), pa.array([1, 0, None], pa.int8()))
    assert read(flags).to_list() == [1, 0, None]
    assert read(pc.run_end_encode(pa.array(["a", "a", "b"]))).to_list() == ["a", "a", "b"]


def test_dictionaries_are_categories_or_their_values() -> None:
    assert read(pa.array(["a", "b", "a"]).dictionary_encode()).to_list() == ["a", "b", "a"]
    zoned = pa.array([MOMENT], pa.timestamp("us", "+01:00")).dictionary_encode()
    assert read(zoned).to_list() == [MOMENT]


@pytest.mark.parametrize(
    "array",
    [
        pa.array([(1, 2, 3)], pa.month_day_nano_interval()),
        pa.array([[("a", 1)]], pa.map_(pa.string(), pa.int64())),
        pa.UnionArray.from_sparse(pa.array([1], pa.int8()), [pa.array([1]), pa.array(["a"])]),
        pa.array([[1]], pa.list_view(pa.int64())),
        pa.array([[]], pa.list_(pa.int64(), 0)),
        pa.array([[1]], pa.list_(pa.timestamp("us", "+05:30"))),
        pa.array([{"a": Decimal("1.5")}], pa.struct([("a", pa.decimal256(50, 1))])),
    ],
)
def test_what_polars_cannot_hold_is_left_out_and_the_rest_is_read(
    array: Any, capfd: pytest.CaptureFixture[str]
) -> None:
    frame, left_out = as_polars(pa.table({"odd": array, "plain": ["x"]}))
    assert frame.to_dict(as_series=False) == {"plain": ["x"]}
    assert left_out == {"odd": array.type}
    assert not can_be_polars(array.type)
    assert capfd.readouterr().err == ""


def test_a_table_of_odd_columns_alone_keeps_its_number_of_rows() -> None:
    frame, _ = as_polars(pa.table({"odd": pa.array([(1, 2, 3)] * 3, pa.month_day_nano_interval())}))
    assert frame.height == 3
