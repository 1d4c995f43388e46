"""The rolling-origin check: the same training on several test periods, one after the other. Data and `folds.json`.

Each fold is trained on what lies before its test period. Its lift is that of its own ledger. From the second on, it
tells what refitting is worth: the model of the fold before ranks this fold's queries, once as it was measured (it has
learned up to the fold before) and once refitted (up to this fold's begin).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from training.evaluation.auc_figures import AucFigures
from training.evaluation.ledger import HEADLINE_METRIC, Interval, Lift, interval, nan_to_null, number, rounded


@dataclass(frozen=True)
class EarlierModel:
    """NDCG@10 of the fold before's model on this fold's queries."""

    measured: float
    """As it was measured, without having learned from the test period of its fold."""
    refitted: float | None
    """After its refit; None without one."""
    difference: float | None
    """Refitted minus measured."""
    ci95: Interval | None
    """Of the difference: a paired bootstrap over users."""
    retrained: float
    """The figure of this fold's own model, which is fitted from the start and whose choices are made anew."""


@dataclass(frozen=True)
class Fold:
    """One test period and its figures."""

    test_from: str
    """ISO 8601."""
    test_until: str
    queries: int
    lift: Lift
    """NDCG@10 of the ranker without and with text features."""
    ships: str
    """The ranker that this fold's training chose."""
    earlier: EarlierModel | None = None
    """None for the first fold."""
    auc: AucFigures | None = None
    """None without impressions."""


@dataclass(frozen=True)
class Folds:
    """All folds, in order of time; the last is the run's own test."""

    folds: tuple[Fold, ...]
    pooled_auc: AucFigures | None = None
    """Over the impressions of all test windows; None without impressions."""

    @property
    def mean_lift(self) -> float:
        """The lift of NDCG@10 on average over the folds."""
        return float(np.mean([fold.lift.difference for fold in self.folds]))

    @property
    def deviation(self) -> float:
        """Standard deviation of the lift over the folds."""
        return float(np.std([fold.lift.difference for fold in self.folds], ddof=1))

    @property
    def n_above_zero(self) -> int:
        """Folds whose lift has an interval above zero."""
        return sum(fold.lift.ci95[0] > 0 for fold in self.folds)

    @property
    def mean_refit_gain(self) -> float | None:
        """What refitting the model of the fold before adds to NDCG@10, on average; None without a refit."""
        gains = [fold.earlier.difference for fold in self.folds if fold.earlier is not None]
        known = [gain for gain in gains if gain is not None]
        return float(np.mean(known)) if known else None

    def to_json(self) -> str:
        """The text of `folds.json`; an undefined figure is null."""
        gain = self.mean_refit_gain
        document = {
            "metric": HEADLINE_METRIC,
            "mean_lift": rounded(self.mean_lift),
            "deviation": rounded(self.deviation),
            "mean_refit_gain": None if gain is None else rounded(gain),
            **({} if self.pooled_auc is None else {"pooled_auc": asdict(self.pooled_auc)}),
            "folds": [_entry(fold) for fold in self.folds],
        }
        return json.dumps(nan_to_null(document), indent=2, allow_nan=False) + "\n"

    @classmethod
    def from_json(cls, text: str) -> Folds:
        """What `to_json` wrote."""
        document = json.loads(text)
        return cls(tuple(_fold(entry) for entry in document["folds"]), _auc(document.get("pooled_auc")))

    def metrics(self) -> dict[str, float]:
        """The figures of all folds together, by the names that they have in MLflow."""
        metrics = {
            f"folds_lift_mean/{HEADLINE_METRIC}": self.mean_lift,
            f"folds_lift_deviation/{HEADLINE_METRIC}": self.deviation,
        }
        if self.mean_refit_gain is not None:
            metrics[f"folds_refit_gain_mean/{HEADLINE_METRIC}"] = self.mean_refit_gain
        if self.pooled_auc is not None:
            metrics |= {"folds_auc/ranker": self.pooled_auc.ranker}
            metrics |= {"folds_auc/click_through": self.pooled_auc.click_through}
        return metrics

    def series(self) -> dict[str, list[float]]:
        """Figures of each fold, in order of time, by the names that they have in MLflow: the fold is the step there."""
        return {
            f"folds_lift/{HEADLINE_METRIC}": [fold.lift.difference for fold in self.folds],
            f"folds_lift_low/{HEADLINE_METRIC}": [fold.lift.ci95[0] for fold in self.folds],
            f"folds_lift_high/{HEADLINE_METRIC}": [fold.lift.ci95[1] for fold in self.folds],
        }


def _entry(fold: Fold) -> dict[str, Any]:
    """The fold as JSON, which says nothing of AUC without impressions."""
    entry = asdict(fold) | {"lift": fold.lift.to_document()}
    if fold.auc is None:
        del entry["auc"]
    return entry


def _auc(entry: Mapping[str, Any] | None) -> AucFigures | None:
    if entry is None:
        return None
    return AucFigures(
        queries=entry["queries"],
        ranker=number(entry["ranker"]),
        ranker_ci95=interval(entry["ranker_ci95"]),
        click_through=number(entry["click_through"]),
        difference=number(entry["difference"]),
        ci95=interval(entry["ci95"]),
    )


def _fold(entry: Mapping[str, Any]) -> Fold:
    earlier = entry["earlier"]
    if earlier is not None:
        ci95 = earlier["ci95"]
        earlier = EarlierModel(**earlier | {"ci95": None if ci95 is None else tuple(ci95)})
    return Fold(
        test_from=entry["test_from"],
        test_until=entry["test_until"],
        queries=entry["queries"],
        lift=Lift.from_document(entry["lift"]),
        ships=entry["ships"],
        earlier=earlier,
        auc=_auc(entry.get("auc")),
    )
