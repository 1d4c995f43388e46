"""Which of the two rankers ships, and what decided it, as one sentence."""

from __future__ import annotations

from training.evaluation.intervals import UNKNOWN_INTERVAL
from training.evaluation.ledger import HEADLINE_METRIC, WITH_MATCH, WITHOUT_MATCH, HeldOut, Ledger, Lift, Slice
from training.report.labels import metric_label
from training.report.number_text import interval_text, signed_text
from training.report.slice_rows import positives_text


def what_ships_sentence(ledger: Ledger) -> str:
    """Which ranker the bundle has, and what decided it; "" if the ledger does not say."""
    held_out = ledger.held_out
    if held_out is None:
        return ""
    return f"{_what(ledger)} ships: {_why(held_out)}."


def what_ships_without_text(ledger: Ledger) -> str:
    """The same sentence where the ranker without text features ships; else ""."""
    return what_ships_sentence(ledger) if ledger.ships == WITHOUT_MATCH else ""


def _what(ledger: Ledger) -> str:
    return f"The ranker {'with' if ledger.ships == WITH_MATCH else 'without'} text features"


def _why(held_out: HeldOut) -> str:
    """See `training.evaluation.held_out` for the rule."""
    if held_out.lift is None:
        return "the ranker's windows have too few queries to test text features on"
    where = f"on {held_out.queries:,} held-out queries before the test, text features"
    if held_out.ships == WITH_MATCH:
        return f"{where} changed {_change(held_out.lift)}, more than one standard error{_cold_items(held_out.cold)}"
    cold = held_out.cold
    if cold is not None and cold.ci95[1] < 0:
        change = f"{signed_text(cold.difference)}, 95% interval: {interval_text(cold.ci95)}"
        return f"{where} found significantly fewer cold items ({positives_text(cold)}; Recall@10 {change})"
    if held_out.lift.ci95 == UNKNOWN_INTERVAL:
        change = f"{metric_label(HEADLINE_METRIC)} by {signed_text(held_out.lift.difference)}"
        return f"{where} changed {change}, but on too few users for the change to be trusted"
    return f"{where} changed {_change(held_out.lift)}, which is not a gain of more than one standard error"


def _change(lift: Lift) -> str:
    change = f"{signed_text(lift.difference)} (95% interval: {interval_text(lift.ci95)})"
    return f"{metric_label(HEADLINE_METRIC)} by {change}"


def _cold_items(cold: Slice | None) -> str:
    """The other condition: that cold items are not buried."""
    if cold is None:
        return "; none of their positives is a cold item"
    if not cold.without and not cold.with_:
        return f"; neither ranker has any cold item ({positives_text(cold)}) among the first ten"
    change = f"{signed_text(cold.difference)} ({interval_text(cold.ci95)})"
    return f"; Recall@10 of cold items ({positives_text(cold)}) changed by {change}"
