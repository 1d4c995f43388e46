"""The model that serves: new rows get what the newest fold gives, and all of `Model` works."""

from __future__ import annotations

from datetime import timedelta

import polars as pl
import pytest

import cross_fit_log
import recmem
from recmem.serving.scoring import MATCH_OUTPUTS
from tolerances import close


@pytest.fixture(scope="module")
def model() -> recmem.Model:
    return recmem.load(cross_fit_log.fitted().bundle, device="cpu")


def new_rows() -> pl.DataFrame:
    """A day after the log, the first rows of a month before."""
    last = cross_fit_log.events()["timestamp"].max()
    rows = cross_fit_log.rows().head(200).select("user_id", "item_id")
    return rows.with_columns(timestamp=pl.lit(last + timedelta(days=1)))


def test_new_rows_get_the_features_of_the_newest_fold(model: recmem.Model) -> None:
    served = model.match_with_report(new_rows())
    assert served.n_in_sample == 0
    fitted = cross_fit_log.cross_fitted().features(new_rows())
    for name in MATCH_OUTPUTS:
        close(served.frame[name].to_numpy(), fitted.columns[name].to_numpy(), "float32")


def test_names_and_types_are_those_of_serving(model: recmem.Model) -> None:
    served = model.match(new_rows())
    made = cross_fit_log.fitted().frame
    assert [(name, served.schema[name]) for name in MATCH_OUTPUTS] == [
        (name, made.schema[name]) for name in MATCH_OUTPUTS
    ]


def test_training_rows_are_counted_as_in_sample(model: recmem.Model, caplog: pytest.LogCaptureFixture) -> None:
    rows = cross_fit_log.rows().head(30)
    assert model.match_with_report(rows).n_in_sample == 30
    assert caplog.text == ""
    model.match(pl.concat([rows.select("user_id", "item_id", "timestamp"), new_rows()]))
    assert "30 rows are in sample: the model has learned from all events up to 2026-01-24" in caplog.text


def test_the_model_recommends_what_its_users_theme_is(model: recmem.Model) -> None:
    best = model.recommend(["user-0", "user-1"], k=5)
    themes = best["item_id"].str.split("-").list.first()
    assert (themes == best["user_id"].replace_strict({"user-0": "network", "user-1": "drawing"})).mean() > 0.7
    assert "because" in model.explain("user-0", best["item_id"][0]).sentence()
