"""The chain of match modules: what each has learned from, and what it is calibrated on."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
import polars as pl

import cross_fit_log
from feature_store.point_in_time.read_protocol import END_OF_TIME
from feature_store.ragged import Ragged
from five_item_dataset import dataset_of
from recmem.ranking.pair_features import PairFeatures
from slow_reference import Event
from training.cross_fit.chain import FEWEST_POSITIVES, WindowPairs, calibration_of, log_known_at
from training.fitting.fit_calibration import fit_calibration
from training.fitting.fit_ranker import RankingData
from training.queries import Queries
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
    border = found.folds[-3].until
    # From then on everybody takes what nobody wanted.
    is_later = pl.col("timestamp").dt.epoch("us") > border
    reversed_items = dict(
        zip(cross_fit_log.items()["item_id"], cross_fit_log.items()["item_id"].reverse(), strict=True)
    )
    changed = cross_fit_log.events().with_columns(
        item_id=pl.when(is_later).then(pl.col("item_id").replace_strict(reversed_items)).otherwise("item_id")
    )
    other = training_features(cross_fit_log.rows(), cross_fit_log.items(), changed, out=tmp_path, folds=N_FOLDS)
    both = found.frame.with_columns(other=other.frame["match_score"])
    until = both.filter(~is_later)
    assert until["match_score"].null_count() < len(until)
    assert until["match_score"].equals(until["other"].alias("match_score"), null_equal=True)
    # The next module has learned from the change.
    later = both.filter(pl.col("timestamp").dt.epoch("us") > found.folds[-2].until)
    assert (later["match_score"] != later["other"]).mean() > 0.9


def test_an_event_that_arrives_after_a_cut_is_not_learned_from_before_it() -> None:
    dataset = dataset_of([Event(0, 1, 3), Event(1, 2, 3, available=9), Event(2, 3, 5)])
    # Rows after a cut at 7 are at 8 or later: what is known from 9 on, the first of them could not know.
    assert sorted(log_known_at(dataset, 7).item_rows) == [1, 3]
    assert sorted(log_known_at(dataset, 8).item_rows) == [1, 2, 3]


def test_calibration_is_that_of_the_newest_windows_with_enough_positives() -> None:
    old = window_of([0.0, 1.0, 2.0, 3.0], [1, 1, 0, 0])
    new = window_of([0.0, 1.0, 2.0, 3.0] * FEWEST_POSITIVES, [0, 1, 0, 1] * FEWEST_POSITIVES)
    alone = fit_calibration(new.scores, new.data.labels)
    assert calibration_of([old, new]) == alone
    few = window_of([0.0, 1.0], [0, 1])
    assert calibration_of([old, few]) == fit_calibration(
        np.array([0.0, 1.0, 0.0, 1.0, 2.0, 3.0], np.float32), np.array([0, 1, 1, 1, 0, 0], np.int8)
    )


def window_of(scores: list[float], labels: list[int]) -> WindowPairs:
    candidates = Ragged.from_lists([list(range(len(scores)))])
    pairs = PairFeatures(candidates, {})
    nobody = np.zeros(1, np.int64)
    queries = Queries(nobody, nobody, Ragged.from_lists([[0]]))
    return WindowPairs(queries, RankingData(pairs, np.array(labels, np.int8)), np.array(scores, np.float32))
