"""The report of a run as one HTML page: self-contained, no script, nothing to fetch.

The layout is `report.html.j2` with the templates that it includes, the style `report.css`, all beside this file.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from importlib import resources
from typing import Any

from jinja2 import Environment, FunctionLoader, StrictUndefined
from markupsafe import Markup, escape

from training.evaluation.ablation import Ablation
from training.evaluation.ledger import HEADLINE_METRIC, WITH_MATCH, WITHOUT_MATCH, Ledger, Lift, Slice
from training.report import plots
from training.report.ablation_text import ablation_rows, ablation_sentences, ablation_slices
from training.report.content import Example, ReportContent, most_important
from training.report.figure_files import to_svg
from training.report.findings import folds_sentences, headline, remarks
from training.report.glossary import glossary_features, glossary_terms
from training.report.html_charts import IntervalMark, bar_lengths, interval_marks
from training.report.intake_text import dates_text, lost_rows, undated_text, when_read
from training.report.labels import metric_label, row_label, ships_label
from training.report.metric_disagreement import disagreement_sentences
from training.report.number_text import (
    fact_text,
    figure_text,
    interval_text,
    minute_text,
    positions_text,
    signed_text,
)
from training.report.run_stamp import PLACE
from training.report.ships_text import what_ships_without_text
from training.report.slice_rows import SliceRow, few_items_sentence, positives_text, slices_by_metric
from training.report.verdict_text import verdict_sentences

_N_MEMORY_SHOWN = 12
"""Slots of an example's memory that are listed; the rest are counted."""
_LONGEST_BAR = 100.0


def render_report(ledger: Ledger, content: ReportContent) -> str:
    """The report as one HTML document, with a place for its `RunStamp`; every text of the data is escaped."""
    template = _environment(content.examples).get_template("report.html.j2")
    comparison = content.verdict.comparison if content.verdict else None
    slices = slices_by_metric(ledger.slices)
    verdict_slices = slices_by_metric(comparison.slices) if comparison else {}
    importance = most_important(content.importance)
    return template.render(
        ledger=ledger,
        content=content,
        headline=headline(ledger),
        headline_metric=HEADLINE_METRIC,
        without_text=what_ships_without_text(ledger),
        place_of_run=Markup(PLACE),
        **_ablation(ledger),
        folds_sentences=folds_sentences(content.folds) if content.folds else [],
        verdict_sentences=verdict_sentences(content.verdict) if content.verdict else [],
        remarks=[*remarks(ledger), *(lost_rows(content.intake) if content.intake else [])],
        disagreement=disagreement_sentences(ledger),
        metrics=list(ledger.rows[0].metrics) if ledger.rows else [],
        rankers={WITH_MATCH, WITHOUT_MATCH},
        with_match=WITH_MATCH,
        slices=slices,
        few_items=few_items_sentence(ledger.slices),
        has_item_slices=any(part.positives is not None for part in ledger.slices.values()),
        marks=_marks(slices),
        verdict_slices=verdict_slices,
        verdict_marks=_marks(verdict_slices),
        importance=importance,
        bars={
            "rankings": _ranking_bars(ledger),
            "importance": _bars(importance),
            "positions": bar_lengths([each.times for each in ledger.positions]),
        },
        # Matplotlib escapes the texts that it writes; the SVG itself is markup.
        curves=[Markup(to_svg(plots.curve_figure(panel))) for panel in content.curves],
        terms=glossary_terms(ledger.protocol),
        features=glossary_features(content),
        css=Markup(_package_text("report.css")),
        nan=math.nan,
        n_memory_shown=_N_MEMORY_SHOWN,
    )


def _environment(examples: Sequence[Example]) -> Environment:
    environment = Environment(
        loader=FunctionLoader(_package_text),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    largest = _largest_parts(examples)
    environment.filters |= {
        "row_label": row_label,
        "metric_label": metric_label,
        "ships_label": ships_label,
        "figure": figure_text,
        "signed": signed_text,
        "interval": interval_text,
        "fact": fact_text,
        "positives": positives_text,
        "short_time": minute_text,
        "when_read": when_read,
        "dates_text": dates_text,
        "undated_text": undated_text,
        "sign_of": _sign_of,
        "with_code": _with_code,
        "positions": positions_text,
        "share_of": lambda part, scale: f"{_LONGEST_BAR * abs(part) / largest[scale]:.0f}",
    }
    return environment


def _package_text(name: str) -> str:
    return resources.files("training.report").joinpath(name).read_text(encoding="utf-8")


def _marks(slices: Mapping[str, Sequence[SliceRow]]) -> dict[str, dict[str, IntervalMark]]:
    """The marks of each metric's slices, which share an axis."""
    return {
        metric: interval_marks({row.name: (row.part.difference, row.part.ci95) for row in rows})
        for metric, rows in slices.items()
    }


def _ablation(ledger: Ledger) -> dict[str, Any]:
    """What the template of the ablation reads; without one, nothing of it is shown."""
    if not ledger.ablation:
        return {"ablation_sentences": []}
    ablation = Ablation.from_document(ledger.ablation)
    rows = ablation_rows(ablation)
    return {
        "ablation_sentences": ablation_sentences(ablation),
        "ablation_rows": rows,
        "ablation_marks": interval_marks(
            {row.kind.name: (row.validation.difference, row.validation.ci95) for row in rows}
        ),
        "ablation_slices": ablation_slices(ablation),
        "ablation_metric": metric_label(ablation.metric),
    }


def _ranking_bars(ledger: Ledger) -> dict[str, float]:
    return _bars({row.name: row.metrics.get(HEADLINE_METRIC, math.nan) for row in ledger.rows})


def _bars(values: Mapping[str, float]) -> dict[str, float]:
    return dict(zip(values, bar_lengths(list(values.values())), strict=True))


def _largest_parts(examples: Sequence[Example]) -> dict[str, float]:
    """Of each score, the largest part by size, which has the longest bar; 1 if all are 0."""
    largest: dict[str, float] = {}
    for example in examples:
        for item in example["items"]:
            for score in item["scores"]:
                sizes = [largest.get(score["of"], 0.0), *(abs(part) for _, part in score["parts"])]
                largest[score["of"]] = max(sizes)
    return {name: size or 1.0 for name, size in largest.items()}


def _with_code(text: str) -> Markup:
    """The text with names between backticks as code."""
    return Markup(re.sub(r"`([^`]+)`", r"<code>\1</code>", str(escape(text))))


def _sign_of(part: Lift | Slice) -> str:
    """The CSS class of a difference: `up`, `down`, or `open` if its interval includes zero."""
    low, high = part.ci95
    if low > 0:
        return "up"
    return "down" if high < 0 else "open"
