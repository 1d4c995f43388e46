"""`recmem.RecmemFeatures` is a transformer as scikit-learn knows them, whose fitted state lies in files."""

from __future__ import annotations

import pickle
from datetime import timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import polars as pl
import pytest
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.utils.estimator_checks import check_estimator

import cross_fit_log
from feature_store import DataError
from recmem.serving.scoring import MATCH_OUTPUTS
from tolerances import close
from training.ranker_features import RecmemFeatures

NEED_NUMBERS: set[str] = set()
"""Checks of scikit-learn's that pass arrays of numbers, or frames of other columns: these rows have no ids."""


def transformer() -> RecmemFeatures:
    """Of the folds that `cross_fit_log.fitted` has left: fitting it reads them again."""
    out = cross_fit_log.fitted().bundle.parent
    return RecmemFeatures(out=out, store=out / "store", folds=cross_fit_log.N_FOLDS)


def new_rows() -> pl.DataFrame:
    """Rows of a day after the log."""
    last = cross_fit_log.events()["timestamp"].max()
    rows = cross_fit_log.rows().head(50).select("user_id", "item_id", "own")
    return rows.with_columns(timestamp=pl.lit(last + timedelta(days=1)))


def test_training_rows_get_cross_fitted_features_and_new_rows_those_that_serve() -> None:
    rows = cross_fit_log.rows()
    match = transformer()
    found = cross_fit_log.fitted().frame.select(MATCH_OUTPUTS)
    close(match.fit_transform(rows), found.fill_null(np.nan).to_numpy(), "float32")
    served = match.model().match(new_rows()).select(MATCH_OUTPUTS).to_numpy()
    close(match.transform(new_rows()), served, "float32")
    assert match.transform(new_rows()).dtype == np.float32


def test_rows_without_learned_features_are_counted_in_a_warning(caplog: pytest.LogCaptureFixture) -> None:
    rows = cross_fit_log.rows()
    transformer().fit_transform(rows)
    n_without = cross_fit_log.fitted().n_without
    assert f"{n_without:,} of {len(rows):,} rows are older than the first fold" in caplog.text


def test_transforming_training_rows_warns_that_they_are_in_sample(caplog: pytest.LogCaptureFixture) -> None:
    transformer().fit(cross_fit_log.rows()).transform(cross_fit_log.rows().head(7))
    assert "7 rows are in sample" in caplog.text


@pytest.mark.parametrize("library", ["polars", "pandas"])
def test_output_is_a_frame_where_that_is_set(library: str) -> None:
    match = transformer().set_output(transform=library)
    rows = cross_fit_log.rows().head(20).to_pandas().set_index("own")
    frame = match.fit_transform(rows)
    assert isinstance(frame, pl.DataFrame if library == "polars" else pd.DataFrame)
    assert list(frame.columns) == list(match.get_feature_names_out()) == list(MATCH_OUTPUTS)
    if isinstance(frame, pd.DataFrame):
        assert frame.index.equals(rows.index)


def test_a_clone_has_the_settings_and_nothing_that_was_learned() -> None:
    fitted = transformer().fit(cross_fit_log.rows())
    copied = clone(fitted)
    assert copied.get_params() == fitted.get_params()
    with pytest.raises(NotFittedError):
        copied.transform(new_rows())


def test_a_pickle_holds_the_path_of_what_was_learned() -> None:
    fitted = transformer().fit(cross_fit_log.rows())
    expected = fitted.transform(new_rows())
    pickled = pickle.dumps(fitted)
    assert len(pickled) < 2000
    assert str(cross_fit_log.fitted().bundle).encode() in pickled
    close(pickle.loads(pickled).transform(new_rows()), expected, "float32")


def test_without_a_folder_it_is_refused() -> None:
    with pytest.raises(DataError, match=r"out: expected a folder, got none"):
        RecmemFeatures(cross_fit_log.items(), cross_fit_log.events()).fit(cross_fit_log.rows())


@pytest.mark.parametrize("rows", [np.zeros((3, 2)), [[1, 2]], "rows"])
def test_what_is_no_frame_is_refused_and_called_x(rows: object) -> None:
    with pytest.raises(DataError, match=r"X: expected a polars, pandas or Arrow frame, got"):
        transformer().fit(rows)


def test_scikit_learns_own_checks_pass_but_for_those_that_pass_rows_without_ids(tmp_path: Path) -> None:
    outcomes = check_estimator(transformer(), on_fail=None, on_skip=None)
    failed = {str(outcome["check_name"]) for outcome in outcomes if outcome["status"] == "failed"}
    assert failed == NEED_NUMBERS
