"""The step `refit`: once it is measured, the model learns from the whole log, the test period included.

The match module goes on from `final` to the log's end. The ranker is fitted anew, on the pairs of its windows, scored
by `base`, and on those of the test period, scored by `final`: neither has learned from the pairs that it scores.
All choices stay as they were made before the test was read: which ranker ships, its features, the number of rounds.
"""

from __future__ import annotations

import json
import shutil
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from feature_store.atomic_files import write_text_atomically
from feature_store.timestamps import iso_time
from recmem.matching.calibration import Calibration
from recmem.matching.match_module import MatchModule
from recmem.matching.mean_module import mean_module
from recmem.ranking.ranker import Ranker
from training.evaluation.champion_figures import test_queries
from training.fitting.fit_calibration import fit_calibration
from training.fitting.fit_ranker import RankingData, best_round, refit_ranker
from training.fitting.new_items import with_new_items
from training.fitting.scale_line import ScaleLine, scores_as_of
from training.queries import evenly
from training.ranker_queries import ranker_data
from training.run import Run
from training.steps.bundle_of_run import Learned, write_bundle
from training.steps.evaluate import BUNDLE
from training.steps.match import continue_members
from training.steps.rank import RankSummary, read_held_out
from training.tracking.step_run import StepRun
from training.training_data import ranking_data
from training.training_device import matcher_for_training

SUMMARY = "summary.json"
SEED_OFFSET = 2
"""Of the match module's third fit; the first two have 0 and 1."""
SCALE_QUERIES = 600
"""Test queries whose candidates bring the modules to one scale, at most; evenly spread."""


@dataclass(frozen=True)
class RefitSummary:
    """What the step did."""

    refitted: bool
    """Whether the bundle that ships has learned from the test period too; else it is the measured one."""
    learned_until: str
    """Up to when the bundle that ships has learned, ISO 8601."""
    queries: int
    """Queries that its ranker was fitted on, those of the test period among them; 0 if it is the measured one."""

    @classmethod
    def read(cls, run: Run) -> RefitSummary:
        """What the step left in its folder."""
        return cls(**json.loads((run.folder("refit") / SUMMARY).read_text()))


def refit(run: Run, step_run: StepRun) -> None:
    """Leaves the refitted `bundle/`, or a note that the measured one ships."""
    folder = run.folder("refit")
    shutil.rmtree(folder / BUNDLE, ignore_errors=True)
    if run.config.refit:
        summary = _refit(run, step_run, folder / BUNDLE)
    else:
        learned_until = iso_time(run.training_data.split.test_from)
        summary = RefitSummary(refitted=False, learned_until=learned_until, queries=0)
    # Hundreds of MB that no later step reads.
    run.pairs.clear()
    write_text_atomically(folder / SUMMARY, json.dumps(asdict(summary), indent=1))
    step_run.log_params({f"refit.{name}": value for name, value in asdict(summary).items()})


def learned_bundle(run: Run) -> Path:
    """The bundle with all that was learned, in the folder of the step that left it; `calibrate` completes it."""
    return run.folder("refit" if RefitSummary.read(run).refitted else "evaluate") / BUNDLE


def end_of_learning(run: Run) -> int:
    """The last time of the log, or the end of the test period if that comes before; microseconds."""
    training_data = run.training_data
    last = int(training_data.dataset.log.times.max())
    if training_data.shown is not None and len(training_data.shown.times):
        last = max(last, int(training_data.shown.times.max()))
    return min(last, training_data.split.test_until)


def _refit(run: Run, step_run: StepRun, folder: Path) -> RefitSummary:
    until = end_of_learning(run)
    fitted = continue_members(run, "final", name="refit", until=until, seed_offset=SEED_OFFSET)
    step_run.log_curve("match_loss/refit", fitted.losses)
    module = mean_module(fitted.modules)
    before = _pairs(run, "rank")
    tested = _pairs(run, "evaluate")
    calibration = _calibration(run, module, until, before, tested)
    data = RankingData.concat([before, tested])  # in order of time
    ranker = _refitted_ranker(run, data)
    write_bundle(run, Learned(module, ranker, calibration, until), folder)
    return RefitSummary(refitted=True, learned_until=iso_time(until), queries=len(data.pairs.candidates))


def _calibration(run: Run, module: MatchModule, until: int, before: RankingData, tested: RankingData) -> Calibration:
    """From the refitted module's raw scores, by pairs that the modules before it had not learned from.

    Those of the ranker's windows are scored by `base`, those of the test by `final`. Each module is brought to the
    scale of the one before, see `ScaleLine`; without that, match scores are off by what a module drifts as it goes on.
    """
    queries = test_queries(run.training_data, run.config.test_queries)[0]
    rows = evenly(len(queries), min(SCALE_QUERIES, len(queries)))
    users = queries.users[rows]
    candidates = tested.pairs.candidates.take(rows)
    dataset = run.training_data.dataset
    matchers = {"base": run.matcher("base"), "final": run.matcher("final")}
    matchers["refit"] = matcher_for_training(module, run.vectors("final"), run.config.memory)
    line = ScaleLine()
    lines = {}
    test_from = run.training_data.split.test_from
    for earlier, later, time in (("base", "final", test_from), ("final", "refit", until)):
        scores = [scores_as_of(time, matchers[name], dataset, users, candidates) for name in (earlier, later)]
        line = line.after(*scores)
        lines[later] = line
    raw = np.concatenate([before.pairs.values["match_raw"], lines["final"].of(tested.pairs.values["match_raw"])])
    labels = np.concatenate([before.labels, tested.labels])
    return lines["refit"].calibration(fit_calibration(raw, labels))


def _refitted_ranker(run: Run, data: RankingData) -> Ranker:
    """The ranker that ships, fitted anew: its features, and the rounds that were chosen for it, stay."""
    config = run.config
    generator = np.random.default_rng(config.seed)
    data = with_new_items(data, config.new_item_rate, run.training_data.dataset.config.counters, generator)
    ships = read_held_out(run.folder("rank")).ships
    curve = RankSummary.read(run.folder("rank")).curves[ships]
    n_rounds = best_round(curve, config.ranker.smoothing)
    with run.progress.stage("Refitting the ranker on the whole log", 1) as advance:
        ranker = refit_ranker(
            run.ranker(ships), data, config.ranker, config.seed, n_rounds=n_rounds, members=config.tree_members
        )
        advance(1)
    return ranker


def _pairs(run: Run, step: str) -> RankingData:
    """The pairs that the step `rank` or `evaluate` has computed, in this process or, if it was reused, anew."""
    if step in run.pairs:
        return run.pairs[step]
    config = run.config
    with run.progress.stage(f"Computing the features of the step {step} again", None) as advance:
        if step == "rank":
            return ranker_data(run.training_data, run.matcher("base"), config, advance)[1]
        split = run.training_data.split
        return ranking_data(
            run.training_data,
            run.matcher("final"),
            split.test_from,
            split.test_until,
            config.test_queries,
            config,
            advance,
        )[1]
