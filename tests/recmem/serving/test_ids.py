"""Ids mean the same at every door: tables, observed events, candidates, given histories, users and single ids."""

from __future__ import annotations

import functools
import uuid
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from debian_model import SCORES, model_of, sample
from feature_store import EVENTS, DataError, Store
from feature_store.cell_parsing import parse_id, parse_ids
from feature_store.table_checks import check_table
from recmem.serving.model import Model

FIRST = 3_000_000_001
"""Of the item ids: beyond 32 bits, so that no float32 holds them."""
FORMS: dict[str, pl.DataType] = {
    "decimals": pl.Decimal(38, 0),
    "decimals with a scale": pl.Decimal(20, 2),
    "floats": pl.Float64(),
    "128-bit integers": pl.Int128(),
    "text": pl.String(),
}


def numbered(column: str, first: int) -> pl.DataFrame:
    """Each id of the sample's events with a whole number."""
    items, events = sample()
    ids = (items if column == "item_id" else events)[column].unique().sort()
    return pl.DataFrame({column: ids, "number": pl.int_range(first, first + len(ids), eager=True)})


def as_numbers(frame: pl.DataFrame) -> pl.DataFrame:
    for column, first in (("item_id", FIRST), ("user_id", -40)):
        if column in frame.columns:
            joined = frame.join(numbered(column, first), on=column, how="left", maintain_order="left")
            frame = joined.with_columns(pl.col("number").alias(column)).drop("number")
    return frame


@functools.cache
def tables() -> tuple[pl.DataFrame, pl.DataFrame]:
    """Items and events of the sample, with whole numbers as ids, negative and large ones too."""
    items, events = sample()
    return as_numbers(items), as_numbers(events)


@functools.cache
def model() -> Model:
    items, events = tables()
    return model_of(events, items=items)


def candidates() -> pl.DataFrame:
    events = tables()[1].sort("timestamp", "user_id", "item_id").tail(20)
    items = tables()[0]["item_id"]
    return pl.DataFrame(
        {
            "user_id": events["user_id"],
            "item_id": items.head(20),
            "history": [[items[20], items[31]], None, [], [items[40]]] * 5,
        }
    )


def in_form(frame: pl.DataFrame, dtype: pl.DataType) -> pl.DataFrame:
    return frame.with_columns(pl.col("user_id", "item_id").cast(dtype), pl.col("history").cast(pl.List(dtype)))


@pytest.mark.parametrize("form", FORMS)
def test_candidates_score_alike_in_every_form_of_their_ids(form: str) -> None:
    plain = model().rank_with_report(candidates())
    assert not plain.unmatched
    scored = model().rank_with_report(in_form(candidates(), FORMS[form]))
    assert scored.frame.select(SCORES).equals(plain.frame.select(SCORES))
    assert not scored.unmatched


def test_decimals_of_pandas_and_wide_decimals_of_arrow_score_like_plain_ids() -> None:
    plain = model().rank(candidates().drop("history"))
    as_objects = plain.select("user_id", "item_id").to_pandas().map(lambda cell: Decimal(int(cell)))
    wide = pa.table(
        {
            name: pa.array([Decimal(cell) for cell in plain[name]], pa.decimal256(60, 0))
            for name in ("user_id", "item_id")
        }
    )
    narrow = pa.table({name: plain[name].to_arrow().cast(pa.decimal128(38, 0)) for name in ("user_id", "item_id")})
    nullable = plain.select("user_id", "item_id").to_pandas().astype("Int64")
    for frame in (as_objects, wide, narrow, nullable):
        scored = model().rank(frame)
        score = scored["score"].to_numpy()
        assert score.tolist() == plain["score"].to_list()


@pytest.mark.parametrize("form", FORMS)
def test_users_of_every_form_get_the_same_items(form: str) -> None:
    users = tables()[1]["user_id"].unique().sort().head(3)
    plain = model().recommend(users, k=3).drop("user_id")
    assert model().recommend(users.cast(FORMS[form]), k=3).drop("user_id").equals(plain)
    assert model().recommend(users.cast(FORMS[form]).to_list(), k=3).drop("user_id").equals(plain)


@pytest.mark.parametrize("convert", [Decimal, float, str, np.int64, np.float64, np.str_, lambda cell: cell])
def test_one_id_of_every_form_is_the_same_user_and_item(convert: Any) -> None:
    user = int(tables()[1]["user_id"][0])
    item = int(tables()[0]["item_id"][5])
    assert len(model().memory(user)) > 0
    assert model().memory(convert(user)).equals(model().memory(user))
    assert model().explain(convert(user), convert(item)).score == model().explain(user, item).score
    assert model().title(convert(item)) == model().title(item)


@pytest.mark.parametrize("form", FORMS)
def test_observed_events_are_the_tables_own_in_every_form(form: str) -> None:
    events = tables()[1].sort("timestamp", "user_id", "item_id")
    known = model_of(events, items=tables()[0])
    receipt = known.observe(events.head(50).with_columns(pl.col("user_id", "item_id").cast(FORMS[form])))
    assert (receipt.n_duplicate, receipt.n_rejected) == (50, 0)


@pytest.mark.parametrize("form", FORMS)
def test_a_store_takes_ids_of_every_form_as_the_same_rows(form: str, tmp_path: Path) -> None:
    events = tables()[1].head(30)
    store = Store.create(tmp_path / "store")
    store.append_events(events)
    again = store.append_events(events.with_columns(pl.col("user_id", "item_id").cast(FORMS[form])))
    assert (again.n_duplicate, again.n_rejected) == (30, 0)
    assert store.forget_user(events["user_id"].cast(FORMS[form])[0]).n_removed["events"] > 0


