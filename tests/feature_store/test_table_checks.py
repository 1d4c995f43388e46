from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import polars as pl
import pytest

from feature_store.data_errors import DataError, describe
from feature_store.schema import EVENTS, IMPRESSIONS, ITEMS, Table
from feature_store.table_checks import check_table

DAY = datetime(2024, 1, 1, tzinfo=UTC)


def events(**columns: Any) -> pl.DataFrame:
    n_rows = max((len(cells) for cells in columns.values()), default=1)
    given = {"user_id": ["u"] * n_rows, "item_id": ["i"] * n_rows, "timestamp": [DAY] * n_rows} | columns
    return pl.DataFrame(given)


def impressions(**columns: Any) -> pl.DataFrame:
    n_rows = max((len(cells) for cells in columns.values()), default=1)
    return events(**columns).with_columns(
        pl.Series("impression_id", ["p"] * n_rows), *([] if "label" in columns else [pl.lit(0).alias("label")])
    )


def items(**columns: Any) -> pl.DataFrame:
    n_rows = len(next(iter(columns.values())))
    return pl.DataFrame({"item_id": [f"i{row}" for row in range(n_rows)], "title": ["a"] * n_rows} | columns)


def valid(frame: pl.DataFrame, table: Table, **stored: pl.DataType) -> pl.DataFrame:
    checked = check_table(frame, table, stored=stored)
    assert not checked.problems
    return checked.kept


def refusal(frame: Any, table: Table, **stored: pl.DataType) -> list[str]:
    with pytest.raises(DataError) as error:
        check_table(frame, table, stored=stored)
    return str(error.value).split("\n")


def test_all_problems_of_a_table_are_reported_at_once_with_rows_examples_and_remedies() -> None:
    frame = pl.DataFrame(
        {
            "user_id": [None, "b", "c", None, None, None],
            "timestamp": ["2024-01-01", "31/12/2024", "2024-01-01", "x", None, "2024-01-01"],
            "value": [1.0, float("nan"), 2.0, 3.0, 4.0, 5.0],
        }
    )
    assert refusal(frame, EVENTS) == [
        "events.item_id: expected the column, got only user_id, timestamp, value. "
        "Add it, or rename the column that holds it.",
        "events.user_id: expected an id, got null (4 rows, e.g. row 0, 3, 4, counting from 0). "
        "Fill it in, or remove the row.",
        "events.timestamp: expected a time, got null (1 row, e.g. row 4, counting from 0). "
        "Fill it in, or remove the row.",
        "events.timestamp: expected a time, got a date that does not begin with the year, so that day and month could "
        "be swapped, such as '31/12/2024' (1 row, e.g. row 1, counting from 0). "
        "Give datetimes, ISO 8601 text or epoch numbers, from the years 1678 to 2261.",
        "events.timestamp: expected a time, got text that is not an ISO time, such as 'x' (1 row, e.g. row 3, "
        "counting from 0). Give datetimes, ISO 8601 text or epoch numbers, from the years 1678 to 2261.",
        "events.value: expected a finite number, got NaN or infinity, such as nan "
        "(1 row, e.g. row 1, counting from 0). "
        "Give null if there is no number.",
    ]


def test_problems_of_rows_alone_do_not_refuse_the_table() -> None:
    checked = check_table(events(user_id=["a", None, "c"]), EVENTS)
    assert checked.kept["user_id"].to_list() == ["a", "c"]
    assert describe(checked.problems, table="events") == (
        "events.user_id: expected an id, got null (1 row, e.g. row 1, counting from 0). Fill it in, or remove the row."
    )


def test_a_row_with_several_problems_is_reported_once_with_all_of_them() -> None:
    checked = check_table(events(user_id=["a", None], value=[1.0, float("inf")]), EVENTS)
    assert checked.reasons().rows() == [
        (1, "user_id: expected an id, got null; value: expected a finite number, got NaN or infinity")
    ]


def test_events_get_every_column_of_the_table_and_lose_other_columns() -> None:
    kept = valid(events(colour=["red"], value=[3]), EVENTS)
    assert kept.schema == pl.Schema(EVENTS.schema())
    assert kept.rows() == [("u", "i", DAY, None, 3.0, None, None, None, None, None)]


