"""The step `rank`: fits the rankers with and without text features, the calibration, and chooses a baseline."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from recmem.matching.calibration import Calibration
from recmem.pipelining import side_by_side
from recmem.ranking.feature_table import IMPRESSION_FEATURES, TEXT_FEATURES
from recmem.ranking.ranker import Ranker
from training.data_warnings import identifier_warnings
from training.evaluation.baselines import LEARNED_FEATURES, best_pooling
from training.evaluation.held_out import HeldOutRanks, held_out_ranks, what_ships
from training.evaluation.ledger import (
    WITH_MATCH,
    WITH_SIMILARITY,
    WITHOUT_MATCH,
    HeldOut,
    held_out_from_json,
    held_out_to_json,
)
from training.fitting.features_left_out import features_left
from training.fitting.fit_calibration import fit_calibration
from training.fitting.fit_ranker import (
    METRIC,
    METRIC_AT,
    FittedRanker,
    RankingData,
    best_round,
    fit_ranker,
    lightgbm_parameters,
)
from training.fitting.long_queries import LONGEST_QUERY
from training.fitting.new_items import with_new_items
from training.fitting.position_effects import PositionEffect, effects_from_json, effects_to_json
from training.queries import Queries
from training.ranker_queries import ranker_data
from training.run import Run
from training.tracking.step_run import StepRun

SUMMARY = "summary.json"
HELD_OUT = "held_out.json"
"""Which ranker ships, and why: `training.evaluation.held_out`."""
POSITIONS = "positions.json"
"""Follows the name of a ranker: what it has learned of the positions. Only with position debiasing."""


@dataclass(frozen=True)
class RankSummary:
    """What the step leaves beside the rankers."""

    pooling: str
    """The feature of text similarity that ranks best on the ranker's windows; a baseline of the evaluation."""
    calibration: Calibration
    """From raw match scores to probabilities."""
    curves: dict[str, list[float]]
    """Per ranker, NDCG@10 of its validation queries after each boosting round."""
    warnings: tuple[str, ...] = ()
    """What was used in part only, or perhaps not as it is meant: a sentence or two each."""

    def write(self, folder: Path) -> None:
        """Writes it as JSON into the step's folder."""
        (folder / SUMMARY).write_text(json.dumps(asdict(self)))

    @classmethod
    def read(cls, folder: Path) -> RankSummary:
        """What `write` wrote."""
        summary = json.loads((folder / SUMMARY).read_text())
        calibration = Calibration(**summary["calibration"])
        return cls(summary["pooling"], calibration, summary["curves"], tuple(summary["warnings"]))


def rank(run: Run, step_run: StepRun) -> None:
    """Fits all rankers on the same pairs of the ranker's windows; the base match module has not seen these."""
    queries, data = _pairs_of_windows(run)
    run.pairs["rank"] = data
    held_out = _test_on_later_queries(run, queries, data)
    (run.folder("rank") / HELD_OUT).write_text(held_out_to_json(held_out))
    step_run.log_params(lightgbm_parameters(run.config.ranker))
    fits = _fit_rankers(run, step_run, data)
    pairs = data.pairs
    summary = RankSummary(
        pooling=best_pooling(pairs.values, data.labels, pairs.candidates),
        calibration=fit_calibration(pairs.values["match_raw"], data.labels),
        curves={name: fitted.curve for name, fitted in fits.items()},
        # All rankers are fitted on the same queries.
        warnings=(
            *_cut_warnings(fits[WITH_MATCH].n_cut),
            *identifier_warnings(run.training_data.dataset.catalogue, run.config.ranker.leave_out),
        ),
    )
    summary.write(run.folder("rank"))


def read_held_out(folder: Path) -> HeldOut:
    """Which ranker ships, and why, as the step left it in its folder."""
    return held_out_from_json((folder / HELD_OUT).read_text())


def read_position_effects(folder: Path, ranker: str) -> tuple[PositionEffect, ...]:
    """What a ranker has learned of the positions, as the step left it; nothing without position debiasing."""
    path = folder / f"{ranker}.{POSITIONS}"
    return effects_from_json(path.read_text()) if path.is_file() else ()


def _pairs_of_windows(run: Run) -> tuple[Queries, RankingData]:
    with run.progress.stage("Computing ranking features", None) as advance:
        return ranker_data(run.training_data, run.matcher("base"), run.config, advance)


