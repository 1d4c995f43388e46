"""The chain of match modules: what each has learned from, and what it is calibrated on."""

from __future__ import annotations

from datetime import timedelta
from itertools import pairwise
from pathlib import Path

import numpy as np
import polars as pl

import cross_fit_log
from feature_store.point_in_time.read_protocol import END_OF_TIME
from feature_store.schema import EVENTS, ITEMS, check_table
from recmem.dataset.catalogue import Catalogue
from recmem.dataset.dataset import Dataset, DatasetConfig
from feature_store import SignalConfig
from feature_store.point_in_time.counters import CounterConfig
from feature_store.point_in_time.covisitation import CovisitationConfig
from training.cross_fit.chain import log_known_at
from training.training_features import training_features

N_FOLDS = 4


def test_folds_follow_each_other_and_the_last_scores_what_is_to_come() -> None:
    folds = cross_fit_log.fitted().folds
    assert len(folds) == N_FOLDS + 1
    assert all(before.scores_until == after.until for before, after in pairwise(folds))
    assert folds[-1].scores_until == END_OF_TIME
    assert folds[-1].until == int(cross_fit_log.events()["timestamp"].dt.epoch("us").max())


def test_what_happens_after_a_fold_begins_changes_no_score_up_to_its_begin(tmp_path: Path) -> None:
    found = cross_fit_log.fitted()
    border = found.folds[-2].until
    # From then on everybody takes what nobody wanted.
    is_later = pl.col("timestamp").dt.epoch("us") > border
    reversed_items = dict(zip(cross_fit_log.items()["item_id"], cross_fit_log.items()["item_id"].reverse(), strict=True))
    changed = cross_fit_log.events().with_columns(
        item_id=pl.when(is_later).then(pl.col("item_id").replace_strict(reversed_items)).otherwise("item_id")
    )
    other = training_features(cross_fit_log.rows(), cross_fit_log.items(), changed, out=tmp_path, folds=N_FOLDS)
    both = found.frame.with_columns(other=other.frame["match_score"])
    until = both.filter(~is_later)
    assert until["match_score"].null_count() < len(until)
    assert until["match_score"].equals(until["other"].alias("match_score"), null_equal=True)
    later = both.filter(is_later)
    assert (later["match_score"] != later["other"]).mean() > 0.3


def test_an_event_that_arrives_after_a_cut_is_not_learned_from_before_it() -> None:
    events = cross_fit_log.events().head(3)
    begin = events["timestamp"][0]
    late = events.with_columns(
        timestamp=pl.lit(begin), available_at=pl.Series([begin, begin + timedelta(days=2), begin + timedelta(days=9)])
    )
    kept = check_table(late, EVENTS).kept
    catalogue = Catalogue.of(check_table(cross_fit_log.items(), ITEMS).kept, ("title",))
    config = DatasetConfig(SignalConfig(), CounterConfig(1, 2, 3), CovisitationConfig(), 0, 1)
    dataset = Dataset.of(catalogue, kept, pl.DataFrame({"user_id": []}, schema={"user_id": pl.String}), config)
    del np
