"""Frames of polars, pandas and Arrow go in and come out as they came, with the same scores."""

from __future__ import annotations

import subprocess
import sys
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from debian_model import model_of, trained_model
from feature_store import DataError
from recmem.serving.frames import to_ids, to_polars, with_added
from recmem.serving.model import Model
from recmem.serving.scoring import MATCH_OUTPUTS, RANK_OUTPUTS


def candidates() -> pl.DataFrame:
    """Candidates of known users at times, with a history in some rows and columns that are only passed through."""
    events = trained_model().events.sort("timestamp", "user_id", "item_id")
    items = trained_model().items["item_id"]
    return pl.DataFrame(
        {
            "user_id": events["user_id"].tail(12),
            "item_id": items.head(12),
            "timestamp": events["timestamp"].tail(12),
            "history": [[items[20], items[21]], None, []] * 4,
            "price": [1.5, None, 3.0] * 4,
            "note": ["a", "b", None] * 4,
        }
    )


def as_pandas(frame: pl.DataFrame) -> pd.DataFrame:
    return frame.to_pandas().set_axis([f"row {number}" for number in range(len(frame), 0, -1)])


# Scores


def test_pandas_candidates_come_back_as_pandas_with_their_index_and_dtypes(model: Model) -> None:
    given = as_pandas(candidates()).astype({"note": "category"})
    for score, outputs in ((model.rank, RANK_OUTPUTS), (model.match, MATCH_OUTPUTS)):
        scored = score(given)
        expected = score(candidates())
        assert list(scored.columns) == [*given.columns, *outputs]
        pd.testing.assert_frame_equal(scored[given.columns], given)
        for name in outputs:
            np.testing.assert_array_equal(scored[name].to_numpy(), expected[name].to_numpy())
            assert scored[name].dtype == expected[name].to_numpy().dtype


def test_arrow_candidates_come_back_as_arrow_with_their_types(model: Model) -> None:
    table = candidates().to_arrow().replace_schema_metadata({"source": "a test"})
    batch = table.combine_chunks().to_batches()[0]
    expected = model.rank(candidates())
    for given in (table, batch):
        scored = model.rank(given)
        assert type(scored) is type(given)
        assert scored.schema.names == [*given.schema.names, *RANK_OUTPUTS]
        assert scored.select(given.schema.names).equals(given)
        for name in RANK_OUTPUTS:
            np.testing.assert_array_equal(scored.column(name).to_numpy(), expected[name].to_numpy())
    assert model.rank(table).schema.metadata == table.schema.metadata


def test_texts_of_unknown_items_are_read_from_a_pandas_frame(model: Model) -> None:
    given = pl.DataFrame({"user_id": ["a", "a"], "item_id": ["new 1", "new 2"], "title": ["a web server", None]})
    report = model.match_with_report(given.to_pandas())
    expected = model.match_with_report(given)
    assert report.unmatched == expected.unmatched
    assert report.frame["match_raw"].to_list() == expected.frame["match_raw"].to_list()


@pytest.mark.parametrize("convert", [as_pandas, pl.DataFrame.to_arrow])
def test_an_empty_frame_comes_back_with_the_columns(model: Model, convert: Any) -> None:
    scored = model.rank(convert(candidates().clear()))
    names = scored.columns if isinstance(scored, pd.DataFrame) else scored.schema.names
    assert len(scored) == 0
    assert list(names) == [*candidates().columns, *RANK_OUTPUTS]


def test_columns_that_recmem_does_not_read_may_hold_anything(model: Model) -> None:
    given = as_pandas(candidates()).assign(anything=[object(), 1, "two"] * 4)
    assert model.rank(given)["anything"].to_list() == given["anything"].to_list()


