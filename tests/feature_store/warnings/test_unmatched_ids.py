"""Rows whose items or users another table lacks: counted by rows and ids, with examples of both and the cause."""

from __future__ import annotations

import polars as pl
import pytest

from feature_store import DataError
from feature_store.warnings.unmatched_ids import UnmatchedIds, n_items_without_events, require_matches, unmatched_rows

NONE = pl.DataFrame(schema={"impression_id": pl.String, "user_id": pl.String, "item_id": pl.String})


def items_of(ids: list[str], **columns: list[str]) -> pl.DataFrame:
    return pl.DataFrame({"item_id": ids, "title": [f"title {n}" for n in range(len(ids))], **columns})


def events_of(ids: list[str], users: list[str] | None = None) -> pl.DataFrame:
    return pl.DataFrame({"user_id": users or [f"user {n}" for n in range(len(ids))], "item_id": ids})


def found(items: pl.DataFrame, events: pl.DataFrame, impressions: pl.DataFrame = NONE) -> list[UnmatchedIds]:
    return list(unmatched_rows(items, events, impressions))


def test_tables_whose_ids_meet_have_no_unmatched_rows() -> None:
    assert found(items_of(["a", "b"]), events_of(["a", "b", "a"])) == []


def test_rows_and_ids_are_counted_and_both_tables_have_examples() -> None:
    (unmatched,) = found(items_of(["apple", "plum"]), events_of(["apple", "pear", "pear", "fig"]))
    assert (unmatched.column, unmatched.known_column) == ("events.item_id", "items.item_id")
    assert (unmatched.n_rows, unmatched.n_unmatched, unmatched.n_ids) == (4, 3, 2)
    assert unmatched.examples == ("'fig'", "'pear'")
    assert unmatched.known_examples == ("'apple'", "'plum'")
    assert str(unmatched) == (
        "events.item_id: 3 of 4 rows (75%) are unmatched: items lacks their item_id "
        "(2 ids, such as 'fig', 'pear', where items.item_id has 'apple', 'plum')."
    )


def test_examples_are_pairs_if_the_cause_is_known() -> None:
    (unmatched,) = found(items_of(["0000000012", "0000000007"]), events_of(["12", "7"]))
    assert unmatched.is_alike
    assert "Likely cause: leading zeros ('7' stands for '0000000007')." in str(unmatched)
    assert "Read events.item_id as text, so that zeros stay (dtype=str in pandas; spreadsheets drop" in str(unmatched)
    assert str(unmatched).endswith("and start a new store: accepted rows stay in this one.")


def test_the_table_that_has_lost_its_zeros_is_the_one_to_read_as_text() -> None:
    (unmatched,) = found(items_of(["12", "7"]), events_of(["0012", "0007"]))
    assert "Read items.item_id as text" in unmatched.remedy()


def test_ids_of_two_spellings_have_a_remedy_and_unknown_ones_none() -> None:
    (unmatched,) = found(items_of(["ann", "bob"]), events_of(["ANN", "BOB"]))
    assert (
        unmatched.remedy()
        == " Write the ids alike in both tables, and start a new store: accepted rows stay in this one."
    )
    (unmatched,) = found(items_of(["apple"]), events_of(["apple", "pear"]))
    assert unmatched.remedy() == ""


@pytest.mark.parametrize("dtype", [pl.Int64, pl.String])
def test_ids_of_both_dtypes_are_compared(dtype: pl.DataType) -> None:
    items = items_of(["1", "2", "3"]).with_columns(pl.col("item_id").cast(dtype))
    (unmatched,) = found(items, events_of(["1", "9"]).with_columns(pl.col("item_id").cast(pl.Int64)))
    assert (unmatched.n_unmatched, unmatched.examples) == (1, ("'9'",))


def test_swapped_columns_of_events_are_named_as_the_cause() -> None:
    items = items_of(["apple", "plum", "fig"])
    (unmatched,) = found(items, events_of(["ann", "bob", "eve"], users=["apple", "plum", "fig"]))
    assert unmatched.cause == "events.user_id holds the ids of items.item_id: item_id and user_id look swapped"


