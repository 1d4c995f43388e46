"""Frames of a model server: records without NaN, and requests in whatever form MLflow hands them over."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest

from feature_store import DataError
from recmem.serving.served_frame import ServedFrame, request_frame


def test_missing_and_infinite_cells_are_none_in_records() -> None:
    frame = ServedFrame(
        {
            "text": pd.Series(["a", None], dtype="str"),
            "object": ["b", float("nan")],
            "number": [1.5, np.nan],
            "float32": np.array([np.inf, -np.inf], np.float32),
            "time": pd.to_datetime(["2024-01-01", None]),
            "nullable": pd.array([1, None], dtype="Int64"),
            "list": [["x", None, float("nan")], np.array([1.0, np.nan])],
            "whole": [1, 2],
        }
    )
    records = frame.to_dict(orient="records")
    assert [list(record.values())[:4] for record in records] == [["a", "b", 1.5, None], [None, None, None, None]]
    assert [record["time"] is None for record in records] == [False, True]
    assert [record["nullable"] for record in records] == [1, None]
    assert [record["list"] for record in records] == [["x", None, None], [1.0, None]]
    json.dumps([record | {"time": str(record["time"])} for record in records], allow_nan=False)


def test_missing_numbers_inside_objects_are_none_too() -> None:
    frame = ServedFrame({"object": [{"a": float("nan"), "b": [float("inf"), 1]}]})
    assert frame.to_dict(orient="records") == [{"object": {"a": None, "b": [None, 1]}}]


def test_columns_keep_their_types_and_other_forms_are_those_of_pandas() -> None:
    columns = {"number": [1.0, np.nan], "text": ["a", None]}
    frame = ServedFrame(columns)
    pd.testing.assert_frame_equal(pd.DataFrame(frame), pd.DataFrame(columns))
    assert frame["number"].dtype == np.float64
    assert repr(frame.to_dict(orient="list")) == repr(pd.DataFrame(columns).to_dict(orient="list"))
    assert repr(frame.to_dict()) == repr(pd.DataFrame(columns).to_dict())


def test_one_row_of_lists_is_columns_of_lists() -> None:
    given = pd.DataFrame([{"user_id": ["u", "u"], "item_id": ["a", "b"], "title": ["A", "B"]}])
    pd.testing.assert_frame_equal(
        request_frame(given), pd.DataFrame({"user_id": ["u", "u"], "item_id": ["a", "b"], "title": ["A", "B"]})
    )


def test_one_candidate_with_a_history_stays_one_row() -> None:
    given = pd.DataFrame([{"user_id": "u", "item_id": "a", "history": ["b", "c"]}])
    assert request_frame(given) is given


def test_columns_of_several_lengths_are_refused() -> None:
    given = pd.DataFrame([{"user_id": ["u", "u"], "item_id": ["a"]}])
    with pytest.raises(DataError, match=r"inputs: expected columns of one length, got user_id 2, item_id 1\."):
        request_frame(given)


def test_a_column_of_missing_numbers_is_a_column_of_nothing() -> None:
    given = pd.DataFrame({"user_id": ["u", "v"], "history": [np.nan, np.nan], "timestamp": [1.0, np.nan]}, index=[4, 4])
    found = request_frame(given)
    assert found["history"].tolist() == [None, None]
    assert found["history"].dtype == object
    assert found["timestamp"].dtype == np.float64
    assert found.index.tolist() == [4, 4]
    assert request_frame(given.iloc[:0]).empty


def test_a_column_of_its_own_name_came_twice() -> None:
    with pytest.raises(DataError, match=r"candidates: expected every column once, got item_id twice\."):
        request_frame(pd.DataFrame({"user_id": ["u", "v"], "item_id": ["item_id", "item_id"]}))
    one = pd.DataFrame({"user_id": ["u", "v"], "item_id": ["item_id", "b"], "title": ["title", "title"]})
    assert request_frame(one) is one