@pytest.mark.parametrize("convert", [pl.DataFrame.to_pandas, pl.DataFrame.to_arrow])
def test_events_of_all_kinds_of_frames_are_observed_alike(convert: Any) -> None:
    events = trained_model().events.sort("timestamp")
    n_first = len(events) // 2
    first = events.head(n_first)
    later = events.tail(len(events) - n_first)
    given = model_of(first)
    expected = model_of(first)
    receipt = given.observe(convert(later))
    assert receipt == expected.observe(later)
    assert receipt.n_new == len(later)
    assert given.rank(candidates()).equals(expected.rank(candidates()))


# Users


@pytest.mark.parametrize(
    "convert",
    [list, pl.Series, pd.Series, pd.Index, np.array, pa.array, lambda ids: pa.chunked_array([ids[:1], ids[1:]])],
)
def test_users_of_all_kinds_get_the_same_recommendations(model: Model, convert: Any) -> None:
    users = trained_model().events["user_id"].unique().sort().head(3).to_list()
    assert model.recommend(convert(users), k=2).equals(model.recommend(users, k=2))


@pytest.mark.parametrize("ids", [pd.Series(["a", None]), pd.Series([1.0, np.nan]), pa.array(["a", None]), ["a", None]])
def test_a_missing_user_is_refused(ids: Any) -> None:
    with pytest.raises(DataError, match="user_ids: expected ids, got 1 null"):
        to_ids(ids, "user_ids")


def test_users_of_several_types_are_refused() -> None:
    for ids in (pd.Series([1, "a"], dtype=object), [1, "a"], np.array([1, "a"], dtype=object)):
        with pytest.raises(DataError, match="user_ids: expected ids of one type"):
            to_ids(ids, "user_ids")


# Conversion


def test_times_with_a_zone_are_converted_to_utc() -> None:
    times = pd.to_datetime(["2024-01-01 12:00", "2024-01-02 12:00", None]).tz_localize("Asia/Tokyo")
    frame = to_polars(pd.DataFrame({"timestamp": times, "history": [["x", "y"], [], ["z"]]}), "candidates")
    assert frame["timestamp"].to_list() == [datetime(2024, 1, 1, 3), datetime(2024, 1, 2, 3), None]
    assert frame["history"].to_list() == [["x", "y"], [], ["z"]]


def test_a_column_of_several_types_is_refused_by_name() -> None:
    mixed = pd.DataFrame({"item_id": ["a", 2, "c"]})
    with pytest.raises(DataError, match=r"candidates: expected one type in a column, got several \(.*item_id.*\)\. Ma"):
        to_polars(mixed, "candidates")


def test_a_repeated_column_is_refused_by_name() -> None:
    twice = pd.DataFrame([["a", "b", "c"]], columns=["user_id", "item_id", "item_id"])
    for frame in (twice, pa.table([["a"], ["b"], ["c"]], names=list(twice.columns))):
        with pytest.raises(DataError, match="candidates: expected every column once, got item_id twice"):
            to_polars(frame, "candidates")


@pytest.mark.parametrize("spaced", [" timestamp", "timestamp ", "\ufefftimestamp", "timestamp\n"])
@pytest.mark.parametrize("convert", [pl.DataFrame.clone, pl.DataFrame.to_pandas, pl.DataFrame.to_arrow])
def test_a_name_with_space_around_is_refused_where_the_column_would_be_read(spaced: str, convert: Any) -> None:
    frame = pl.DataFrame({"user_id": ["a"], spaced: ["2024-01-01"], " note ": ["x"]})
    with pytest.raises(DataError, match=r"candidates\.timestamp: expected the column 'timestamp', got '.*timestamp"):
        to_polars(convert(frame), "candidates", wanted={"user_id", "timestamp"})
    read = to_polars(convert(frame.rename({spaced: "timestamp"})), "candidates", wanted={"user_id", "timestamp"})
    assert read["timestamp"].to_list() == ["2024-01-01"]


def test_the_error_for_a_pandas_frame_without_column_names_lists_its_columns(model: Model) -> None:
    with pytest.raises(DataError, match=r"candidates\.user_id: expected the column, got only|none"):
        model.rank(pd.DataFrame([["curl", "libc6-dev"]]))


