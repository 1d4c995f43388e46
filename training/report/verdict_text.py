"""The verdict on a new version as sentences, for the report and the terminal."""

from __future__ import annotations

from training.evaluation.ledger import HEADLINE_METRIC, Slice
from training.evaluation.promotion import FEWEST_USERS
from training.evaluation.verdict import Comparison, Verdict
from training.report.labels import metric_label, slice_label
from training.report.number_text import figure_text, interval_text, signed_text, time_text
from training.report.slice_rows import has_few_items, positives_text


def verdict_sentences(verdict: Verdict) -> list[str]:
    """What became of the new version and why; with a champion, the figures and what was compared."""
    outcome = "Promoted to champion" if verdict.promotes else "Not promoted"
    policy = "" if verdict.policy == "not-worse" else f" (--promote {verdict.policy})"
    if verdict.champion is None:
        # The figures that follow in the reason are those of the report's head.
        return [f"{outcome}{policy}: {verdict.reason.partition(': ')[0]}."]
    if verdict.comparison is None:
        reason = verdict.reason.replace(HEADLINE_METRIC, metric_label(HEADLINE_METRIC))
        return [f"{outcome}{policy}: {reason}."]
    comparison = verdict.comparison
    finding = "significantly worse" if verdict.finding == "worse" else verdict.finding
    return [
        f"{outcome}{policy}: the new version is {finding} than the champion, version {verdict.champion.version}. "
        f"{_overall(comparison)}",
        _slices(comparison),
        _what_was_compared(comparison),
    ]


def _overall(comparison: Comparison) -> str:
    lift = comparison.lift
    return (
        f"On {comparison.queries:,} queries of {comparison.users:,} users, {metric_label(HEADLINE_METRIC)} goes from "
        f"{figure_text(lift.without)} (champion) to {figure_text(lift.with_)} (new version): "
        f"{signed_text(lift.difference)}, 95% interval: {interval_text(lift.ci95)}."
    )


def _slices(comparison: Comparison) -> str:
    worse = [_worse_slice(name, part) for name, part in comparison.slices.items() if part.ci95[1] < 0]
    if worse:
        sentence = f"Significantly worse: {_listed(worse)}."
    elif comparison.slices:
        sentence = "No slice is significantly worse; the slices' intervals hold together in 95% of cases."
    else:
        sentence = "No slice was judged."
    if not comparison.too_small:
        return sentence
    too_small = [slice_label(name) for name in comparison.too_small]
    return f"{sentence} Not judged, with fewer than {FEWEST_USERS} users: {_listed(too_small)}."


def _worse_slice(name: str, part: Slice) -> str:
    """A slice of few items with their number: the champion is kept for the sake of these."""
    return f"{slice_label(name)} ({positives_text(part)})" if has_few_items(part) else slice_label(name)


def _listed(names: list[str]) -> str:
    """Names with commas of their own, such as "users, 1-5 events", one after the other."""
    return "; ".join(names)


def _what_was_compared(comparison: Comparison) -> str:
    until = time_text(comparison.champion_learned_until)
    new_until = time_text(comparison.challenger_learned_until)
    new = f"the new version before its refit, with events up to {new_until}"
    queries = f"All queries lie after {time_text(comparison.after)}, so neither model has learned from them"
    if comparison.bundle == "measured":
        return f"{queries}: {new}, the champion as it was before its own refit, with events up to {until}."
    return (
        f"{queries}: {new}, the champion as it is served, with events up to {until}, since no earlier model of it was "
        "kept."
    )
