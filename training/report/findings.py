"""The findings of a ledger as sentences: the headline, and what puts it in proportion."""

from __future__ import annotations

import math

from training.evaluation.auc_figures import AucFigures
from training.evaluation.folds import Folds
from training.evaluation.ledger import (
    HEADLINE_METRIC,
    LEARNED_PART,
    SEEDS_LIFT,
    UNTRAINED_PART,
    WITH_MATCH,
    WITH_SIMILARITY,
    WITHOUT_MATCH,
    Ledger,
    Row,
)
from training.report.labels import metric_label, row_label
from training.report.number_text import figure_text, interval_text, signed_text
from training.report.ships_text import what_ships_sentence
from training.report.slice_rows import distinct_slices

_RANKERS = (WITHOUT_MATCH, WITH_SIMILARITY, WITH_MATCH)


def headline(ledger: Ledger, *, metric: str = HEADLINE_METRIC) -> str:
    """The result as one sentence, which says so if the text features do not help.

    "The text features lift NDCG@10 from 0.095 to 0.249 (+0.154, 95% interval: +0.140 to +0.170)."
    """
    lift = ledger.lift[metric]
    low, high = lift.ci95
    name = metric_label(metric)
    levels = f"from {figure_text(lift.without)} to {figure_text(lift.with_)}"
    change = f"({signed_text(lift.difference)}, 95% interval: {interval_text(lift.ci95)})"
    if low > 0:
        return f"The text features lift {name} {levels} {change}."
    if high < 0:
        return f"The text features lower {name} {levels} {change}: on this data they make the ranking worse."
    return (
        f"No lift is shown: with the text features {name} goes {levels} {change}, "
        "and the interval includes zero, so the change may be chance."
    )


def remarks(ledger: Ledger, *, metric: str = HEADLINE_METRIC) -> list[str]:
    """Sentences that put the headline in proportion.

    Which ranker ships, how far its members are apart, what of the lift is learned, the best baseline, slices that
    lose, the retrieval's recall. What was not measured is left out, and so is the ranker without text features: where
    that ships, the report's head says so.
    """
    sentences = [
        "" if ledger.ships == WITHOUT_MATCH else what_ships_sentence(ledger),
        seeds_sentence(ledger),
        parts_of_lift(ledger),
        _against_best_baseline(ledger, metric),
        _harmed_slices(ledger),
        _retrieval(ledger),
    ]
    return [sentence for sentence in sentences if sentence]


def parts_of_lift(ledger: Ledger) -> str:
    """How much of the lift untrained text gives, and what the learned match adds; "" if it was not measured."""
    if not ledger.parts:
        return ""
    parts = {
        name: f"{signed_text(part.difference)} ({interval_text(part.ci95)})" for name, part in ledger.parts.items()
    }
    total = signed_text(ledger.lift[HEADLINE_METRIC].difference)
    return (
        f"Of the lift of {metric_label(HEADLINE_METRIC)}, {total}, untrained text features give "
        f"{parts[UNTRAINED_PART]}, and what the match has learned adds {parts[LEARNED_PART]}."
    )


def seeds_sentence(ledger: Ledger) -> str:
    """How far the members of the mean are apart; "" if nothing is averaged."""
    if not ledger.seeds:
        return ""
    ranker = ledger.seeds[WITH_MATCH]
    lift = ledger.seeds[SEEDS_LIFT]
    return (
        f"The ranker with text features is the mean of {len(ranker.values)} models that differ in their seeds. Each on "
        f"its own has {metric_label(HEADLINE_METRIC)} {figure_text(ranker.mean)} on average (standard deviation "
        f"{figure_text(ranker.deviation)}) and a lift of {signed_text(lift.mean)} ({figure_text(lift.deviation)})."
    )


def _against_best_baseline(ledger: Ledger, metric: str) -> str:
    baselines = [row for row in ledger.rows if row.name not in _RANKERS and _has(row, metric)]
    if not baselines:
        return ""
    best = max(baselines, key=lambda row: row.metrics[metric])
    ranker_figure = ledger.lift[metric].with_
    best_figure = best.metrics[metric]
    if not best_figure:
        return ""
    relation = "above" if ranker_figure > best_figure else "below"
    distance = f"{abs(ranker_figure / best_figure - 1):.0%}"
    return (
        f"The ranker with text features is {distance} {relation} the best ranking by a single signal, "
        f"{row_label(best.name)} ({figure_text(best_figure)})."
    )


def _harmed_slices(ledger: Ledger) -> str:
    harmed = [row.label for row in distinct_slices(ledger.slices) if row.part.ci95[1] < 0]
    return f"The text features make the ranking worse on: {', '.join(harmed)}." if harmed else ""


def _retrieval(ledger: Ledger) -> str:
    if not ledger.retrieval:
        return ""
    recalls = [f"{metric_label(name)} {figure_text(value)}" for name, value in ledger.retrieval.items()]
    return f"Retrieval: {', '.join(recalls)}. A positive that is not retrieved cannot be ranked."


def _has(row: Row, metric: str) -> bool:
    return not math.isnan(row.metrics.get(metric, math.nan))


def folds_sentences(folds: Folds) -> list[str]:
    """How steady the lift is over the folds, and what refitting was worth."""
    n_folds = len(folds.folds)
    sentences = [
        f"Over {n_folds} test windows, one after the other, the lift of {metric_label(HEADLINE_METRIC)} is "
        f"{signed_text(folds.mean_lift)} on average (standard deviation {figure_text(folds.deviation)}); its interval "
        f"lies above zero in {folds.n_above_zero} of {n_folds}."
    ]
    sentences.append(_what_folds_ship(folds))
    if folds.pooled_auc is not None:
        sentences.append(_auc_of_folds(folds, folds.pooled_auc))
    gain = folds.mean_refit_gain
    if gain is not None:
        sentences.append(
            "On the queries of a window, the model of the window before gains "
            f"{signed_text(gain)} {metric_label(HEADLINE_METRIC)} on average by having been refitted."
        )
    return sentences


def _auc_of_folds(folds: Folds, pooled: AucFigures) -> str:
    """AUC over all impressions, and in each window, beside that of click-through alone."""
    windows = [
        f"{figure_text(fold.auc.ranker)} and {figure_text(fold.auc.click_through)}"
        for fold in folds.folds
        if fold.auc is not None
    ]
    low, high = pooled.ranker_ci95
    return (
        f"AUC over the {pooled.queries:,} impressions of all windows with a click and another item: "
        f"{figure_text(pooled.ranker)} with text features (95% interval {figure_text(low)} to {figure_text(high)}), "
        f"{figure_text(pooled.click_through)} by click-through rates alone (difference "
        f"{signed_text(pooled.difference)}, {signed_text(pooled.ci95[0])} to {signed_text(pooled.ci95[1])}); "
        f"window by window {', '.join(windows)}."
    )


def _what_folds_ship(folds: Folds) -> str:
    """Which ranker the trainings of the folds have chosen."""
    without = [str(number) for number, fold in enumerate(folds.folds, start=1) if fold.ships == WITHOUT_MATCH]
    if not without:
        return "Each fold's training ships the ranker with text features."
    if len(without) == len(folds.folds):
        return "Each fold's training ships the ranker without text features, which did not pass their test there."
    one = len(without) == 1
    named = f"training of fold {without[0]} ships" if one else f"trainings of folds {', '.join(without)} ship"
    return f"The {named} the ranker without text features, which did not pass their test there."