def test_arrow_times_with_an_offset_and_wide_decimals_are_read_as_what_they_are() -> None:
    noon = datetime(2024, 2, 29, 12, tzinfo=UTC)
    zoned = pa.array([noon], pa.timestamp("ms", "+05:30"))
    columns = {
        "timestamp": zoned,
        "available_at": zoned.dictionary_encode(),
        "value": pa.array([Decimal("4.5")], pa.decimal256(60, 1)),
        "event_id": pa.array([Decimal(10) ** 50], pa.decimal256(60, 0)),
    }
    read = to_polars(pa.table(columns), "events")
    assert read["timestamp"].to_list() == read["available_at"].to_list() == [noon]
    assert float(read["value"][0]) == 4.5
    assert read["event_id"].to_list() == [str(10**50)]
    arrow_backed = pd.DataFrame({"timestamp": pd.Series(zoned.to_pylist(), dtype=pd.ArrowDtype(zoned.type))})
    assert to_polars(arrow_backed, "events")["timestamp"].to_list() == [noon]


def test_a_column_that_polars_cannot_hold_is_refused_by_name(capfd: pytest.CaptureFixture[str]) -> None:
    months = pa.table({"user_id": ["a"], "event": pa.array([(1, 2, 3)], pa.month_day_nano_interval())})
    with pytest.raises(
        DataError, match=r"events\.event: expected a column that polars can read, got a column of month_d"
    ):
        to_polars(months, "events")
    assert len(to_polars(months, "events", wanted={"user_id"})) == 1


def test_a_lazy_frame_is_refused_with_what_to_call() -> None:
    with pytest.raises(DataError, match=r"got polars LazyFrame\. Collect it first: frame\.collect\(\)"):
        to_polars(pl.LazyFrame({"user_id": ["a"]}), "candidates")


def test_a_pandas_frame_with_repeated_index_labels_keeps_them() -> None:
    given = pd.DataFrame({"user_id": ["u", "v", "w"]}, index=[1, 1, 0])
    result = with_added(given, pl.DataFrame({"score": [0.5, 1.5, 2.5]}))
    assert list(result.index) == [1, 1, 0]
    assert list(result["score"]) == [0.5, 1.5, 2.5]


def test_polars_frames_are_converted_without_importing_pandas() -> None:
    code = (
        "import sys, polars as pl; from recmem.serving.frames import to_ids, to_polars, with_added; "
        "frame = pl.DataFrame({'user_id': ['a']}); with_added(to_polars(frame, 'x'), frame.select(s=pl.lit(1.0))); "
        "to_ids(['a'], 'user_ids'); print(*{'pandas', 'pyarrow'} & set(sys.modules))"
    )
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert loaded.stdout.split() == []


@pytest.mark.parametrize(
    ("ids", "got"),
    [
        (pl.DataFrame({"user_id": ["curl"]}), "got a frame"),
        (pd.DataFrame({"user_id": ["curl"]}), "got a frame"),
        (pa.table({"user_id": ["curl"]}), "got a frame"),
        (b"curl", "got the text b'curl'"),
        (np.array([["curl"]]), "got an array of 2 dimensions"),
        (5, "got 5"),
        (None, "got None"),
    ],
)
def test_what_is_no_list_of_ids_is_refused(ids: Any, got: str) -> None:
    with pytest.raises(DataError, match=f"user_ids: expected a list of ids, {got}"):
        to_ids(ids, "user_ids")


def test_a_time_column_with_a_zone_and_a_name_that_is_no_text_is_converted() -> None:
    frame = pd.DataFrame({"user_id": ["curl"], 0: [pd.Timestamp("2020-01-01", tz="Europe/Berlin")]})
    assert to_polars(frame, "candidates")["0"].to_list() == [datetime(2019, 12, 31, 23)]
