"""`recmem.training_features`: what it gives, and what it refuses."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest

import cross_fit_log
import recmem
from feature_store import DataError
from recmem.serving.bundle import load_bundle
from recmem.serving.scoring import MATCH_OUTPUTS
from training.training_features import training_features


def auc(scores: pl.Series, labels: pl.Series) -> float:
    """Share of (positive, negative) pairs that the scores order rightly."""
    places = scores.rank().to_numpy()
    is_positive = labels.to_numpy() > 0
    n_positive = is_positive.sum()
    n_negative = len(labels) - n_positive
    return float((places[is_positive].sum() - n_positive * (n_positive + 1) / 2) / (n_positive * n_negative))


def test_match_tells_positives_that_no_module_had_seen_and_in_sample_scores_tell_more() -> None:
    found = cross_fit_log.fitted()
    frame = found.frame.drop_nulls("match_score")
    cross_fitted = auc(frame["match_score"], frame["label"])
    in_sample = recmem.load(found.bundle).match(frame.drop(MATCH_OUTPUTS))
    # At best .785: one of ten positives is not of the user's theme, one of three negatives is.
    assert cross_fitted > 0.68
    assert auc(in_sample["match_score"], in_sample["label"]) > cross_fitted + 0.02


def test_rows_come_back_as_they_were_with_the_features_after_their_columns() -> None:
    found = cross_fit_log.fitted()
    rows = cross_fit_log.rows()
    assert found.frame.select(rows.columns).equals(rows)
    assert found.frame.columns == [*rows.columns, *MATCH_OUTPUTS]
    assert found.n_without == found.frame["match_score"].null_count()
    assert found.unmatched.unknown_users == 0
    assert found.intake.receipts[1].n_new == len(cross_fit_log.events())


def test_a_run_in_the_folder_of_a_training_leaves_its_bundle_alone(tmp_path: Path) -> None:
    (tmp_path / "bundle").mkdir()
    (tmp_path / "bundle" / "mine").write_text("kept")
    few = cross_fit_log.events().filter(pl.col("user_id").str.ends_with("0"))
    found = training_features(few.head(5), cross_fit_log.items(), few, out=tmp_path, folds=1)
    assert (tmp_path / "bundle" / "mine").read_text() == "kept"
    assert found.bundle.parent == tmp_path
    assert np.isfinite(found.frame["similarity_max"].to_numpy()).all()


def test_a_configuration_is_taken_and_what_only_a_training_needs_is_not_read(tmp_path: Path) -> None:
    few = cross_fit_log.events().filter(pl.col("user_id").str.ends_with("0"))
    of_a_training = {"memory.recent": 7, "seed": 3, "folds": 2, "features": ["ctr"], "tuning.kind": "last"}
    found = training_features(
        cross_fit_log.rows(few), cross_fit_log.items(), few, out=tmp_path, folds=1, config=of_a_training, seed=4
    )
    assert len(found.folds) == 2  # of the one window, and the one that serves
    config = load_bundle(found.bundle).config
    assert config.memory.recent == 7
    assert config.tuning is None
    assert config.dataset.candidate_features == ()
    again = training_features(
        *(cross_fit_log.rows(few), cross_fit_log.items(), few),
        out=tmp_path,
        folds=1,
        config={"memory": {"recent": 7}},
        seed=4,
    )
    assert not again.reused  # the folds depend on the whole configuration
    with pytest.raises(ValueError, match=r"memory.recent: expected 1 to 200, got 0.*\n.*seed: expected 0 to"):
        training_features(cross_fit_log.rows(few), out=tmp_path, store="s", config={"memory.recent": 0}, seed=-1)


def test_rows_that_cannot_be_used_are_refused_before_anything_is_written(tmp_path: Path) -> None:
    rows = cross_fit_log.rows().drop("timestamp")
    with pytest.raises(DataError, match=r"rows\.timestamp: expected the column, got none"):
        training_features(rows, cross_fit_log.items(), cross_fit_log.events(), out=tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_without_tables_and_store_it_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"items, events: expected both, or a store that holds them, got neither"):
        training_features(cross_fit_log.rows(), items=cross_fit_log.items(), out=tmp_path)


def test_a_number_of_folds_that_is_none_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="folds: expected a whole number of at least 1, got 0"):
        training_features(cross_fit_log.rows(), cross_fit_log.items(), cross_fit_log.events(), out=tmp_path, folds=0)
