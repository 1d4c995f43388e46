"""`recmem.RecmemFeatures` is a transformer as scikit-learn knows them, whose fitted state lies in files."""

from __future__ import annotations

import pickle
from datetime import timedelta
from inspect import signature

import numpy as np
import pandas as pd
import polars as pl
import pytest
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.utils.estimator_checks import check_estimator

import cross_fit_log
import recmem
from feature_store import DataError
from recmem.serving.scoring import MATCH_OUTPUTS
from tolerances import close
from training.ranker_features import RecmemFeatures

NEED_NUMBERS = {
    "check_complex_data",
    "check_dict_unchanged",
    "check_dont_overwrite_parameters",
    "check_dtype_object",
    "check_estimator_sparse_array",
    "check_estimator_sparse_matrix",
    "check_estimator_sparse_tag",
    "check_estimators_dtypes",
    "check_estimators_empty_data_messages",
    "check_estimators_fit_returns_self",
    "check_estimators_nan_inf",
    "check_estimators_overwrite_params",
    "check_estimators_pickle",
    "check_f_contiguous_array_estimator",
    "check_fit2d_1feature",
    "check_fit2d_1sample",
    "check_fit2d_predict1d",
    "check_fit_check_is_fitted",
    "check_fit_idempotent",
    "check_fit_score_takes_y",
    "check_methods_sample_order_invariance",
    "check_methods_subset_invariance",
    "check_n_features_in",
    "check_n_features_in_after_fitting",
    "check_pipeline_consistency",
    "check_positive_only_tag_during_fit",
    "check_readonly_memmap_input",
    "check_transformer_data_not_an_array",
    "check_transformer_general",
    "check_transformer_preserve_dtypes",
}
"""Checks of scikit-learn's that fit on arrays of random numbers, which have no ids: they are refused. What these checks
are about is tested below on rows with ids, where it means something."""


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


def test_it_has_every_argument_of_training_features_but_rows_and_progress() -> None:
    arguments = set(signature(recmem.training_features).parameters)
    assert set(RecmemFeatures().get_params()) == arguments - {"rows", "progress"}


def test_without_a_folder_it_is_refused() -> None:
    with pytest.raises(DataError, match=r"out: expected a folder, got none"):
        RecmemFeatures(cross_fit_log.items(), cross_fit_log.events()).fit(cross_fit_log.rows())


@pytest.mark.parametrize("rows", [np.zeros((3, 2)), [[1, 2]], "rows"])
def test_what_is_no_frame_is_refused_and_called_x(rows: object) -> None:
    with pytest.raises(DataError, match=r"X: expected a polars, pandas or Arrow frame, got"):
        transformer().fit(rows)


def test_scikit_learns_own_checks_pass_but_for_those_that_pass_rows_without_ids() -> None:
    outcomes = check_estimator(transformer(), on_fail=None, on_skip=None)
    failed = {str(outcome["check_name"]) for outcome in outcomes if outcome["status"] == "failed"}
    assert failed == NEED_NUMBERS
    passed = {str(outcome["check_name"]) for outcome in outcomes if outcome["status"] == "passed"}
    assert {"check_estimator_cloneable", "check_set_params", "check_transformers_unfitted"} <= passed


def test_fit_returns_the_transformer_and_changes_no_setting() -> None:
    match = transformer()
    before = match.get_params()
    rows = cross_fit_log.rows()
    assert match.fit(rows, rows["label"]) is match
    assert match.get_params() == before
    assert match.n_features_in_ == len(rows.columns)
    assert list(match.feature_names_in_) == rows.columns


def test_a_second_fit_changes_nothing_and_neither_does_transforming() -> None:
    match = transformer().fit(cross_fit_log.rows())
    first = match.transform(new_rows())
    state = pickle.dumps(match)
    assert np.array_equal(match.transform(new_rows()), first)
    assert pickle.dumps(match) == state
    assert np.array_equal(match.fit(cross_fit_log.rows()).transform(new_rows()), first)


def test_each_row_gets_its_features_whatever_other_rows_there_are() -> None:
    match = transformer().fit(cross_fit_log.rows())
    whole = match.transform(new_rows())
    order = np.random.default_rng(0).permutation(len(whole))
    close(match.transform(new_rows()[order]), whole[order], "float32")
    alone = [match.transform(new_rows()[row : row + 1])[0] for row in range(5)]
    close(np.stack(alone), whole[:5], "float32")


def test_it_is_a_step_of_a_pipeline() -> None:
    pipeline = make_pipeline(transformer(), LogisticRegression(max_iter=1000))
    rows = cross_fit_log.rows().filter(pl.col("timestamp") > cross_fit_log.START + timedelta(days=14))
    pipeline.fit(rows, rows["label"].to_numpy())
    best = pipeline.predict_proba(new_rows())[:, 1]
    raw = transformer().fit(rows).transform(new_rows())[:, 1]
    assert np.corrcoef(best, raw)[0, 1] > 0.5
