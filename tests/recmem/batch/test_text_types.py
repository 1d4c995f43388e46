"""Types of text columns, from all blocks together."""

from __future__ import annotations

import polars as pl
import pyarrow as pa
import pytest

from feature_store import DataError
from recmem.batch.text_types import CellTypes, in_type, joint_type


def typed(*blocks: list[str | None], name: str = "x") -> list[pl.Series]:
    types = CellTypes([name])
    frames = [pl.DataFrame({name: pl.Series(block, dtype=pl.String)}) for block in blocks]
    for frame in frames:
        types.see(frame)
    return [types.typed(frame)[name] for frame in frames]


@pytest.mark.parametrize(
    ("cells", "expected"),
    [
        (["1", "-2", None], [1, -2, None]),
        (["1.50", "2", ".5", "1e-3"], [1.5, 2.0, 0.5, 0.001]),
        (["true", "False", None], [True, False, None]),
        (["007", "8"], ["007", "8"]),
        (["+491701234567", "5"], ["+491701234567", "5"]),
        (["0", "0.5"], [0.0, 0.5]),
        (["00.5"], ["00.5"]),
        (["nan", "1"], ["nan", "1"]),
        (["1e999"], ["1e999"]),
        (["12345678901234567890"], ["12345678901234567890"]),
        (["12345678901234567890", "0.5"], ["12345678901234567890", "0.5"]),
        (["", "1"], ["", "1"]),
        ([None, None], [None, None]),
        (["1,5"], ["1,5"]),
    ],
)
def test_a_column_is_what_all_its_cells_can_be_without_loss(cells: list[str | None], expected: list[object]) -> None:
    (found,) = typed(cells)
    assert found.to_list() == expected


def test_a_late_block_decides_for_the_earlier_ones() -> None:
    assert [block.to_list() for block in typed(["1", "2"], [None], ["3", "x"])] == [["1", "2"], [None], ["3", "x"]]
    assert [block.dtype for block in typed(["1"], ["2.5"])] == [pl.Float64, pl.Float64]


@pytest.mark.parametrize("name", ["user_id", "item_id", "impression_id", "session_id", "timestamp", "history"])
def test_ids_and_times_stay_text(name: str) -> None:
    assert typed(["1", "2"], name=name)[0].to_list() == ["1", "2"]


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        (pa.null(), pa.int64(), pa.int64()),
        (pa.int64(), pa.null(), pa.int64()),
        (pa.int64(), pa.float64(), pa.float64()),
        (pa.int64(), pa.large_string(), pa.large_string()),
        (pa.large_string(), pa.float64(), pa.large_string()),
        (pa.bool_(), pa.int64(), pa.large_string()),
        (pa.large_list(pa.null()), pa.large_list(pa.int64()), pa.large_list(pa.int64())),
        (pa.large_list(pa.int64()), pa.large_list(pa.large_string()), pa.large_list(pa.large_string())),
        (
            pa.struct({"a": pa.int64()}),
            pa.struct({"b": pa.bool_()}),
            pa.struct({"a": pa.int64(), "b": pa.bool_()}),
        ),
    ],
)
def test_two_blocks_have_a_type_for_both(first: pa.DataType, second: pa.DataType, expected: pa.DataType) -> None:
    assert joint_type("x", first, second) == expected


def test_an_object_and_a_number_have_no_joint_type() -> None:
    with pytest.raises(DataError, match=r"candidates\.x: expected one type, got struct<a: int64> and int64"):
        joint_type("x", pa.struct({"a": pa.int64()}), pa.int64())


def test_numbers_become_the_text_that_they_were() -> None:
    assert in_type(pl.Series("id", [7, None]), pl.String()).to_list() == ["7", None]
    assert in_type(pl.Series("id", [7.0, 7.5, None]), pl.String()).to_list() == ["7", "7.5", None]


def test_objects_get_the_fields_that_they_lack() -> None:
    cells = pl.Series("s", [{"a": 1}, None], pl.Struct({"a": pl.Int64}))
    found = in_type(cells, pl.Struct({"a": pl.String, "b": pl.Boolean}))
    assert found.to_list() == [{"a": "1", "b": None}, None]
