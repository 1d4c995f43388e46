"""Columns of text become numbers where their cells are, and columns that nearly are get a warning."""

from __future__ import annotations

import polars as pl
import pytest

from feature_store.files.typed_columns import typed_columns
from feature_store.schema import EVENTS, ITEMS, Table


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


@pytest.mark.parametrize("form", ["${}.50", "{} EUR", "\u20ac {}", "{}%", "1,{:03}", "1'{:03}.5", "{},5"])
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
