"""Two champions trained a week apart on a growing log give the same rows the same distribution of `match_score`."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path

import numpy as np
import polars as pl
from scipy.stats import ks_2samp

import cross_fit_log
import recmem
from conftest import IsolatedMlflow
from recmem.retrieval.interleave import RetrievalConfig
from tolerances import close
from training.config import TrainingConfig
from training.fitting.fit_encoder import EncoderTuningConfig
from training.fitting.fit_match import MatchTrainingConfig
from training.fitting.fit_ranker import RankerConfig
from training.fitting.match_batches import BatchConfig
from training.pipeline import run_training
from training.progress import Silent
from training.run import TrainingResult

DAYS = (cross_fit_log.N_TIMES - 7, cross_fit_log.N_TIMES)
MOST = 0.02
"""Kolmogorov-Smirnov distance of `match_score` between two versions."""


def config() -> TrainingConfig:
    return TrainingConfig(
        tuning=EncoderTuningConfig(kind="off"),
        match=MatchTrainingConfig(min_steps=60, max_steps=60, batch=BatchConfig(queries=32, negatives=32)),
        ranker=RankerConfig(rounds=20, smoothing=3),
        retrieval=RetrievalConfig(candidates=60),
        tree_members=1,
        registered_name="steady",
    )


def trained_until(day: int, out: Path) -> TrainingResult:
    end = cross_fit_log.START + timedelta(days=day)
    return run_training(
        items=cross_fit_log.items(),
        events=cross_fit_log.events().filter(pl.col("timestamp") < end),
        impressions=None,
        out=out,
        store=None,
        config=config(),
        progress=Silent(),
    )


def reference_rows() -> pl.DataFrame:
    """Every user and every item, the day after the log: new to both versions."""
    users = cross_fit_log.events().select("user_id").unique().sort("user_id")
    rows = users.join(cross_fit_log.items().select("item_id"), how="cross")
    return rows.with_columns(timestamp=pl.lit(cross_fit_log.START + timedelta(days=cross_fit_log.N_TIMES + 1)))


def test_match_score_moves_by_less_than_two_hundredths_within_a_week(
    isolated_mlflow: IsolatedMlflow, tmp_path: Path
) -> None:
    results = [trained_until(day, tmp_path / "run") for day in DAYS]
    assert results[1].verdict.champion is not None
    store = tmp_path / "run" / "store"
    before, after = (recmem.load(f"models:/steady/{result.version}", store=store) for result in results)
    learned = recmem.load(tmp_path / "run" / "work" / "refit" / "bundle", store=store)
    matches = {
        name: model.match(reference_rows())
        for name, model in (("before", before), ("after", after), ("fitted anew", learned))
    }
    scores = {name: match["match_score"].to_numpy() for name, match in matches.items()}
    scale = json.loads((tmp_path / "run" / "work" / "calibrate" / "scale.json").read_text())
    assert scale["kind"] == "kept"
    assert ks_2samp(scores["before"], scores["after"]).statistic < MOST
    # Without the step the scale would have moved; single scores still do, by more than half of the mean score.
    assert ks_2samp(scores["before"], scores["fitted anew"]).statistic > 5 * MOST
    assert np.abs(scores["before"] - scores["after"]).max() > scores["before"].mean() / 2
    # It is the scale alone: raw scores are the learned module's, and none changes its place.
    raw = matches["after"]["match_raw"].to_numpy()
    close(raw, matches["fitted anew"]["match_raw"].to_numpy(), "exact")
    assert (np.diff(scores["after"][np.argsort(raw, kind="stable")]) >= 0).all()
