"""The lift ledger as a table on the console."""

from __future__ import annotations

from collections.abc import Mapping

from recmem.cli.console import say, show_table
from training.evaluation.ledger import WITH_MATCH, WITHOUT_MATCH, Ledger


def show_ledger(ledger: Ledger) -> None:
    """Prints every ranking's figures, the slices, and the lift as one sentence."""
    protocol = ledger.protocol
    what = "the whole catalogue" if protocol.candidates == "catalogue" else "what was shown"
    say(f"{protocol.queries:,} queries after {protocol.test_from}, each over {what} ({protocol.catalogue:,} items)")
    show_table(*_rows(ledger), marked=_marked(ledger))
    if ledger.slices:
        show_table(("slice", "metric", "queries", "without", "with", "95% interval"), _slices(ledger), n_words=2)
    for metric, lift in ledger.lift.items():
        low, high = lift.ci95
        say(
            f"{metric}: {lift.without:.3f} -> {lift.with_:.3f} "
            f"({lift.difference:+.3f}, 95% interval {low:+.3f} to {high:+.3f})"
        )


def _rows(ledger: Ledger) -> tuple[list[str], list[list[str]]]:
    metrics = list(dict.fromkeys(metric for row in ledger.rows for metric in row.metrics))
    return ["ranking", *metrics], [
        [row.name, *(_figure(row.metrics, metric) for metric in metrics)] for row in ledger.rows
    ]


def _figure(metrics: Mapping[str, float], metric: str) -> str:
    value = metrics.get(metric, float("nan"))
    return f"{value:.3f}" if value == value else "-"


def _marked(ledger: Ledger) -> list[int]:
    return [number for number, row in enumerate(ledger.rows) if row.name in (WITHOUT_MATCH, WITH_MATCH)]


def _slices(ledger: Ledger) -> list[list[str]]:
    return [
        [
            name,
            part.metric,
            f"{part.queries:,}",
            f"{part.without:.3f}",
            f"{part.with_:.3f}",
            "{:+.3f} to {:+.3f}".format(*part.ci95),
        ]
        for name, part in ledger.slices.items()
    ]
