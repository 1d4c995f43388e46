"""The other outcome of a training: text features have not passed their test, and the ranker without them ships."""

from __future__ import annotations

import functools
import json
import shutil
import tempfile
from pathlib import Path

import polars as pl
import pytest

import recmem
import small_training
from command_line import DONE, Outcome, write_candidates
from recmem.ranking.feature_table import TEXT_FEATURES
from recmem.serving.bundle import load_bundle
from tolerances import close
from training.config import TrainingConfig
from training.evaluation.ledger import WITHOUT_MATCH, HeldOut, Lift, held_out_to_json
from training.evaluation.queries_after_training import MEASURED_BUNDLE
from training.progress import Silent
from training.run import RANKER_FILES, open_run
from training.steps.calibrate import calibrate
from training.steps.evaluate import evaluate
from training.steps.rank import HELD_OUT
from training.steps.refit import refit
from training.steps.report import report
from training.tables import Tables
from training.tracking.tracker import Tracker

NOT_PASSED = HeldOut(WITHOUT_MATCH, 15, Lift(0.6, 0.55, -0.05, (-0.1, 0.02)), None)
BUNDLES = ("bundle", MEASURED_BUNDLE)


@functools.cache
def run() -> Path:
    """The small training's folder after the steps that follow another outcome of the test."""
    folder = Path(tempfile.mkdtemp(prefix="recmem-without-text-")) / "run"
    shutil.copytree(small_training.trained() / "run", folder)
    opened = open_run(Tables(), folder, None, TrainingConfig(), Silent())
    (opened.folder("rank") / HELD_OUT).write_text(held_out_to_json(NOT_PASSED))
    with Tracker.start(opened.out) as tracker:
        for step in (evaluate, refit, calibrate, report):
            step(opened, tracker.parent)
    return folder


@pytest.mark.parametrize("name", BUNDLES)
def test_both_bundles_have_a_ranker_without_text_features(name: str) -> None:
    assert not set(load_bundle(run() / name).ranker.features) & set(TEXT_FEATURES)
    # The small training itself ships the other one.
    assert set(load_bundle(small_training.trained() / "run" / name).ranker.features) >= {"match_raw", "similarity_max"}


def test_measured_ranker_is_the_fitted_one_and_the_shipped_one_is_refitted() -> None:
    for file in RANKER_FILES:
        fitted = (run() / "work" / "rank" / f"{WITHOUT_MATCH}.{file}").read_text()
        assert (run() / MEASURED_BUNDLE / file).read_text() == fitted
    measured, shipped = (load_bundle(run() / name).ranker for name in (MEASURED_BUNDLE, "bundle"))
    assert shipped.inputs == measured.inputs
    assert shipped.blend.weights != measured.blend.weights


@pytest.mark.parametrize("name", BUNDLES)
def test_texts_move_the_match_score_and_not_the_ranking(name: str) -> None:
    model = recmem.load(run() / name)
    titles = ["network transfer library over HTTP and TLS", "audio codec for sound"]
    unseen = pl.DataFrame({"user_id": ["curl"] * 2, "item_id": ["new-1", "new-2"], "title": titles})
    ranked = model.rank(unseen)
    close(ranked["score"][0], ranked["score"][1], "exact")
    assert ranked["match_score"][0] > 2 * ranked["match_score"][1]


def test_a_match_that_does_not_rank_is_no_reason() -> None:
    model = recmem.load(run() / "bundle")
    best = model.recommend(["curl"], k=1)
    assert best["reason"][0].startswith("no reason from memory")
    assert model.explain("curl", best["item_id"][0]).reason().startswith("no reason from memory")


def test_the_command_line_scores_and_explains_with_it(tmp_path: Path) -> None:
    candidates = write_candidates(tmp_path)
    out = tmp_path / "scores.parquet"
    scored = Outcome("score", "--model", run() / "bundle", "--candidates", candidates, "--out", out)
    assert scored.code == DONE, scored.err
    assert pl.read_parquet(out).equals(recmem.load(run() / "bundle").rank(pl.read_parquet(candidates)))
    explained = Outcome("explain", "--model", run() / "bundle", "--user", "curl", "--item", "libopus-dev")
    assert explained.code == DONE, explained.err
    _, ranking = explained.out.split("Ranking score")
    assert "popularity" in ranking
    assert "match_raw" not in ranking


def test_ledger_and_report_say_which_ranker_ships_and_why() -> None:
    ledger = json.loads((run() / "ledger.json").read_text())
    assert ledger["ships"] == WITHOUT_MATCH
    # Both are measured, whichever ships.
    assert {"ranker_without_match", "ranker_with_match"} <= {row["name"] for row in ledger["rows"]}
    assert (
        '<p class="ships">The ranker without text features ships: on 15 held-out queries before '
        "the test, text features changed NDCG@10 by \N{MINUS SIGN}0.050" in (run() / "report.html").read_text()
    )
