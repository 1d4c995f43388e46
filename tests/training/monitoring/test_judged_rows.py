"""Outcomes are found by ids, times and impressions; later events give the positives of the next visit."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl
import pytest

import debian_model
from feature_store import DataError
from feature_store.schema import EVENTS
from recmem.reference.reference import Outcomes
from recmem.serving.bundle import load_bundle
from tolerances import close
from training.monitoring.judged_rows import NO_LABEL, NO_POSITIVE, judged
from training.monitoring.row_figures import RowFigures
from training.monitoring.watched_rows import WatchedRows

NOW = datetime(2026, 5, 1, tzinfo=UTC)


def watched(*, with_times: bool = True) -> WatchedRows:
    """User u ranks a, b, c, d and user v ranks a, b, in this order."""
    keys = pl.DataFrame({"user_id": list("uuuuvv"), "item_id": list("abcdab")})
    time = pl.lit(NOW).dt.epoch("us") if with_times else pl.lit(None, pl.Int64)
    users = np.array([0, 0, 0, 0, 1, 1])
    scores = np.array([4.0, 3, 2, 1, 2, 1])
    rows = RowFigures(users, users, {}, {}, {})
    return WatchedRows(rows, keys.with_columns(time=time), scores, np.full(6, 0.25, np.float32), 6)


def outcomes(given: pl.DataFrame, rows: WatchedRows | None = None, earlier: pl.DataFrame | None = None) -> Outcomes:
    bundle = load_bundle(debian_model.trained_model().bundle)
    found = judged(bundle, rows or watched(), given, earlier, np.random.default_rng(0))
    assert isinstance(found, Outcomes)
    return found


def events(*rows: tuple[str, str, int]) -> pl.DataFrame:
    frame = pl.DataFrame(rows, schema=["user_id", "item_id", "days"], orient="row")
    time = pl.lit(NOW) + pl.col("days") * timedelta(days=1)
    return frame.select("user_id", "item_id", timestamp=time, event=pl.lit("depends"))


def test_labels_judge_the_rows_that_have_one() -> None:
    found = outcomes(pl.DataFrame({"user_id": list("uuu"), "item_id": list("abd"), "label": [0, 1, 0]}))
    assert found.queries == 1
    close(found.ndcg, 1 / np.log2(3), "float64")
    close([found.observed, found.found], [1 / 3, 1.0], "float64")


def test_impressions_are_found_by_their_number_however_it_is_written() -> None:
    """A pandas column of numbers with a gap holds fractions."""
    rows = watched()
    rows = replace(rows, keys=rows.keys.with_columns(impression_id=pl.Series(list("777788"))))
    given = pl.DataFrame({"user_id": list("uuv"), "item_id": list("aba"), "impression_id": [7.0, 7.0, None]})
    found = outcomes(given.with_columns(label=pl.Series([0, 1, 1])), rows)
    assert (found.queries, found.users) == (1, 1)


def test_positives_are_what_the_user_takes_first_afterwards() -> None:
    given = events(("u", "b", 2), ("u", "a", 3), ("v", "b", -1))
    found = outcomes(given)
    assert (found.queries, found.users) == (1, 1)
    close(found.ndcg, 1 / np.log2(3), "float64")
    close(found.observed, 1 / 4, "float64")


def test_what_the_user_had_is_not_new_and_what_was_no_candidate_is_missed() -> None:
    schema = {name: EVENTS.schema()[name] for name in ("user_id", "item_id", "timestamp")}
    earlier = events(("u", "a", -5)).select("user_id", "item_id", "timestamp").cast(schema)  # type: ignore[arg-type]
    found = outcomes(events(("u", "a", 2), ("u", "c", 3), ("u", "elsewhere", 3)), earlier=earlier)
    best = 1 + 1 / np.log2(3)
    close(found.ndcg, (1 / np.log2(4)) / best, "float64")
    close(found.found, 0.5, "float64")


def test_rows_without_times_cannot_be_held_against_later_events() -> None:
    with pytest.raises(DataError, match=r"candidates\.timestamp: expected a time in each row"):
        outcomes(events(("u", "a", 2)), watched(with_times=False))


def test_outcomes_without_ids_are_refused() -> None:
    with pytest.raises(DataError, match=r"outcomes\.item_id: expected the column, got none"):
        outcomes(pl.DataFrame({"user_id": ["u"], "label": [1]}))


def test_rows_without_any_outcome_have_none() -> None:
    bundle = load_bundle(debian_model.trained_model().bundle)
    labels = pl.DataFrame({"user_id": ["x", "u"], "item_id": ["y", "a"], "label": [1, 0]})
    reasons = [judged(bundle, watched(), given, None, np.random.default_rng(0)) for given in (labels[:1], labels)]
    assert reasons == [NO_LABEL, NO_POSITIVE]
    assert judged(bundle, watched(), events(("x", "y", 2)), None, np.random.default_rng(0)) == NO_POSITIVE


def test_rows_without_a_score_are_refused() -> None:
    rows = watched()
    scores = np.array([4.0, np.nan, 2, 1, 2, 1])
    given = pl.DataFrame({"user_id": ["u"], "item_id": ["a"], "label": [1]})
    with pytest.raises(
        DataError, match=r"scored: expected numbers in score and match_score, got rows without .* \(1\)"
    ):
        outcomes(given, replace(rows, scores=scores))


def test_labels_that_are_no_numbers_and_outcomes_without_rows_are_refused() -> None:
    given = pl.DataFrame({"user_id": ["u", "u"], "item_id": ["a", "b"], "label": ["1", "yes"]})
    with pytest.raises(DataError, match=r"outcomes\.label: expected 0 or 1, got 'yes' in 1 rows"):
        outcomes(given)
    with pytest.raises(DataError, match="outcomes: expected rows, got none"):
        outcomes(given.clear())
