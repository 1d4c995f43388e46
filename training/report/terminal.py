"""What a training prints on the terminal: what was read, the ledger, the verdict, the ablation and the folds."""

from __future__ import annotations

import math
from collections.abc import Mapping
from shlex import quote

from recmem.cli.console import complain, say, show_table
from training.evaluation.ablation import Ablation
from training.evaluation.folds import Folds
from training.evaluation.ledger import (
    HEADLINE_METRIC,
    LEARNED_PART,
    UNTRAINED_PART,
    WITH_MATCH,
    WITHOUT_MATCH,
    Interval,
    Ledger,
    Protocol,
    Slice,
)
from training.evaluation.verdict import Verdict
from training.intake import Intake
from training.report.ablation_text import DIGITS, ablation_rows, ablation_sentences
from training.report.findings import folds_sentences, seeds_sentence
from training.report.intake_text import dates_text, kinds_text, lost_rows, undated_text, when_read
from training.report.labels import metric_label, row_label, slice_label
from training.report.number_text import day_text, figure_text, interval_text, minute_text, signed_text
from training.report.ships_text import what_ships_sentence
from training.report.slice_rows import distinct_slices, few_items_sentence
from training.report.verdict_text import verdict_sentences


def show_intake(intake: Intake) -> None:
    """Prints the receipts and the unmatched rows; those that look like a mistake to stderr."""
    say(when_read(intake))
    for receipt in intake.receipts:
        say(str(receipt))
    if intake.kinds:
        say(f"Events by name: {kinds_text(intake)}.")
    for sentence in intake.used:
        say(f"Used: {sentence}")
    if intake.unused:
        say(f"Stored but not used: {', '.join(intake.unused)}.{dates_text(intake)}")
    if intake.undated:
        say(undated_text(intake))
    for warning in intake.warnings:
        complain(f"Warning: {warning}")
    for unmatched in intake.unmatched:
        if unmatched.is_warning:
            complain(f"Warning: {unmatched}")
        else:
            say(str(unmatched))


def remind_of_lost_rows(intake: Intake, store: object) -> None:
    """Prints to stderr what was not learned from, for the end of a run: the receipts have scrolled away by then."""
    for sentence in lost_rows(intake):
        complain(sentence)
    if any(receipt.n_rejected for receipt in intake.receipts):
        complain(f"To see the rejected rows, run `recmem rejected --store {quote(str(store))}`.")


def show_ledger(ledger: Ledger) -> None:
    """Prints every ranking's figures, the slices, and the lift of each metric as a sentence."""
    say(_what_was_ranked(ledger.protocol))
    headings, rows = _rankings(ledger)
    rankers = [number for number, row in enumerate(ledger.rows) if row.name in (WITHOUT_MATCH, WITH_MATCH)]
    show_table(headings, rows, marked=rankers)
    if ledger.slices:
        headings = ["slice", "metric", "queries", "without", "with", "95% interval"]
        show_table(headings, _slices(ledger.slices), n_words=2)
    few_items = few_items_sentence(ledger.slices)
    if few_items:
        say(few_items)
    for metric, lift in ledger.lift.items():
        say(
            f"{metric_label(metric)}: {lift.without:.3f} without text features, {lift.with_:.3f} with them "
            f"(lift {lift.difference:+.3f}, 95% interval {_interval(lift.ci95)})"
        )
        if metric == HEADLINE_METRIC and ledger.parts:
            untrained = ledger.parts[UNTRAINED_PART]
            learned = ledger.parts[LEARNED_PART]
            say(
                f"  of which untrained text {untrained.difference:+.3f} ({_interval(untrained.ci95)}), "
                f"learned match {learned.difference:+.3f} ({_interval(learned.ci95)})"
            )
    for sentence in (seeds_sentence(ledger), what_ships_sentence(ledger)):
        if sentence:
            say(_in_ascii(sentence))


def show_verdict(verdict: Verdict) -> None:
    """Prints whether the new version becomes champion and why; with a champion, the figures per slice."""
    for sentence in verdict_sentences(verdict):
        say(_in_ascii(sentence))
    comparison = verdict.comparison
    if comparison is not None and comparison.slices:
        headings = ["slice", "metric", "queries", "champion", "new", "interval"]
        show_table(headings, _slices(comparison.slices), n_words=2)


def show_ablation(ablation: Ablation) -> None:
    """Prints what each kind is worth, what was chosen, and why."""
    shown = ablation_rows(ablation)
    # What decides, and not the test's interval too: the table fits a terminal of 80 columns.
    headings = ["kind", "validation", "interval", "test", "chosen"]
    rows = [
        [
            row.kind.words,
            signed_text(row.validation.difference, DIGITS),
            interval_text(row.validation.ci95, DIGITS),
            signed_text(row.test.difference, DIGITS),
            row.chosen,
        ]
        for row in shown
    ]
    if rows:
        switched = [number for number, row in enumerate(shown) if row.kind.is_switched]
        show_table(headings, [[*map(_in_ascii, row)] for row in rows], marked=switched)
    for sentence in ablation_sentences(ablation):
        say(_in_ascii(sentence))


def show_folds(folds: Folds) -> None:
    """Prints a row per fold, and the findings over all of them as sentences."""
    headings = ["fold", "test window", "queries", "without", "with", "lift, 95% interval", "earlier model", "refitted"]
    rows = []
    for number, fold in enumerate(folds.folds, start=1):
        earlier = fold.earlier
        refitted = math.nan if earlier is None or earlier.refitted is None else earlier.refitted
        rows.append(
            [
                str(number),
                f"{day_text(fold.test_from)} to {day_text(fold.test_until)}",
                f"{fold.queries:,}",
                _figure(fold.lift.without),
                _figure(fold.lift.with_),
                f"{fold.lift.difference:+.3f}, {_interval(fold.lift.ci95)}",
                _figure(math.nan if earlier is None else earlier.measured),
                _figure(refitted),
            ]
        )
    show_table(headings, rows, n_words=2)
    for sentence in folds_sentences(folds):
        say(_in_ascii(sentence))


def _what_was_ranked(protocol: Protocol) -> str:
    begin = minute_text(protocol.test_from)
    if protocol.candidates == "impressions":
        return f"{protocol.queries:,} impressions after {begin}, each ranking the items that it showed"
    return (
        f"{protocol.queries:,} queries after {begin}, each ranking the whole catalogue ({protocol.catalogue:,} items)"
    )


def _rankings(ledger: Ledger) -> tuple[list[str], list[list[str]]]:
    metrics = list(dict.fromkeys(metric for row in ledger.rows for metric in row.metrics))
    rows = []
    for row in ledger.rows:
        figures = [_figure(row.metrics.get(metric, math.nan)) for metric in metrics]
        rows.append([row_label(row.name), *figures])
    return ["ranking", *(metric_label(metric) for metric in metrics)], rows


def _slices(slices: Mapping[str, Slice]) -> list[list[str]]:
    return [
        [
            " = ".join(map(slice_label, (row.name, *row.same))),
            metric_label(row.part.metric),
            f"{row.part.queries:,}",
            _figure(row.part.without),
            _figure(row.part.with_),
            _interval(row.part.ci95),
        ]
        for row in distinct_slices(slices)
    ]


def _in_ascii(sentence: str) -> str:
    """A sentence of the report for a terminal, which may have no more than ASCII."""
    return sentence.replace("\N{MINUS SIGN}", "-").replace("\N{EN DASH}", "-")


def _figure(value: float) -> str:
    return _in_ascii(figure_text(value))


def _interval(ends: Interval) -> str:
    return _in_ascii(interval_text(ends))
