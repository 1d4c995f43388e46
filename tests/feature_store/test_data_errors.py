from __future__ import annotations

import polars as pl

from feature_store.data_errors import ColumnProblem, DataError, bad_cells, describe, is_library_failure, refused_column


def test_a_problem_is_described_with_table_column_example_rows_and_remedy() -> None:
    rows = pl.Series([True, False, True, True, True])
    problem = ColumnProblem("value", "a number", "text", "Leave it out.", rows, "'x'")
    whole = ColumnProblem("", "at least one row", "0 rows", "Check the file.")
    assert describe([problem, whole], table="events") == (
        "events.value: expected a number, got text, such as 'x' (4 rows, e.g. row 0, 2, 3, counting from 0). "
        "Leave it out.\n"
        "events: expected at least one row, got 0 rows. Check the file."
    )


def test_equal_problems_have_equal_reasons_whatever_their_rows_and_examples() -> None:
    first = ColumnProblem("value", "a number", "text", "", pl.Series([True]), "'x'")
    second = ColumnProblem("value", "a number", "text", "", None, "'y'")
    assert first.reason == second.reason == "value: expected a number, got text"


def test_cells_that_were_null_are_not_bad() -> None:
    cells = pl.Series("value", ["1", None, "x"])
    (problem,) = bad_cells(cells, cells.cast(pl.Int64, strict=False), expected="a number", got="text", remedy="Fix it.")
    assert problem.rows is not None
    assert problem.rows.to_list() == [False, False, True]
    assert problem.example == "'x'"
    assert bad_cells(cells, cells, expected="a number", got="text", remedy="Fix it.") == []


def test_a_long_example_is_cut() -> None:
    cells = pl.Series("value", ["x" * 1000])
    (problem,) = bad_cells(cells, pl.Series([None]), expected="a number", got="text", remedy="Fix it.")
    assert problem.example == "'" + "x" * 39 + "..."


def test_a_refused_column_names_its_dtype() -> None:
    problem = refused_column(pl.Series("value", [[1]]), expected="a number", remedy="Cast it.")
    assert problem.reason == "value: expected a number, got a column of List(Int64)"
    assert problem.rows is None


def test_no_control_character_of_the_data_reaches_a_terminal() -> None:
    assert str(DataError("items.a\x1b[31m: expected text\nnext line")) == "items.a\\x1b[31m: expected text\nnext line"


def test_errors_of_the_libraries_are_distinguished_from_those_of_the_program() -> None:
    panic = type("PanicException", (BaseException,), {})
    assert all(is_library_failure(error) for error in (OSError(), pl.exceptions.ComputeError(), panic()))
    assert not any(is_library_failure(error) for error in (ValueError(), KeyboardInterrupt()))