def test_names_of_events_are_text_without_a_point_in_every_form() -> None:
    given = pl.DataFrame({"user_id": [1], "item_id": [2], "timestamp": ["2024-01-01"], "event_id": [7], "cancels": [8]})
    for dtype in FORMS.values():
        kept = check_table(given.with_columns(pl.col("event_id", "cancels").cast(dtype)), EVENTS).kept
        if dtype != pl.String():
            assert (kept["event_id"].to_list(), kept["cancels"].to_list()) == (["7"], ["8"])


# What cannot be an id


def test_float32_ids_that_are_rounded_count_as_unknown_with_a_warning() -> None:
    rounded = candidates().with_columns(pl.col("item_id").cast(pl.Float32))
    report = model().rank_with_report(rounded)
    assert report.unmatched.unreadable_ids == 20
    assert report.unmatched.unknown_items_without_text == 20
    assert any("too large to be exact" in sentence for sentence in report.unmatched.sentences())


def test_float32_ids_are_refused_by_row_from_where_they_are_rounded() -> None:
    ids = pl.Series("item_id", [16_777_215.0, 16_777_217.0, 2.5], dtype=pl.Float32)
    found, problems = parse_ids(ids)
    assert found.to_list() == [16_777_215, None, None]
    assert [problem.rows.to_list() for problem in problems if problem.rows is not None] == [
        [False, False, True],
        [False, True, False],
    ]
    assert "Float32 too large to be exact" in problems[1].reason


def test_candidates_that_cannot_be_ids_leave_the_others_as_they_are() -> None:
    plain = candidates().drop("history")
    strange = plain.with_columns(item_id=pl.col("item_id").cast(pl.Float64) + pl.Series([0.5, *[0.0] * 19]))
    report = model().match_with_report(strange)
    assert report.unmatched.unreadable_ids == 1
    assert report.frame["match_raw"].to_list()[1:] == model().match(plain)["match_raw"].to_list()[1:]


@pytest.mark.parametrize(
    ("cells", "dtype"),
    [
        ([2**63], pl.UInt64),
        ([2**70], pl.Int128),
        ([0.5], pl.Float64),
        ([float("nan")], pl.Float64),
        ([Decimal("1.5")], pl.Decimal(10, 1)),
        ([Decimal(10) ** 30], pl.Decimal(38, 0)),
        (["7.0"], pl.String),
        (["007"], pl.Categorical),
        ([""], pl.String),
    ],
)
def test_what_cannot_be_an_integer_id_has_one_outcome_at_every_door(
    cells: list[Any], dtype: Any, tmp_path: Path
) -> None:
    ids = pl.Series(cells, dtype=dtype)
    known = candidates().drop("history").head(1)
    item = known["item_id"]
    report = model().match_with_report(known.with_columns(item_id=ids))
    assert report.unmatched.unreadable_ids == 1
    given_history = model().match_with_report(
        known.with_columns(history=pl.Series([ids.to_list()], dtype=pl.List(dtype)))
    )
    assert given_history.unmatched.unknown_history_items == 1
    event = pl.DataFrame({"user_id": known["user_id"], "item_id": ids, "timestamp": ["2024-01-01"]})
    assert model_of(tables()[1].head(9), items=tables()[0]).observe(event).n_rejected == 1
    store = Store.create(tmp_path / "store")
    store.append_events(event.with_columns(item_id=item))
    assert store.append_events(event).n_rejected == 1
    assert parse_id(ids.to_list()[0], pl.Int64()) is None


@pytest.mark.parametrize("value", [True, b"a", uuid.uuid4(), [1], object(), 2**200, pd.NaT])
def test_values_of_other_types_are_refused_in_words(value: Any) -> None:
    with pytest.raises(DataError, match="user_ids: expected ids"):
        model().recommend([value])
    with pytest.raises(DataError, match="user_id: expected ids"):
        model().memory(value)
    with pytest.raises(DataError, match="item_id: expected an item of the store"):
        model().title(value)


@pytest.mark.parametrize("value", [7, np.int64(7), "u7", None, np.array(7)])
def test_one_user_in_place_of_a_list_is_refused_in_words(value: Any) -> None:
    with pytest.raises(DataError, match="user_ids: expected a list of ids, got"):
        model().recommend(value)


@pytest.mark.parametrize("k", [0, True, 2.5, "3", None])
def test_a_number_of_items_that_is_none_is_refused(k: Any) -> None:
    with pytest.raises(DataError, match="k: expected at least 1, got"):
        model().recommend([1], k=k)


# Properties

WHOLE = st.integers(-(2**53), 2**53)


@given(st.lists(WHOLE, min_size=1), st.sampled_from([pl.Int64(), pl.String(), None]))
def test_every_form_of_whole_numbers_is_read_as_the_same_ids(ids: list[int], stored: pl.DataType | None) -> None:
    plain, problems = parse_ids(pl.Series("id", ids, dtype=pl.Int64), stored)
    assert not problems
    for dtype in (pl.Int128, pl.Float64, pl.Decimal(38, 0), pl.Decimal(20, 2)):
        found, problems = parse_ids(pl.Series("id", ids, dtype=pl.Int64).cast(dtype), stored)
        assert not problems
        assert found.to_list() == plain.to_list()
    assert [parse_id(cell, stored) for cell in ids] == plain.to_list()


@given(st.lists(st.integers(-(2**30), 2**30), min_size=1))
def test_a_float32_id_is_the_number_it_was_made_from_or_refused(ids: list[int]) -> None:
    found, _ = parse_ids(pl.Series("id", ids, dtype=pl.Int64).cast(pl.Float32))
    assert all(cell in (None, whole) for cell, whole in zip(found.to_list(), ids, strict=True))
    assert all(cell == whole for cell, whole in zip(found.to_list(), ids, strict=True) if abs(whole) < 2**24)
