from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import small_training
from feature_store.point_in_time.click_through import CLICK_FEATURES
from feature_store.ragged import Ragged
from recmem.matching.calibration import Calibration
from recmem.matching.matcher import MATCH_FEATURES
from recmem.ranking.pair_features import PairFeatures
from training.evaluation.ledger import WITH_MATCH, WITH_SIMILARITY, WITHOUT_MATCH, Ledger
from training.fitting.fit_ranker import RankingData
from training.run import RANKER_FILES
from training.steps.rank import RankSummary, features_by_ranker, read_held_out


def test_summary_comes_back_as_it_was(tmp_path: Path) -> None:
    summary = RankSummary("similarity_max", Calibration(0.5, -1.25), {WITH_MATCH: [0.1, 0.2]})
    summary.write(tmp_path)
    assert RankSummary.read(tmp_path) == summary


def test_trained_run_has_a_curve_per_ranker_and_a_pooling_among_the_text_similarities() -> None:
    summary = RankSummary.read(small_training.trained() / "run" / "work" / "rank")
    assert set(summary.curves) == {WITHOUT_MATCH, WITH_SIMILARITY, WITH_MATCH}
    assert summary.pooling in MATCH_FEATURES
    assert summary.calibration.slope > 0


@pytest.mark.parametrize("has_impressions", [False, True])
def test_rankers_differ_by_the_match_features_only(has_impressions: bool) -> None:
    names = ("match_raw", "popularity", *CLICK_FEATURES, "similarity_max")
    values = {name: np.zeros(1, np.float32) for name in names}
    data = RankingData(PairFeatures(Ragged.from_lists([[0]]), values), np.zeros(1, np.int8))
    features = features_by_ranker(data, has_impressions=has_impressions)
    clicks = CLICK_FEATURES if has_impressions else ()
    assert features == {
        WITHOUT_MATCH: ("popularity", *clicks),
        WITH_SIMILARITY: ("popularity", *clicks, "similarity_max"),
        WITH_MATCH: ("match_raw", "popularity", *clicks, "similarity_max"),
    }


def test_trained_run_tells_which_ranker_ships_and_its_bundle_has_that_one() -> None:
    run = small_training.trained() / "run"
    held_out = read_held_out(run / "work" / "rank")
    assert held_out.queries > 0
    for file in RANKER_FILES:
        measured = (run / "measured_bundle" / file).read_text()
        assert measured == (run / "work" / "rank" / f"{held_out.ships}.{file}").read_text()
    assert Ledger.from_json((run / "ledger.json").read_text()).held_out == held_out


def test_text_features_of_the_small_training_clearly_pass_their_test() -> None:
    # The tests of serving use its bundle: its ranker must have them.
    held_out = read_held_out(small_training.trained() / "run" / "work" / "rank")
    assert held_out.ships == WITH_MATCH
    assert held_out.lift is not None
    assert held_out.lift.ci95[0] > 0.05
    # All libraries that come out at the ranker's one date are cold to the queries of both halves.
    assert held_out.cold is not None
    assert held_out.cold.positives >= 5
