"""The step `rank`: fits the rankers with and without match features, the calibration, and chooses a baseline."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from recmem.matching.calibration import Calibration
from recmem.matching.matcher import MATCH_FEATURES
from recmem.ranking.feature_table import IMPRESSION_FEATURES
from training.evaluation.baselines import best_pooling
from training.evaluation.ledger import WITH_MATCH, WITHOUT_MATCH
from training.fitting.fit_calibration import fit_calibration
from training.fitting.fit_ranker import RankingData, fit_ranker
from training.fitting.new_items import with_new_items
from training.run import Run
from training.tracking.step_run import StepRun
from training.training_data import ranking_data

SUMMARY = "summary.json"


@dataclass(frozen=True)
class RankSummary:
    """What the step leaves beside the two rankers."""

    pooling: str
    """The feature of text similarity that ranks best on the ranker's windows; a baseline of the evaluation."""
    calibration: Calibration
    """From raw match scores to probabilities."""
    curves: dict[str, list[float]]
    """Per ranker, NDCG@10 of its validation queries after each boosting round."""

    def write(self, folder: Path) -> None:
        """Writes it as JSON into the step's folder."""
        (folder / SUMMARY).write_text(json.dumps(asdict(self)))

    @classmethod
    def read(cls, folder: Path) -> RankSummary:
        """What `write` wrote."""
        summary = json.loads((folder / SUMMARY).read_text())
        return cls(summary["pooling"], Calibration(**summary["calibration"]), summary["curves"])


def rank(run: Run, step_run: StepRun) -> None:
    """Fits both rankers on the same pairs of the ranker's windows; the base match module has not seen these."""
    data = _pairs_of_windows(run)
    curves = _fit_rankers(run, step_run, data)
    pairs = data.pairs
    summary = RankSummary(
        pooling=best_pooling(pairs.values, data.labels, pairs.candidates),
        calibration=fit_calibration(pairs.values["match_raw"], data.labels),
        curves=curves,
    )
    summary.write(run.folder("rank"))


def _pairs_of_windows(run: Run) -> RankingData:
    training_data = run.training_data
    config = run.config
    split = training_data.split
    with run.progress.stage("Computing ranking features", None) as advance:
        _, data = ranking_data(
            training_data,
            run.matcher("base"),
            split.ranker_from,
            split.test_from,
            config.ranker_queries,
            config,
            advance,
        )
    return data


def _fit_rankers(run: Run, step_run: StepRun, data: RankingData) -> dict[str, list[float]]:
    """Fits and saves the rankers; their validation curves by name."""
    training_data = run.training_data
    config = run.config
    generator = np.random.default_rng(config.seed)
    data = with_new_items(data, config.new_item_rate, training_data.dataset.config.counters, generator)
    folder = run.folder("rank")
    curves = {}
    # Both on the same pairs and with the same seed: the lift is the match features' alone.
    names = _features_by_ranker(data, has_impressions=training_data.shown is not None)
    with run.progress.stage("Fitting the rankers", len(names)) as advance:
        for name, features in names.items():
            fitted = fit_ranker(data, features, config.ranker, config.seed)
            curves[name] = fitted.curve
            step_run.log_curve(f"ndcg10_{name}", fitted.curve)
            for file, text in fitted.ranker.to_files().items():
                (folder / f"{name}.{file}").write_text(text)
            advance(1)
    return curves


def _features_by_ranker(data: RankingData, *, has_impressions: bool) -> dict[str, tuple[str, ...]]:
    # Without impressions the click features are constant.
    constant = () if has_impressions else IMPRESSION_FEATURES
    features = tuple(name for name in data.pairs.values if name not in constant)
    without_match = tuple(name for name in features if name not in MATCH_FEATURES)
    return {WITHOUT_MATCH: without_match, WITH_MATCH: features}