def _test_on_later_queries(run: Run, queries: Queries, data: RankingData) -> HeldOut:
    """Whether the text features pass the test on the ranker's windows, and with what figures."""
    ranks = ranks_on_later_queries(run, queries, data)
    return what_ships(ranks, run.training_data.dataset.log, generator=np.random.default_rng(run.config.seed))


def ranks_on_later_queries(
    run: Run, queries: Queries, data: RankingData, rankers: Sequence[str] = (WITHOUT_MATCH, WITH_MATCH)
) -> HeldOutRanks | None:
    """Ranks of the windows' later queries under rankers that are fitted on the earlier ones; None if too few.

    One member each: the test compares features, and a mean of seeds would cost it several times as much.
    """
    config = run.config
    dataset = run.training_data.dataset
    has_impressions = run.training_data.shown is not None
    features = features_by_ranker(data, has_impressions=has_impressions, leave_out=config.ranker.leave_out)
    compared = {name: features[name] for name in rankers}
    with run.progress.stage("Testing the text features on later queries", None) as advance:

        def fit(early: RankingData, names: tuple[str, ...]) -> Ranker:
            generator = np.random.default_rng(config.seed)
            early = with_new_items(early, config.new_item_rate, dataset.config.counters, generator)
            ranker = fit_ranker(early, names, config.ranker, config.seed).ranker
            advance(1)
            return ranker

        return held_out_ranks(queries, data, compared, fit, seed=config.seed)


def _cut_warnings(n_cut: int) -> Iterator[str]:
    if n_cut:
        queries = "1 query" if n_cut == 1 else f"{n_cut:,} queries"
        yield (
            f"candidates: {queries} of those that the ranker is fitted on had more than {LONGEST_QUERY:,} candidates, "
            "the most that LightGBM takes. Its trees were fitted on their positives and a random sample of "
            "the others; the blend, all scores and all figures are those of the whole queries."
        )


def _fit_rankers(run: Run, step_run: StepRun, data: RankingData) -> dict[str, FittedRanker]:
    """Fits and saves the rankers, by name."""
    training_data = run.training_data
    config = run.config
    generator = np.random.default_rng(config.seed)
    data = with_new_items(data, config.new_item_rate, training_data.dataset.config.counters, generator)
    folder = run.folder("rank")
    fits = {}
    # All on the same pairs and with the same seed: the lift is the text features' alone.
    has_impressions = training_data.shown is not None
    names = features_by_ranker(data, has_impressions=has_impressions, leave_out=config.ranker.leave_out)
    with run.progress.stage("Fitting the rankers", len(names)) as advance:

        def fit(features: tuple[str, ...]) -> FittedRanker:
            return fit_ranker(data, features, config.ranker, config.seed, members=config.tree_members)

        # All at once, though each has a table of inputs of its own in memory: no core waits for a ranker's last trees.
        for name, fitted in zip(names, side_by_side(fit, names.values(), len(names)), strict=True):
            fits[name] = fitted
            step_run.log_curve(f"validation_{METRIC}@{METRIC_AT}/{name}", fitted.curve)
            step_run.log_metrics({f"best_iteration/{name}": best_round(fitted.curve, config.ranker.smoothing)})
            kept = folder / f"{name}.{POSITIONS}"
            kept.unlink(missing_ok=True)
            if fitted.positions:
                kept.write_text(effects_to_json(fitted.positions))
            for file, text in fitted.ranker.to_files().items():
                (folder / f"{name}.{file}").write_text(text)
            advance(1)
    return fits


def features_by_ranker(
    data: RankingData, *, has_impressions: bool, leave_out: Sequence[str] = ()
) -> dict[str, tuple[str, ...]]:
    """What each ranker reads of the pairs, by its name: `ranker_without_match`, ..."""
    # Without impressions the click features are constant.
    constant = () if has_impressions else IMPRESSION_FEATURES
    features = tuple(name for name in data.pairs.values if name not in constant)
    without_match = tuple(name for name in features if name not in TEXT_FEATURES)
    untrained = tuple(name for name in features if name not in LEARNED_FEATURES)
    by_ranker = {WITHOUT_MATCH: without_match, WITH_SIMILARITY: untrained, WITH_MATCH: features}
    return {name: features_left(read, leave_out) for name, read in by_ranker.items()}
