"""Features of rows: which fold gives them, on which scale, and what is refused."""

from __future__ import annotations

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

import cross_fit_log
from feature_store import DataError
from recmem.matching.calibration import Calibration
from recmem.matching.matcher import MATCH_FEATURES
from recmem.serving.scoring import MATCH_OUTPUTS
from tolerances import close
from training.cross_fit import row_features
from training.cross_fit.row_features import LEARNED, CrossFitted, on_scale

EVENTS = cross_fit_log.events()


@pytest.fixture(scope="module")
def fitted() -> CrossFitted:
    return cross_fit_log.cross_fitted()


def at(time: int) -> pl.DataFrame:
    """One row at a time in microseconds."""
    first = EVENTS.head(1).select("user_id", "item_id")
    return first.with_columns(timestamp=pl.lit(time).cast(pl.Datetime("us", "UTC")))


def by_fold(fitted: CrossFitted, number: int, rows: pl.DataFrame) -> float:
    """The calibrated score that a fold gives a row, whatever its time."""
    alone = CrossFitted((fitted.folds[number],), fitted.dataset, (fitted.matchers[number],), fitted.embedding)
    return float(alone.features(rows).columns["match_score"][0])


def test_a_row_is_scored_by_the_newest_module_that_has_not_learned_from_its_time(fitted: CrossFitted) -> None:
    for number, fold in enumerate(fitted.folds):
        row = at(fold.until + 1)
        assert float(fitted.features(row).columns["match_score"][0]) == by_fold(fitted, number, row)
    # At the time up to which a module has learned, the one before it scores.
    last = at(fitted.folds[-1].until)
    score = float(fitted.features(last).columns["match_score"][0])
    own = CrossFitted(fitted.folds[:-1], fitted.dataset, fitted.matchers[:-1], fitted.embedding)
    assert score == float(own.features(last).columns["match_score"][0])


def test_rows_before_the_first_fold_have_text_similarities_and_nulls_and_are_counted(fitted: CrossFitted) -> None:
    begin = fitted.folds[0].until
    rows = cross_fit_log.rows()
    features = fitted.features(rows)
    is_early = (rows["timestamp"].dt.epoch("us") <= begin).to_numpy()
    assert features.n_without == is_early.sum() > 0
    for name in MATCH_OUTPUTS:
        is_null = features.columns[name].is_null().to_numpy()
        assert (is_null == (is_early & (name in LEARNED))).all()


@pytest.mark.parametrize("convert", [pl.DataFrame.clone, pl.DataFrame.to_pandas, pl.DataFrame.to_arrow])
def test_the_callers_frame_comes_back_in_its_order_with_its_columns(convert: object, fitted: CrossFitted) -> None:
    rows = cross_fit_log.rows().head(200)
    given = convert(rows)  # type: ignore[operator]
    frame, features = fitted.added_to(given)
    assert type(frame) is type(given)
    if isinstance(frame, pd.DataFrame):
        assert frame["match_score"].isna().sum() == features.n_without
        back = pl.from_pandas(frame[["own", "label"]])
    else:
        back = pl.from_arrow(frame) if isinstance(frame, pa.Table) else frame
        assert back["match_score"].null_count() == features.n_without
        assert list(back.columns) == [*rows.columns, *MATCH_OUTPUTS]
    assert back.select("own", "label").equals(rows.select("own", "label"))


def test_rows_in_parts_give_what_they_give_at_once(fitted: CrossFitted, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = cross_fit_log.rows().head(300)
    whole = fitted.features(rows)
    monkeypatch.setattr(row_features, "CHUNK_ROWS", 70)
    parts = fitted.features(rows)
    assert parts.n_without == whole.n_without
    for name in MATCH_OUTPUTS:
        close(parts.columns[name].fill_null(0).to_numpy(), whole.columns[name].fill_null(0).to_numpy(), "float32")


def test_an_item_that_the_store_lacks_is_scored_by_the_text_of_its_row(fitted: CrossFitted) -> None:
    row = at(fitted.folds[0].until + 1)
    known = cross_fit_log.items().filter(pl.col("item_id") == row["item_id"][0])
    unknown = row.with_columns(item_id=pl.lit("gone"), title=known["title"])
    features = fitted.features(unknown)
    assert features.unmatched.unknown_items_with_text == 1
    close(features.columns["match_raw"].to_numpy(), fitted.features(row).columns["match_raw"].to_numpy(), "float32")


def test_raw_scores_are_where_the_newest_calibration_finds_the_same_log_odds() -> None:
    own = Calibration(slope=0.5, intercept=-4.0)
    newest = Calibration(slope=0.8, intercept=-5.0)
    raw = np.array([-3.0, 0.0, 7.0], np.float32)
    prior = np.array([-1.0, 0.5, 2.0], np.float32)
    given = {name: np.zeros(3, np.float32) for name in MATCH_FEATURES} | {"match_raw": raw, "match_prior": prior}
    moved = on_scale(given, own, newest)
    close(newest.probability(moved["match_raw"]), own.probability(raw), "float32")
    # What the memory adds to the prior is stretched, and not moved.
    close(moved["match_raw"] - moved["match_prior"], (raw - prior) * np.float32(0.5 / 0.8), "float32")


@pytest.mark.parametrize("flat", ["own", "newest"])
def test_a_flat_calibration_leaves_raw_scores_as_they_are(flat: str) -> None:
    calibrations = {"own": Calibration(0.5, -4.0), "newest": Calibration(0.8, -5.0)} | {flat: Calibration(0.0, -5.0)}
    given = {name: np.array([1.0, 2.0], np.float32) for name in MATCH_FEATURES}
    assert on_scale(given, **calibrations)["match_raw"].tolist() == [1.0, 2.0]


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (EVENTS.select("user_id", "item_id"), r"rows\.timestamp: expected the column, got none\. Give the time"),
        (
            EVENTS.head(2).with_columns(timestamp=pl.Series([EVENTS["timestamp"][0], None])),
            r"rows\.timestamp: expected a time in every row, got 1 nulls",
        ),
        (EVENTS.drop("user_id"), r"candidates\.user_id: expected the column"),
        (EVENTS.with_columns(match_raw=pl.lit(1.0)), r"match_raw: expected no column of this name"),
        ([1], r"rows: expected a polars, pandas or Arrow frame, got list"),
    ],
)
def test_rows_that_cannot_be_read_are_refused(rows: object, message: str, fitted: CrossFitted) -> None:
    with pytest.raises(DataError, match=message):
        fitted.features(rows)


def test_a_frame_without_rows_gets_the_columns(fitted: CrossFitted) -> None:
    frame, features = fitted.added_to(EVENTS.clear())
    assert frame.columns == [*EVENTS.columns, *MATCH_OUTPUTS]
    assert features.n_without == 0
