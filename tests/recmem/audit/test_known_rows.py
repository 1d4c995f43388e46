from __future__ import annotations

import polars as pl

from recmem.audit.known_rows import KnownRows


def rows() -> KnownRows:
    table = pl.DataFrame({"item_id": ["c", "a", "b", "d"], "arrived": [30, 10, 20, 20]})
    return KnownRows.of(table, pl.col("arrived"))


def test_rows_are_taken_once_and_in_the_order_in_which_they_became_known() -> None:
    known = rows()
    assert known.since_last(9).is_empty()
    assert known.since_last(10)["item_id"].to_list() == ["a"]
    assert known.since_last(10).is_empty()
    assert known.since_last(5).is_empty()
    assert set(known.since_last(29)["item_id"]) == {"b", "d"}
    assert known.since_last(100)["item_id"].to_list() == ["c"]


def test_what_is_known_at_a_time_does_not_depend_on_what_was_taken() -> None:
    known = rows()
    known.since_last(100)
    assert known.at(9).is_empty()
    assert len(known.at(20)) == 3
    assert known.at(20).columns == ["item_id", "arrived"]