@pytest.mark.parametrize(
    ("cells", "dtype", "ids"),
    [
        (["a", "b"], pl.String, ["a", "b"]),
        (["a", "b"], pl.Categorical, ["a", "b"]),
        (["a", "b"], pl.Enum(["a", "b"]), ["a", "b"]),
        ([1, -2], pl.Int8, [1, -2]),
        ([1, 2], pl.UInt64, [1, 2]),
        ([1.0, 2.0], pl.Float64, [1, 2]),
    ],
)
def test_ids_are_text_or_int64_whatever_their_dtype_was(cells: list[Any], dtype: Any, ids: list[Any]) -> None:
    kept = valid(events(item_id=pl.Series(cells, dtype=dtype)), EVENTS)["item_id"]
    assert kept.to_list() == ids
    assert kept.dtype == (pl.String if isinstance(ids[0], str) else pl.Int64)


@pytest.mark.parametrize("cells", [[1.5], [float("nan")], [2.0**54], [""]])
def test_a_number_that_is_not_whole_and_an_empty_text_are_no_ids(cells: list[Any]) -> None:
    assert check_table(events(item_id=cells), EVENTS).kept.is_empty()


def test_an_unsigned_id_beyond_int64_is_rejected_rather_than_wrapped() -> None:
    checked = check_table(events(user_id=pl.Series([2**63, 7], dtype=pl.UInt64)), EVENTS)
    assert checked.kept["user_id"].to_list() == [7]


def test_integers_become_text_where_the_store_has_text() -> None:
    kept = valid(events(user_id=[7, 8]), EVENTS, user_id=pl.String())
    assert kept["user_id"].to_list() == ["7", "8"]


def test_text_becomes_integers_where_the_store_has_integers_but_only_in_their_plain_form() -> None:
    frame = events(user_id=["7", "-3", "007", "+7", "7.0", "u7"])
    checked = check_table(frame, EVENTS, stored={"user_id": pl.Int64()})
    assert checked.kept["user_id"].to_list() == [7, -3]
    assert checked.reasons()["row_number"].to_list() == [2, 3, 4, 5]


@pytest.mark.parametrize("column", ["user_id", "item_id", "timestamp", "event", "value"])
def test_a_column_of_mixed_python_objects_is_refused_with_a_remedy(column: str) -> None:
    (line,) = refusal(events(**{column: pl.Series(["a", 1], dtype=pl.Object)}), EVENTS)
    assert line.startswith(f"events.{column}: expected ")
    assert ", got mixed Python objects. Make it one type" in line


@pytest.mark.parametrize("cells", [[True], [DAY], [["a"]], [{"a": 1}], [b"a"]])
def test_ids_of_another_dtype_are_refused(cells: list[Any]) -> None:
    (line,) = refusal(events(user_id=cells), EVENTS)
    assert line.startswith("events.user_id: expected ids as text or integers, got a column of ")


def test_a_rating_of_nan_or_infinity_is_rejected_and_a_missing_one_is_kept() -> None:
    checked = check_table(events(value=pl.Series([float("nan"), float("-inf"), None, 4.5], dtype=pl.Float32)), EVENTS)
    assert checked.kept["value"].to_list() == [None, 4.5]


def test_values_as_text_are_numbers_where_they_look_like_one() -> None:
    checked = check_table(events(value=["4.5", "good", None, "nan"]), EVENTS)
    assert checked.kept["value"].to_list() == [4.5, None]


def test_an_event_whose_available_at_is_no_time_is_rejected() -> None:
    checked = check_table(events(available_at=["2024-01-02", "soon", None]), EVENTS)
    assert checked.kept["available_at"].to_list() == [datetime(2024, 1, 2, tzinfo=UTC), None]


def test_an_empty_event_id_is_no_event_id() -> None:
    kept = valid(events(event_id=["", "e1"], session_id=[5, None]), EVENTS)
    assert kept["event_id"].to_list() == [None, "e1"]
    assert kept["session_id"].to_list() == ["5", None]


@pytest.mark.parametrize(
    ("cells", "kept"),
    [
        ([0, 1, 2, -1, None], [0, 1]),
        ([0.0, 1.0, 0.5, float("nan")], [0, 1]),
        ([False, True], [0, 1]),
        (["0", "1", "yes", ""], [0, 1]),
    ],
)
def test_labels_are_zero_or_one(cells: list[Any], kept: list[int]) -> None:
    checked = check_table(impressions(label=cells), IMPRESSIONS)
    assert checked.kept["label"].to_list() == kept
    assert checked.kept["label"].dtype == pl.Int8
    assert checked.reasons().height == len(cells) - len(kept)


def test_positions_are_whole_numbers_or_missing() -> None:
    checked = check_table(impressions(position=[1.0, None, 1.5, 2.0**40]), IMPRESSIONS)
    assert checked.kept["position"].to_list() == [1, None]


