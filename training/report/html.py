"""The report of a run as one HTML page: self-contained, no script, nothing to fetch.

The layout is `report.html.j2`, the style `report.css`, both beside this file.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from importlib import resources

from jinja2 import Environment, StrictUndefined
from markupsafe import Markup

from training.evaluation.ledger import WITH_MATCH, WITHOUT_MATCH, Ledger, Slice
from training.report import plots
from training.report.content import Example, ReportContent
from training.report.figure_files import to_svg
from training.report.findings import folds_sentences, headline, remarks
from training.report.glossary import glossary_features, glossary_terms
from training.report.intake_text import lost_rows, undated_text, when_read
from training.report.labels import SLICE_NOTES, metric_label, row_label, slice_label
from training.report.number_text import fact_text, figure_text, interval_text, signed_text, time_text
from training.report.verdict_text import verdict_sentences

_N_MEMORY_SHOWN = 12
"""Slots of an example's memory that are listed; the rest are counted."""


def render_report(ledger: Ledger, content: ReportContent) -> str:
    """The report as one HTML document; every text of the data is escaped."""
    template = _environment(content.examples).from_string(_package_text("report.html.j2"))
    return template.render(
        ledger=ledger,
        content=content,
        headline=headline(ledger),
        folds_sentences=folds_sentences(content.folds) if content.folds else [],
        verdict_sentences=verdict_sentences(content.verdict) if content.verdict else [],
        remarks=[*remarks(ledger), *(lost_rows(content.intake) if content.intake else [])],
        metrics=list(ledger.rows[0].metrics) if ledger.rows else [],
        rankers={WITH_MATCH, WITHOUT_MATCH},
        with_match=WITH_MATCH,
        slice_notes=SLICE_NOTES,
        figures=_figures(ledger, content),
        terms=glossary_terms(ledger.protocol),
        features=glossary_features(content),
        css=Markup(_package_text("report.css")),
        nan=math.nan,
        n_memory_shown=_N_MEMORY_SHOWN,
        sign_of=_sign_of,
    )


def _environment(examples: Sequence[Example]) -> Environment:
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    largest = _largest_contribution(examples)
    environment.filters |= {
        "row_label": row_label,
        "slice_label": slice_label,
        "metric_label": metric_label,
        "figure": figure_text,
        "signed": signed_text,
        "interval": interval_text,
        "fact": fact_text,
        "time": time_text,
        "when_read": when_read,
        "undated_text": undated_text,
        "percent_of_largest": lambda part: f"{100 * abs(part) / largest:.0f}",
    }
    return environment


def _package_text(name: str) -> str:
    return resources.files("training.report").joinpath(name).read_text(encoding="utf-8")


def _figures(ledger: Ledger, content: ReportContent) -> dict[str, Markup]:
    drawn = {"lift": plots.lift_figure(ledger)}
    if ledger.slices:
        drawn["slices"] = plots.slices_figure(ledger)
    if content.importance:
        drawn["importance"] = plots.importance_figure(content.importance, text_features=content.text_features)
    if content.curves:
        drawn["curves"] = plots.curves_figure(content.curves)
    # Matplotlib escapes the texts that it writes; the SVG itself is markup.
    return {name: Markup(to_svg(figure)) for name, figure in drawn.items()}


def _largest_contribution(examples: Sequence[Example]) -> float:
    """The largest part of any reason by size, which has the longest bar; 1 if there is none."""
    reasons = [reason for example in examples for item in example["items"] for reason in item["reasons"]]
    return max((abs(part) for _, part in reasons), default=0.0) or 1.0


def _sign_of(part: Slice) -> str:
    """The CSS class of a slice's difference: `up`, `down`, or `open` if the interval includes zero."""
    low, high = part.ci95
    if low > 0:
        return "up"
    return "down" if high < 0 else "open"
