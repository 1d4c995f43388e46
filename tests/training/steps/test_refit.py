"""The last refit: what it learns from, what it keeps, and what ships without it."""

from __future__ import annotations

import functools
import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import small_training
from feature_store.arrays import Float32Array
from feature_store.timestamps import iso_time
from recmem.matching.matcher import Matcher
from recmem.matching.mean_module import mean_module
from recmem.serving.bundle import load_bundle
from training.config import TrainingConfig
from training.evaluation.champion_figures import test_queries
from training.evaluation.queries_after_training import MEASURED_BUNDLE
from training.fitting.fit_calibration import fit_calibration
from training.fitting.fit_ranker import RankingData
from training.fitting.scale_line import ScaleLine, scores_as_of
from training.progress import Silent
from training.run import Run, open_run
from training.steps.match import continue_members
from training.steps.rank import RankSummary
from training.steps.refit import SEED_OFFSET, RefitSummary, _pairs, end_of_learning, learned_bundle, refit
from training.tables import Tables
from training.tracking.tracker import Tracker
from training.training_data import ranking_data


def run_in(folder: Path, config: TrainingConfig | None = None) -> Run:
    return open_run(Tables(), folder, None, config or TrainingConfig(), Silent())


@functools.cache
def trained() -> Run:
    return run_in(small_training.trained() / "run")


def test_learned_bundle_has_learned_until_the_last_event_and_the_measured_one_until_the_test() -> None:
    run = trained()
    times = run.training_data.dataset.log.times
    shipped = load_bundle(run.out / "bundle").config
    measured = load_bundle(run.out / MEASURED_BUNDLE).config
    assert shipped.learned_until == times.max() == end_of_learning(run)
    assert measured.learned_until == run.training_data.split.test_from < shipped.learned_until
    assert replace(shipped, learned_until=0, calibration=measured.calibration) == replace(measured, learned_until=0)
    summary = RefitSummary.read(run)
    assert (summary.refitted, summary.learned_until) == (True, iso_time(int(times.max())))


def test_match_module_goes_on_from_final_and_the_measured_one_is_final_itself() -> None:
    run = trained()
    fitted = continue_members(run, "final", name="refit", until=end_of_learning(run), seed_offset=SEED_OFFSET)
    expected = mean_module(fitted.modules).state_dict()
    final = run.module("final").state_dict()
    refitted = load_bundle(run.out / "bundle").module.state_dict()
    measured = load_bundle(run.out / MEASURED_BUNDLE).module.state_dict()
    for name, weights in expected.items():
        assert weights.equal(refitted[name]), name
        assert final[name].equal(measured[name]), name
    assert not refitted["query"].equal(measured["query"])


def test_ranker_keeps_its_features_and_rounds_and_is_fitted_on_the_test_period_too() -> None:
    run = trained()
    refitted = load_bundle(run.out / "bundle").ranker
    measured = load_bundle(run.out / MEASURED_BUNDLE).ranker
    assert (refitted.features, refitted.inputs) == (measured.features, measured.inputs)
    assert refitted.booster.num_trees() == measured.booster.num_trees()
    assert refitted.blend.weights != measured.blend.weights
    n_queries = len(_pairs(run, "rank").pairs.candidates) + len(_pairs(run, "evaluate").pairs.candidates)
    assert RefitSummary.read(run).queries == n_queries


def test_pairs_of_each_period_are_scored_by_the_module_that_has_not_learned_from_it() -> None:
    run = trained()
    split = run.training_data.split
    _, windows = ranking_data(
        run.training_data, run.matcher("base"), split.ranker_from, split.test_from, 99, run.config
    )
    _, test = ranking_data(run.training_data, run.matcher("final"), split.test_from, split.test_until, 99, run.config)
    joined = RankingData.concat([_pairs(run, "rank"), _pairs(run, "evaluate")])
    raw = np.concatenate([windows.pairs.values["match_raw"], test.pairs.values["match_raw"]])
    assert joined.pairs.values["match_raw"].tobytes() == raw.tobytes()
    assert joined.labels.tolist() == [*windows.labels, *test.labels]


def test_calibration_is_fitted_on_one_scale_and_brought_to_that_of_the_refitted_module() -> None:
    run = trained()
    data = run.training_data
    refitted = load_bundle(learned_bundle(run))
    queries, _ = test_queries(data, run.config.test_queries)
    tested = _pairs(run, "evaluate")
    matchers = [run.matcher("base"), run.matcher("final"), Matcher.of(refitted.module, data.unit, run.config.memory)]

    def scores(matcher: Matcher, time: int) -> Float32Array:
        return scores_as_of(time, matcher, data.dataset, queries.users, tested.pairs.candidates)

    test_from = data.split.test_from
    to_base = ScaleLine().after(*[scores(matcher, test_from) for matcher in matchers[:2]])
    line = to_base.after(*[scores(matcher, end_of_learning(run)) for matcher in matchers[1:]])
    windows = _pairs(run, "rank")
    raw = np.concatenate([windows.pairs.values["match_raw"], to_base.of(tested.pairs.values["match_raw"])])
    fitted = line.calibration(fit_calibration(raw, np.concatenate([windows.labels, tested.labels])))
    assert refitted.config.calibration == fitted
    assert line.factor != 1
    assert RankSummary.read(run.folder("rank")).calibration != fitted


def test_pairs_that_a_step_kept_in_memory_are_taken_as_they_are() -> None:
    run = run_in(trained().out)
    computed = _pairs(run, "evaluate")
    run.pairs["evaluate"] = computed
    assert _pairs(run, "evaluate") is computed


def refitted_again(tmp_path: Path, *, with_refit: bool) -> Run:
    """The step on a copy of the training."""
    shutil.copytree(trained().out, tmp_path / "run")
    run = run_in(tmp_path / "run", TrainingConfig(refit=with_refit))
    with Tracker.start(run.out) as tracker:
        refit(run, tracker.parent)
    return run


def test_without_a_refit_the_measured_bundle_ships_and_none_is_left_of_an_earlier_refit(tmp_path: Path) -> None:
    run = refitted_again(tmp_path, with_refit=False)
    assert learned_bundle(run) == run.folder("evaluate") / "bundle"
    assert not (run.folder("refit") / "bundle").exists()
    test_from = iso_time(run.training_data.split.test_from)
    assert json.loads((run.folder("refit") / "summary.json").read_text())["learned_until"] == test_from


def test_refitting_again_gives_the_same_bundle_to_the_byte(tmp_path: Path) -> None:
    run = refitted_again(tmp_path, with_refit=True)
    assert run.pairs == {}
    for path in sorted((trained().folder("refit") / "bundle").iterdir()):
        if path.name not in ("bundle.json",):  # names the store's folder
            assert path.read_bytes() == (run.folder("refit") / "bundle" / path.name).read_bytes(), path.name


@pytest.mark.parametrize("name", ["bundle", MEASURED_BUNDLE])
def test_both_bundles_pass_their_self_test_and_score_the_catalogue(name: str) -> None:
    run = trained()
    bundle = load_bundle(run.out / name)
    matcher = Matcher.of(bundle.module, run.vectors("final"), bundle.config.memory)
    split = run.training_data.split
    _, data = ranking_data(run.training_data, matcher, split.test_from, split.test_until, 5, run.config)
    assert np.isfinite(bundle.ranker.scores(data.pairs)).all()
