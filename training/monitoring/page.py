"""`monitor.html`: a page in the look of the training report, self-contained, without a script."""

from __future__ import annotations

import math
from importlib import resources

import matplotlib as mpl
import numpy as np
from jinja2 import Environment, StrictUndefined
from markupsafe import Markup
from matplotlib.figure import Figure

from training.monitoring.findings import Finding, Monitoring
from training.monitoring.outcome_words import outcome_sentences
from training.monitoring.words import STATUS_WORDS, advice, deciding, figure_name, headline, topic_change
from training.report.charts import BAR, MATCH, STYLE, set_title
from training.report.figure_files import to_svg
from training.report.number_text import fact_text, time_text

MAX_PANELS = 6
"""Figures that are drawn, at most."""
_WIDTH_IN = 7.4
_PANEL_IN = 1.9
_ABSENT = "\N{EN DASH}"
_ASKED = {
    "catalogue": "test queries of the training, with the candidates that recmem retrieved",
    "impressions": "impressions of the training's test period",
    "given": "the candidates that were given as a reference",
}


def render_page(found: Monitoring) -> str:
    """The page as one HTML document; every text of the data is escaped."""
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.filters |= {
        "fact": fact_text,
        "time": time_text,
        "figure_name": figure_name,
        "short": _short,
        "distance": _distance,
        "other": _other,
        "share": lambda share: f"{share:.1%}",
        "topic_change": topic_change,
        "chance": lambda finding: f"{deciding(finding)[1].chance:.3f}",
    }
    page = resources.files("training.monitoring").joinpath("monitor.html.j2").read_text(encoding="utf-8")
    css = resources.files("training.report").joinpath("report.css").read_text(encoding="utf-8")
    drawn = moved_most(found)
    return environment.from_string(page).render(
        found=found,
        headline=headline(found),
        outcomes=outcome_sentences(found),
        advice=list(advice(found)),
        ordered=ordered(found),
        words=STATUS_WORDS,
        reference_words=_ASKED[str(found.reference["asked"])],
        css=Markup(css),
        # Matplotlib escapes the texts that it writes; the SVG itself is markup.
        plot=Markup(to_svg(bins_figure(drawn))) if drawn else "",
    )


def ordered(found: Monitoring) -> list[Finding]:
    """The worst first; within a status the largest distance first."""
    return [each for status in ("alert", "warn", "ok", "too few") for each in found.with_status(status)]


def moved_most(found: Monitoring) -> list[Finding]:
    """What is drawn: figures with bins that warn or alert."""
    moved = [*found.with_status("alert"), *found.with_status("warn")]
    return [finding for finding in moved if finding.reference_bins][:MAX_PANELS]


def bins_figure(findings: list[Finding]) -> Figure:
    """For each figure, the share of rows in each bin of the reference, then and now."""
    n_rows = math.ceil(len(findings) / 2)
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(_WIDTH_IN, _PANEL_IN * n_rows), layout="constrained")
        grid = figure.subplots(n_rows, 2, squeeze=False).ravel()
        for axes, finding in zip(grid, findings, strict=False):
            has_missing = finding.reference_bins[-1] > 0 or finding.current_bins[-1] > 0
            n_bins = len(finding.reference_bins) - (not has_missing)
            places = np.arange(n_bins)
            axes.bar(places - 0.2, finding.reference_bins[:n_bins], width=0.4, color=BAR)
            axes.bar(places + 0.2, finding.current_bins[:n_bins], width=0.4, color=MATCH)
            axes.set_xticks(places, _bin_names(finding, has_missing), fontsize=7, rotation=45, ha="right")
            axes.yaxis.set_major_formatter(lambda value, _: f"{value:.0%}")
            axes.locator_params(axis="y", nbins=4)
            axes.spines[:].set_visible(False)
            axes.tick_params(length=0)
            set_title(axes, figure_name(finding))
        for axes in grid[len(findings) :]:
            axes.set_axis_off()
    return figure


def _bin_names(finding: Finding, has_missing: bool) -> list[str]:
    names = [f"≤ {edge:.3g}" for edge in finding.edges]
    names.append(f"> {finding.edges[-1]:.3g}" if finding.edges else "all")
    return [*names, "none"] if has_missing else names


def _short(value: float) -> str:
    return _ABSENT if not math.isfinite(value) else f"{value:.3g}"


def _distance(finding: Finding, kind: str) -> str:
    limit = finding.limits.get(kind)
    return _ABSENT if limit is None or math.isnan(limit.value) else f"{limit.value:.3f}"


def _other(finding: Finding) -> str:
    kinds = [kind for kind in ("rise", "change", "loss", "ratio") if kind in finding.limits]
    return f"{finding.limits[kinds[0]].value:.3f}" if kinds else _ABSENT
