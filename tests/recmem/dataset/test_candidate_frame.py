"""A frame of candidates, read: rows into queries and pairs, items by id or by text, and what is unmatched."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from feature_store import DataError
from five_item_dataset import dataset_of
from recmem.dataset.candidate_features import CandidateFeature
from recmem.dataset.candidate_frame import Candidates, read_candidates
from recmem.dataset.catalogue import Catalogue
from recmem.dataset.given_histories import NOT_GIVEN
from recmem.dataset.unmatched_rows import UnmatchedRows
from slow_reference import Event
from strategies import ITEMS, N_ITEMS, N_USERS, USERS

DATASET = dataset_of([Event(0, 0, 1), Event(1, 1, 2), Event(2, 2, 4)])
ROWS = st.lists(st.tuples(st.integers(0, N_USERS - 1), st.integers(0, N_ITEMS - 1), st.integers(3, 5)), max_size=12)


def frame_of(rows: list[tuple[int, int, int]]) -> pl.DataFrame:
    """Rows of (user, item, time in microseconds)."""
    return pl.DataFrame(
        {
            "user_id": USERS.gather([user for user, _, _ in rows]),
            "item_id": ITEMS.gather([item for _, item, _ in rows]),
            "timestamp": pl.Series([time for _, _, time in rows], dtype=pl.Int64).cast(pl.Datetime("us", "UTC")),
        }
    )


def row_contents(read: Candidates) -> list[tuple[int, int, int]]:
    """User, item and time of each row, by way of its query and its pair."""
    contents = []
    for query, pair in zip(read.query_of_row.tolist(), read.pair_of_row.tolist(), strict=True):
        assert read.items.row_index[pair] == query
        contents.append((int(read.queries.users[query]), int(read.items.values[pair]), int(read.queries.times[query])))
    return contents


@given(ROWS)
def test_every_row_finds_its_query_and_its_pair(rows: list[tuple[int, int, int]]) -> None:
    read = read_candidates(frame_of(rows), DATASET, ())
    assert row_contents(read) == rows
    assert len(read.queries) == len({(user, time) for user, _, time in rows})
    assert len(read.items.values) == len(set(rows))


OWN = (CandidateFeature("ctr", None, 0.5), CandidateFeature("device", ("app", "web"), 1.0))


def test_an_item_with_two_values_of_a_feature_is_two_candidates_in_any_order_of_rows() -> None:
    rows = frame_of([(0, 1, 3), (0, 2, 3), (0, 1, 3), (0, 1, 3), (1, 1, 4)])
    frame = rows.with_columns(ctr=pl.Series([0.1, 0.2, 0.3, 0.1, None]), device=pl.lit("web"))
    for order in ([0, 1, 2, 3, 4], [4, 2, 3, 1, 0]):
        read = read_candidates(frame[order], DATASET, (), features=OWN)
        assert read.items.to_lists() == [[1, 1, 2], [1]]
        assert read.given_features["ctr"].tolist()[:3] == [np.float32(0.1), np.float32(0.3), np.float32(0.2)]
        assert np.isnan(read.given_features["ctr"][3])
        assert read.given_features["device"].tolist() == [1.0] * 4
        found = read.given_features["ctr"][read.pair_of_row]
        np.testing.assert_array_equal(found, frame[order]["ctr"].cast(pl.Float32).to_numpy())


def test_faults_of_features_are_reported_with_all_others() -> None:
    frame = frame_of([(0, 1, 3)]).drop("item_id").with_columns(ctr=pl.lit("high"))
    with pytest.raises(DataError) as refused:
        read_candidates(frame, DATASET, (), features=OWN)
    lines = str(refused.value).split("\n")
    assert len(lines) == 3
    assert any("candidates.item_id: expected the column" in line for line in lines)
    assert any("candidates.ctr: expected Float64" in line for line in lines)
    missing = next(line for line in lines if "candidates.device" in line)
    assert "expected the column, which is a feature of this model, got none" in missing
    assert "Nulls count as missing." in missing


@given(ROWS.flatmap(lambda rows: st.tuples(st.just(rows), st.permutations(rows))))
def test_order_of_the_rows_does_not_change_the_queries(
    case: tuple[list[tuple[int, int, int]], list[tuple[int, int, int]]],
) -> None:
    first, second = (read_candidates(frame_of(rows), DATASET, ()) for rows in case)
    assert first.items == second.items
    assert first.queries.users.tolist() == second.queries.users.tolist()
    assert first.queries.times.tolist() == second.queries.times.tolist()


def test_rows_without_a_time_are_read_as_of_the_clock() -> None:
    frame = frame_of([(0, 1, 3), (0, 1, 3)]).with_columns(timestamp=pl.Series([None, "1970-01-01"]))
    read = read_candidates(frame, DATASET, ())
    assert sorted(read.queries.times.tolist()) == [0, DATASET.clock]
    assert read_candidates(frame.drop("timestamp"), DATASET, ()).queries.times.tolist() == [DATASET.clock]


def test_rows_without_a_time_are_a_query_of_their_own_beside_those_at_the_clock() -> None:
    clock = pl.Series([None, DATASET.clock], dtype=pl.Int64).cast(pl.Datetime("us", "UTC"))
    read = read_candidates(frame_of([(0, 1, 3), (0, 2, 3)]).with_columns(timestamp=clock), DATASET, ())
    assert read.queries.times.tolist() == [DATASET.clock] * 2
    assert read.items.to_lists() == [[1], [2]]


def test_an_impression_makes_a_query_of_its_own() -> None:
    frame = frame_of([(0, 1, 3), (0, 2, 3), (0, 1, 3)]).with_columns(impression_id=pl.Series([7, 7, 8]))
    read = read_candidates(frame, DATASET, ())
    assert read.items.to_lists() == [[1, 2], [1]]


def test_items_that_the_catalogue_lacks_get_rows_of_their_own_by_id_and_text() -> None:
    frame = pl.DataFrame(
        {
            "user_id": ["user0"] * 5,
            "item_id": ["x", "x", "y", "i1", "x"],
            "title": ["new", "old", None, "ignored", "new"],
        }
    )
    read = read_candidates(frame, DATASET, ())
    assert read.texts == ["new", "old", ""]
    assert read.items.to_lists() == [[1, N_ITEMS, N_ITEMS + 1, N_ITEMS + 2]]
    assert read.pair_of_row.tolist() == [1, 2, 3, 0, 1]
    assert read.unmatched == UnmatchedRows(unknown_items_with_text=3, unknown_items_without_text=1)


def test_users_are_unknown_unless_their_history_is_given() -> None:
    frame = pl.DataFrame(
        {"user_id": ["nobody", "nobody", "user0"], "item_id": ["i1"] * 3, "history": [None, ["i2", "?"], []]}
    )
    read = read_candidates(frame, DATASET, ())
    assert read.unmatched == UnmatchedRows(unknown_users=1, unknown_history_items=1)
    assert read.given_history_lengths[read.query_of_row].tolist() == [NOT_GIVEN, 1, 0]
    histories = [read.queries.histories.items.row(int(query)).tolist() for query in read.query_of_row]
    assert histories == [[], [2], []]
    assert (read.queries.users == -1).all()


def test_an_empty_frame_has_no_query() -> None:
    read = read_candidates(frame_of([]), DATASET, ())
    assert len(read.queries) == len(read.items) == 0
    assert read.pair_of_row.dtype == np.int64
    assert not read.unmatched


def test_a_column_with_the_name_of_an_output_is_refused() -> None:
    with pytest.raises(DataError, match="score: expected no column of this name"):
        read_candidates(frame_of([(0, 1, 3)]).with_columns(score=pl.lit(1)), DATASET, ("score",))


@pytest.mark.parametrize("name", ["timestamp", "impression_id"])
def test_a_text_column_named_as_a_column_of_candidates_is_no_text_of_a_new_item(name: str) -> None:
    items = pl.DataFrame({"item_id": ["a", "b"], "title": ["A", "B"], name: ["spring", "autumn"]})
    dataset = replace(DATASET, catalogue=Catalogue.of(items, ("title", name)))
    frame = pl.DataFrame({"user_id": ["user0"], "item_id": ["new"], "title": ["C"], name: ["1970-01-01"]})
    assert read_candidates(frame, dataset, ()).texts == ["C"]
