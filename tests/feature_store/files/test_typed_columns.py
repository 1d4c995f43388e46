"""Columns of text become numbers where their cells are, and columns that nearly are get a warning."""

from __future__ import annotations

import polars as pl
import pytest

from feature_store.files.typed_columns import text_of_numbers, typed_columns
from feature_store.schema import EVENTS, ITEMS, USERS, Table


def typed(cells: list[str | None], *, name: str = "price", table: Table = ITEMS, commas: bool = False) -> pl.Series:
    return typed_with_warnings(cells, name=name, table=table, commas=commas)[0]


def typed_with_warnings(
    cells: list[str | None], *, name: str = "price", table: Table = ITEMS, commas: bool = False
) -> tuple[pl.Series, list[str]]:
    frame = pl.DataFrame({name: pl.Series(cells, dtype=pl.String)})
    read, warnings = typed_columns(frame, table, where=lambda row: f" (line {row + 2})", has_decimal_commas=commas)
    return read[name], warnings


def test_numbers_and_truth_values_get_their_type_and_ids_stay_text() -> None:
    assert typed(["1", None, "-2"]).to_list() == [1, None, -2]
    assert typed(["1", "2.5", "1e3"]).to_list() == [1.0, 2.5, 1000.0]
    assert typed([" 5", "6 "]).to_list() == [5, 6]
    assert typed(["True", "FALSE", None]).to_list() == [True, False, None]
    assert typed(["007", "8"], name="brand_id").to_list() == ["007", "8"]
    assert typed(["1600000000"], name="timestamp", table=EVENTS).dtype == pl.String
    assert typed(["99999999999999999999", "1"]).to_list() == [1e20, 1.0]
    assert typed([None, None]).dtype == pl.String


def test_words_for_a_missing_number_become_null_with_a_warning() -> None:
    column, (warning,) = typed_with_warnings(["19.5", "N/A", "-", "7", "null", "NaN"])
    assert column.to_list() == [19.5, None, None, 7.0, None, None]
    assert warning == (
        "items.price: 4 cells are no number, such as 'N/A' (line 3), and became null. The others are numbers."
    )


def test_a_column_that_is_nearly_all_numbers_stays_text_with_a_warning() -> None:
    column, (warning,) = typed_with_warnings([*(str(n) for n in range(30)), "call us"])
    assert column[-1] == "call us"
    assert (
        "items.price: the column was read as text because 1 cell is no number, such as 'call us' (line 32)" in warning
    )


@pytest.mark.parametrize(
    "form", ["${}.50", "{} EUR", "\u20ac {}", "{}%", "1,{:03}", "1'{:03}.5", "{},5", "1.{:03},50", "CHF {}.50"]
)
@pytest.mark.parametrize("n_cells", [30, 2_000])
def test_numbers_with_a_currency_or_separators_stay_text_with_a_warning(form: str, n_cells: int) -> None:
    cells: list[str | None] = [form.format(n % 1000) for n in range(n_cells)]
    column, (warning,) = typed_with_warnings(cells)
    assert column.to_list() == cells
    assert f"such as {cells[0]!r} (line 2). Write plain numbers" in warning


@pytest.mark.parametrize("form", ["12.05.20{:02}", "10.0.0.{}", "{} ml", "v{}", "{}-{}", "00{}x", "{}/5"])
def test_other_text_that_begins_with_digits_has_no_warning(form: str) -> None:
    cells: list[str | None] = [form.format(n, n) for n in range(10, 60)]
    column, warnings = typed_with_warnings(cells)
    assert column.to_list() == cells
    assert warnings == []


def test_text_with_a_few_numbers_is_text_without_a_word() -> None:
    column, warnings = typed_with_warnings(["1984", "Dune", "none", "Emma"], name="title")
    assert column.to_list() == ["1984", "Dune", "none", "Emma"]
    assert warnings == []


def test_a_table_with_rules_for_its_columns_judges_their_cells_itself() -> None:
    column, warnings = typed_with_warnings(["5", "N/A"], name="value", table=EVENTS)
    assert column.to_list() == ["5", "N/A"]
    assert warnings == []


def test_decimal_commas_are_read_where_the_separator_leaves_room_for_them() -> None:
    assert typed(["1,5", "2"], commas=True).to_list() == [1.5, 2.0]
    assert typed(["1,5", "2"]).to_list() == ["1,5", "2"]


@pytest.mark.parametrize("thousands", [".", " ", "\u00a0", "\u202f"])
def test_separators_of_thousands_go_with_decimal_commas(thousands: str) -> None:
    cells: list[str | None] = [f"1{thousands}299,00", f"-12{thousands}299{thousands}001", "7,5", None, "12"]
    assert typed(cells, commas=True).to_list() == [1299.0, -12299001.0, 7.5, None, 12.0]
    assert typed([f"1{thousands}29,00", "7,5"], commas=True).dtype == pl.String


def test_a_point_without_any_decimal_comma_is_a_decimal_point() -> None:
    assert typed(["1.299", "7.5"], commas=True).to_list() == [1.299, 7.5]


def test_numbers_that_a_typed_file_has_as_text_have_a_warning() -> None:
    (warning,) = of_typed_file(["12.50", None, "3"])
    assert warning.startswith("items.price: the file has the column as text, such as '12.50', although all its cells")
    (warning,) = of_typed_file(["12,50 \u20ac", "3,20 \u20ac"])
    assert "numbers hold more than digits and a point, such as '12,50 \u20ac' (line 2)" in warning
    (warning,) = of_typed_file(["12.50", "1", "3", "4", "call us"])
    assert "1 cell is no number, such as 'call us' (line 6)" in warning


@pytest.mark.parametrize("cells", [["007", "8"], ["4006381333931", "4006381333948"], ["red", "blue"], [None]])
def test_codes_and_words_that_a_typed_file_has_as_text_have_none(cells: list[str | None]) -> None:
    assert of_typed_file(cells) == []


@pytest.mark.parametrize(("name", "table"), [("title", ITEMS), ("brand_id", ITEMS), ("shelf", USERS)])
def test_text_that_is_meant_has_no_warning_in_a_typed_file(name: str, table: Table) -> None:
    assert of_typed_file(["1984", "42"], name=name, table=table) == []


def of_typed_file(cells: list[str | None], *, name: str = "price", table: Table = ITEMS) -> list[str]:
    column = pl.Series(name, cells, dtype=pl.String)
    return text_of_numbers(column, table, lambda row: f" (line {row + 2})")