@pytest.mark.parametrize("table", [EVENTS, IMPRESSIONS], ids=["events", "impressions"])
def test_weights_are_0_or_more_or_missing_and_other_rows_are_rejected_with_the_reason(table: Table) -> None:
    cells = [0.0, None, 2.5, -0.1, float("inf"), float("nan")]
    frame = events(weight=cells) if table is EVENTS else impressions(weight=cells)
    checked = check_table(frame, table)
    assert checked.kept["weight"].to_list() == [0, None, 2.5]
    assert checked.reasons()["reason"].to_list() == [
        "weight: expected a weight of 0 or more, got a negative number",
        *["weight: expected a finite number, got NaN or infinity"] * 2,
    ]
    assert "Give 0 to leave the row out of training" in describe(checked.problems, table=table.name)


def test_items_keep_every_column_as_text_or_number() -> None:
    frame = items(
        price=pl.Series([1.5, float("nan")], dtype=pl.Float32),
        pages=pl.Series([3, None], dtype=pl.UInt8),
        cost=[Decimal("2.50"), None],
        new=[True, False],
        tags=[["a", "b"], []],
        printed=[date(2024, 1, 1), None],
        brand=pl.Series(["x", None], dtype=pl.Categorical),
        nothing=[None, None],
    )
    kept = valid(frame, ITEMS)
    assert kept.columns == ["item_id", "title", "price", "pages", "cost", "new", "tags", "printed", "brand"]
    assert kept.rows() == [
        ("i0", "a", 1.5, 3, 2.5, 1, "a, b", date(2024, 1, 1), "x"),
        ("i1", "a", None, None, None, 0, "", None, None),
    ]
    assert kept.dtypes[2:] == [pl.Float64, pl.Int64, pl.Float64, pl.Int64, pl.String, pl.Date, pl.String]


def test_items_without_text_in_some_rows_are_kept() -> None:
    assert valid(items(title=[None, "", "b"]), ITEMS)["title"].to_list() == [None, "", "b"]


def test_items_without_any_text_column_are_refused() -> None:
    frame = pl.DataFrame({"item_id": ["a"], "price": [1.0]})
    (line,) = refusal(frame, ITEMS)
    assert line.startswith("items: expected at least one text column, got only item_id, price. Add a text column")


def test_item_columns_that_cannot_be_stored_are_refused_by_name() -> None:
    lines = refusal(items(**{"shape": [{"a": 1}], "Title": ["b"], "a`b": [1]}), ITEMS)
    assert [line.partition(":")[0] for line in lines] == ["items.shape", "items.Title", "items.a`b"]


@pytest.mark.parametrize("name", ["*", "^.*$", "^price$", "", "a`b", "a\nb", "TITLE"])
def test_an_item_column_of_an_unusable_name_is_refused(name: str) -> None:
    frame = pl.DataFrame({"item_id": ["i1"], "title": ["Ink"], name: [1]})
    with pytest.raises(DataError, match=r"expected a usable column name, got .*Rename it: .* no pattern such as"):
        check_table(frame, ITEMS)


def test_item_columns_are_read_as_the_store_has_them() -> None:
    frame = items(code=[1, 2], pages=["10", "ten"], price=[3, 4])
    stored = {"code": pl.String(), "pages": pl.Int64(), "price": pl.Float64()}
    checked = check_table(frame, ITEMS, stored=stored)
    assert checked.kept.rows() == [("i0", "a", "1", 10, 3.0)]
    assert checked.reasons()["reason"].to_list() == [
        "pages: expected Int64 as in the store, got String that does not convert to it"
    ]


def test_a_number_where_the_store_has_a_date_is_refused() -> None:
    (line,) = refusal(items(printed=[3]), ITEMS, printed=pl.Date())
    assert line.startswith("items.printed: expected Date as in the store, got a column of Int64.")


@pytest.mark.parametrize("table", [ITEMS, EVENTS, IMPRESSIONS])
def test_an_empty_frame_is_refused(table: Table) -> None:
    lines = refusal(pl.DataFrame(schema=table.schema() | {"title": pl.String()}), table)
    assert f"{table.name}: expected at least one row, got 0 rows. Check the file or query that it comes from." in lines


def test_a_frame_of_another_library_is_refused_with_the_conversion() -> None:
    (line,) = refusal(pl.LazyFrame({"user_id": ["a"]}), EVENTS)
    assert line == (
        "events: expected a polars DataFrame, got polars LazyFrame. "
        "Use pl.from_pandas(frame), pl.from_arrow(table) or lazy.collect()."
    )
