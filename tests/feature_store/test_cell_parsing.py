"""Cells one function at a time; tests/feature_store/test_table_checks.py has them as columns of tables."""

from __future__ import annotations

from datetime import date, datetime
from decimal import Decimal
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from feature_store.cell_parsing import (
    id_text,
    parse_attribute,
    parse_id,
    parse_ids,
    parse_labels,
    parse_names,
    parse_numbers,
    parse_positions,
)


@given(st.lists(st.none() | st.integers(-(2**63), 2**63 - 1)))
def test_every_integer_id_survives_a_store_of_text(ids: list[int | None]) -> None:
    as_text, problems = parse_ids(pl.Series("id", ids, dtype=pl.Int64), pl.String())
    assert not problems
    back, problems = parse_ids(as_text, pl.Int64())
    assert not problems
    assert back.to_list() == ids


@given(st.lists(st.none() | st.text(min_size=1)))
def test_text_ids_stay_as_they_are(ids: list[str | None]) -> None:
    found, problems = parse_ids(pl.Series("id", ids, dtype=pl.String))
    assert (found.to_list(), problems) == (ids, [])


def test_floats_are_ids_up_to_where_they_are_exact() -> None:
    found, (problem,) = parse_ids(pl.Series("id", [1.0, 2.0**53, 2.0**53 + 2, 0.5]))
    assert found.to_list() == [1, 2**53, None, None]
    assert problem.reason == "id: expected an id, got a number that is not a 64-bit integer"


@pytest.mark.parametrize("value", [7, 7.0, "7", Decimal(7), Decimal("7.00"), np.int64(7), np.float32(7), np.str_("7")])
def test_one_id_of_every_form_has_one_text(value: Any) -> None:
    assert id_text(value) == "7"
    assert parse_id(value, pl.Int64()) == 7


def test_a_value_that_cannot_be_an_id_is_none_and_some_text() -> None:
    assert [parse_id(value) for value in (None, True, b"a", 0.5, 2**200, object)] == [None] * 6
    assert id_text(0.5) == "0.5"


def test_an_empty_name_is_null_and_no_problem() -> None:
    found, problems = parse_names(pl.Series("event", ["", "click", None]))
    assert (found.to_list(), problems) == ([None, "click", None], [])


def test_numbers_come_from_booleans_and_text() -> None:
    assert parse_numbers(pl.Series([True, False, None]))[0].to_list() == [1.0, 0.0, None]
    found, (problem,) = parse_numbers(pl.Series("value", ["1e3", "ten"]))
    assert found.to_list() == [1000.0, None]
    assert problem.got == "text that is not a number"


def test_labels_as_text_are_read_cell_by_cell() -> None:
    labels, problems = parse_labels(pl.Series("label", ["1", "true", "False", "yes", "2", None]))
    assert labels.to_list() == [1, 1, 0, None, None, None]
    (problem,) = problems
    assert problem.reason == "label: expected a label of 0 or 1, got another value"
    assert problem.example == "'yes'"


@pytest.mark.parametrize("parse", [parse_labels, parse_positions])
def test_a_column_of_another_dtype_is_refused_as_a_whole(parse: Any) -> None:
    found, (problem,) = parse(pl.Series("column", [date(2024, 1, 1)]))
    assert problem.rows is None
    assert found.to_list() == [None]


@pytest.mark.parametrize(
    ("cells", "stored", "expected"),
    [
        (pl.Series([["a", "b"], None, []]), None, ["a, b", None, ""]),
        (pl.Series([[1, None, 2]]), None, ["1, 2"]),
        (pl.Series([True, None]), None, [1, None]),
        (pl.Series([2**63], dtype=pl.UInt64), None, [2.0**63]),
        (pl.Series([float("nan"), 1.5]), None, [None, 1.5]),
        (pl.Series([1.0, 2.0]), pl.Int64(), [1, 2]),
        (pl.Series([1.0, 2.5]), pl.Int64(), [1.0, 2.5]),
        (pl.Series(["2024-02-01"]), pl.Date(), [date(2024, 2, 1)]),
        (pl.Series([7]), pl.String(), ["7"]),
    ],
)
def test_attributes_become_what_the_store_keeps(
    cells: pl.Series, stored: pl.DataType | None, expected: list[Any]
) -> None:
    found, problems = parse_attribute(cells, stored)
    assert found is not None
    assert (found.to_list(), problems) == (expected, [])


def test_a_column_without_values_has_no_dtype_unless_it_is_stored() -> None:
    assert parse_attribute(pl.Series([None, None])) == (None, [])
    found, _ = parse_attribute(pl.Series([None]), pl.Float64())
    assert found is not None
    assert found.dtype == pl.Float64


def test_a_time_without_a_zone_is_utc() -> None:
    found, _ = parse_attribute(pl.Series([datetime(2024, 1, 1, 12)]))
    assert found is not None
    assert found.dtype == pl.Datetime("us", "UTC")
    assert found.dt.hour().to_list() == [12]


@pytest.mark.parametrize("stored", [None, pl.Date(), pl.Datetime("us", "UTC"), pl.String()])
@pytest.mark.parametrize("dtype", [pl.Date(), pl.Datetime("ms"), pl.Datetime("us", "UTC")])
def test_a_date_that_python_cannot_hold_is_a_fault_of_its_cell(dtype: pl.DataType, stored: pl.DataType | None) -> None:
    far = 2**31 - 1 if dtype == pl.Date() else 2**62
    values, problems = parse_attribute(pl.Series("released", [far, 0, None, -far]).cast(dtype), stored)
    assert values is not None
    assert values.is_null().to_list() == [True, False, True, True]
    assert [problem.reason for problem in problems] == ["released: expected a date of the years 1 to 9999, got another"]
    assert problems[0].rows is not None
    assert problems[0].rows.to_list() == [True, False, False, True]