def test_a_prefix_comes_first_where_users_and_items_are_both_counted_up() -> None:
    (unmatched,) = found(items_of(["1", "2", "3"]), events_of(["item_1", "item_3"], users=["1", "2"]))
    assert unmatched.cause.endswith(", unless item_id and user_id are swapped")
    assert (unmatched.examples, unmatched.known_examples) == (("'item_1'", "'item_3'"), ("'1'", "'3'"))
    assert "Write the ids alike" in unmatched.remedy()


def test_ids_of_another_column_of_the_items_are_named_as_the_cause() -> None:
    items = items_of(["apple", "plum", "fig"], sku=["s-7", "s-8", "s-9"])
    (unmatched,) = found(items, events_of(["s-8", "s-9", "s-9"]))
    assert unmatched.cause == "they are values of the column items.sku, not of items.item_id"


def test_impressions_of_unknown_items_and_users_are_counted() -> None:
    impressions = pl.DataFrame(
        {"impression_id": ["1", "1", "2"], "user_id": ["ann", "ann", "bob"], "item_id": ["apple", "kiwi", "apple"]}
    )
    items, users = found(items_of(["apple"]), events_of(["apple"], users=["ann"]), impressions)
    assert (items.column, items.n_unmatched, items.is_warning) == ("impressions.item_id", 1, True)
    assert (users.column, users.known_column, users.n_unmatched) == ("impressions.user_id", "events.user_id", 1)
    assert not users.is_warning  # a user without events is common


def test_users_written_in_two_ways_are_a_warning() -> None:
    impressions = pl.DataFrame({"impression_id": ["1"], "user_id": ["ANN"], "item_id": ["apple"]})
    (users,) = found(items_of(["apple"]), events_of(["apple"], users=["ann"]), impressions)
    assert users.is_warning
    assert users.cause == "upper and lower case"


def test_few_unmatched_rows_without_a_cause_are_no_warning() -> None:
    (unmatched,) = found(items_of(["apple"]), events_of(["apple"] * 20 + ["kiwi"]))
    assert not unmatched.is_warning
    (unmatched,) = found(items_of(["apple"]), events_of(["apple"] * 5 + ["kiwi"]))
    assert unmatched.is_warning


def test_ids_that_never_meet_are_refused_with_examples_the_cause_and_the_remedy() -> None:
    unmatched = unmatched_rows(items_of(["0012", "0007"]), events_of(["12", "7"]), NONE)
    with pytest.raises(
        DataError,
        match=r"events\.item_id: expected ids of items\.item_id, got none of them in 2 rows "
        r"\(2 ids, such as '7', '12', where items\.item_id has '0007', '0012'\)\. "
        r"Likely cause: leading zeros \('7' stands for '0007'\)\. Write",
    ):
        require_matches(unmatched)


def test_some_matched_rows_or_no_items_are_not_refused() -> None:
    require_matches(unmatched_rows(items_of(["a"]), events_of(["a", "b"]), NONE))
    require_matches(unmatched_rows(items_of([]), events_of(["a", "b"]), NONE))
    require_matches(unmatched_rows(items_of(["a"]), events_of([]), NONE))


def test_impressions_of_other_items_alone_are_refused() -> None:
    impressions = pl.DataFrame({"impression_id": ["1"], "user_id": ["ann"], "item_id": ["A "]})
    with pytest.raises(DataError, match=r"impressions\.item_id: expected .* Likely cause: white space or invisible"):
        require_matches(unmatched_rows(items_of(["a", "A"]), events_of(["a"], users=["ann"]), impressions))


def test_control_characters_of_ids_are_escaped() -> None:
    (unmatched,) = found(items_of(["a"]), events_of(["a", "\x1b[31m"]))
    assert "\x1b" not in str(unmatched)
    assert "\\x1b[31m" in str(unmatched)


def test_long_ids_are_cut() -> None:
    (unmatched,) = found(items_of(["a"]), events_of(["a", "x" * 5000]))
    assert len(str(unmatched)) < 300


def test_items_that_nobody_interacted_with_are_counted() -> None:
    assert n_items_without_events(items_of(["a", "b", "c"]), events_of(["b", "b", "z"])) == 2
