"""One HTML page about a run that a person reads without a manual: self-contained, no script, no link to fetch."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypedDict

from jinja2 import Environment, StrictUndefined
from markupsafe import Markup

from training.evaluation.intervals import UNKNOWN_INTERVAL
from training.evaluation.ledger import HEADLINE_METRIC, WITH_MATCH, WITHOUT_MATCH, Interval, Ledger, Row, Slice
from training.report import plots
from training.report.plots import Panel

ROW_NOTES = {
    "popularity": "the items with most events before the test",
    "recent_popularity": "the items with most events in the last tenth of the log before the test",
    "covisitation": "items that often follow what the user has (item to item), without text",
    "text_similarity": "text alone, untrained: the encoder's similarity to what the user has",
    "match_score": "the trained match score alone: text memory, no counters",
    WITHOUT_MATCH: "LightGBM on counters and co-visitation, without any text column",
    WITH_MATCH: "the same LightGBM with the match columns added",
}
"""What each row of the ledger is, in words."""

_N_MEMORY_SHOWN = 12
_MINUS, _ABSENT = "\N{MINUS SIGN}", "\N{EN DASH}"


class ExampleItem(TypedDict):
    """A recommended item, its score, and what the score is made of: (words, contribution), largest first."""

    item: str
    score: float
    reasons: Sequence[tuple[str, float]]


class Example(TypedDict):
    """One user: what is remembered, newest first, and the top items."""

    user: str
    memory: Sequence[str]
    items: Sequence[ExampleItem]


@dataclass(frozen=True)
class Window:
    """A span of time and what it served for: "match model", "ranker", "test"."""

    name: str
    start: str
    end: str
    use: str = ""


@dataclass(frozen=True)
class ReportContent:
    """All that a report tells beside the ledger."""

    title: str
    data: Mapping[str, str | int | float]
    """Facts on the data in the order of reading: users, items, events, ..."""
    windows: Sequence[Window] = ()
    importance: Mapping[str, float] = field(default_factory=dict)
    """Gain by column of the ranker with match."""
    match_features: Collection[str] = ()
    curves: Sequence[Panel] = ()
    examples: Sequence[Example] = ()
    parameters: Mapping[str, Any] = field(default_factory=dict)
    versions: Mapping[str, str] = field(default_factory=dict)
    data_digest: str = ""
    command: str = ""
    """The command line that makes this run again."""
    row_notes: Mapping[str, str] = field(default_factory=lambda: ROW_NOTES)


def render_report(ledger: Ledger, content: ReportContent) -> str:
    """The report as one HTML document; every text of the data is escaped."""
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    scale = _largest_contribution(content.examples)
    environment.filters |= {
        "figure": _figure_text,
        "signed": _signed,
        "interval": _interval,
        "fact": _fact,
        "share": lambda part: f"{100 * abs(part) / scale:.0f}",
    }
    return environment.from_string(_TEMPLATE).render(
        ledger=ledger,
        content=content,
        headline=headline(ledger),
        remarks=remarks(ledger),
        metrics=list(ledger.rows[0].metrics) if ledger.rows else [],
        highlighted={WITH_MATCH, WITHOUT_MATCH},
        figures=_figures(ledger, content),
        css=Markup(_CSS),
        nan=math.nan,
        memory_shown=_N_MEMORY_SHOWN,
        verdict=_verdict_of_slice,
    )


def headline(ledger: Ledger, *, metric: str = HEADLINE_METRIC) -> str:
    """The result as one sentence, which says it plainly where the match score does not help.

    "The match score lifts NDCG@10 from 0.095 to 0.249 (+0.154, 95% interval: +0.140 to +0.170)."
    """
    lift = ledger.lift[metric]
    low, high = lift.ci95
    spread = f"({_signed(lift.difference)}, 95% interval: {_interval(lift.ci95)})"
    span = f"from {_figure_text(lift.without)} to {_figure_text(lift.with_)}"
    if low > 0:
        return f"The match score lifts {metric.upper()} {span} {spread}."
    if high < 0:
        return f"The match score lowers {metric.upper()} {span} {spread}: on this data it does harm."
    return (
        f"No lift is shown: with the match score {metric.upper()} goes {span} {spread}, "
        "and the interval holds zero, so the change may be chance."
    )


def remarks(ledger: Ledger, *, metric: str = HEADLINE_METRIC) -> list[str]:
    """Sentences that put the headline in proportion: against the best baseline, on the slices, on the retrieval."""
    found = [_against_best_baseline(ledger, metric), *_slice_remarks(ledger)]
    found += [
        f"The retrieval's {name} is {_figure_text(value)}: an item that is not retrieved cannot be ranked."
        for name, value in ledger.retrieval.items()
    ]
    return [sentence for sentence in found if sentence]


def _against_best_baseline(ledger: Ledger, metric: str) -> str:
    baselines = [
        row for row in ledger.rows if row.name not in (WITH_MATCH, WITHOUT_MATCH) and not _undefined(row, metric)
    ]
    if not baselines:
        return ""
    best = max(baselines, key=lambda row: row.metrics[metric])
    ours, theirs = ledger.lift[metric].with_, best.metrics[metric]
    if not theirs:
        return ""
    relation = "above" if ours > theirs else "below"
    percent = f"{abs(ours / theirs - 1):.0%}"
    return (
        f"The ranker with match stands {percent} {relation} the best other row, {best.name} ({_figure_text(theirs)})."
    )


def _slice_remarks(ledger: Ledger) -> list[str]:
    worse = [name for name, part in ledger.slices.items() if part.ci95[1] < 0]
    if not worse:
        return []
    return [f"The match score does harm on: {', '.join(worse)}."]


def _verdict_of_slice(part: Slice) -> str:
    low, high = part.ci95
    return "up" if low > 0 else "down" if high < 0 else "open"


def _undefined(row: Row, metric: str) -> bool:
    return math.isnan(row.metrics.get(metric, math.nan))


def _figures(ledger: Ledger, content: ReportContent) -> dict[str, Markup]:
    drawn = {"lift": plots.lift_figure(ledger)}
    if ledger.slices:
        drawn["slices"] = plots.slices_figure(ledger)
    if content.importance:
        drawn["importance"] = plots.importance_figure(content.importance, match_features=content.match_features)
    if content.curves:
        drawn["curves"] = plots.curves_figure(content.curves)
    # Matplotlib escapes the texts that it writes; the SVG itself is markup.
    return {name: Markup(plots.to_svg(figure)) for name, figure in drawn.items()}


def _largest_contribution(examples: Sequence[Example]) -> float:
    sizes = [abs(part) for example in examples for item in example["items"] for _, part in item["reasons"]]
    return max(sizes, default=0.0) or 1.0


def _figure_text(value: float) -> str:
    return _ABSENT if math.isnan(value) else f"{value:.3f}"


def _signed(value: float, digits: int = 3) -> str:
    return _ABSENT if math.isnan(value) else f"{value:+.{digits}f}".replace("-", _MINUS)


def _interval(ends: Interval) -> str:
    return "too few users" if ends == UNKNOWN_INTERVAL else f"{_signed(ends[0])} to {_signed(ends[1])}"


def _fact(value: str | int | float) -> str:
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)


_CSS = """
:root { color-scheme: light dark; --page: #f5f6f8; --surface: #ffffff; --ink: #1c2330; --muted: #5d6676;
  --grid: #dde2ea; --bar: #c3cad6; --match: #0072b2; --without: #8a93a3; --loss: #d55e00; --soft: #e8f2f9; }
@media (prefers-color-scheme: dark) { :root { --page: #12151b; --surface: #1b2029; --ink: #e8ebf1; --muted: #a2abba;
  --grid: #333b48; --bar: #515c6d; --match: #56b4e9; --without: #8d98aa; --loss: #f0934a; --soft: #1d3040; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--page); color: var(--ink); line-height: 1.5; overflow-wrap: anywhere;
  font: 16px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif; }
main { max-width: 900px; margin: 0 auto; padding: 32px 20px 64px; }
h1 { font-size: 1rem; font-weight: 600; color: var(--muted); margin: 0 0 4px; }
h2 { font-size: 1.15rem; margin: 0 0 6px; }
h3 { font-size: 1rem; margin: 0 0 4px; }
p { margin: 0 0 10px; max-width: 72ch; }
.headline { font-size: clamp(1.3rem, 3.4vw, 1.75rem); line-height: 1.3; font-weight: 650; margin: 0 0 14px;
  max-width: 34em; }
.note, figcaption { color: var(--muted); font-size: .9rem; }
.scroll + .note { margin-top: 14px; }
section { background: var(--surface); border: 1px solid var(--grid); border-radius: 10px; padding: 20px;
  margin: 18px 0 0; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; font-size: .92rem; overflow-wrap: normal; }
th { text-align: left; font-weight: 600; color: var(--muted); font-size: .82rem; }
th, td { padding: 7px 14px 7px 0; border-bottom: 1px solid var(--grid); vertical-align: top; }
tr:last-child > * { border-bottom: 0; }
td.n, th.n { text-align: right; font-variant-numeric: tabular-nums; }
td.n, th.n, .whole { white-space: nowrap; }
td code { overflow-wrap: anywhere; }
td:last-child:not(.n) { min-width: 11em; }
td small { display: block; color: var(--muted); font-size: .84rem; }
tr.match td { background: var(--soft); }
tr.match td:first-child { box-shadow: inset 3px 0 var(--match); }
td:first-child, th:first-child { padding-left: 10px; }
code { font: .88em ui-monospace, SFMono-Regular, Menlo, Consolas, monospace; }
pre { background: var(--page); border: 1px solid var(--grid); border-radius: 6px; padding: 12px; overflow-x: auto;
  white-space: pre-wrap; margin: 8px 0 14px; }
.facts { display: grid; grid-template-columns: repeat(auto-fill, minmax(150px, 1fr)); gap: 12px; margin: 12px 0 16px; }
.facts dt { color: var(--muted); font-size: .82rem; } .facts dd { margin: 0; font-weight: 600; }
figure { margin: 12px 0 0; } figure svg { display: block; width: 100%; min-width: 540px; height: auto; }
.up { color: var(--match); } .down { color: var(--loss); } .open { color: var(--muted); }
.user { border-top: 1px solid var(--grid); padding-top: 16px; margin-top: 16px; }
.memory { display: flex; flex-wrap: wrap; gap: 6px; list-style: none; padding: 0; margin: 6px 0 14px; }
.memory li { background: var(--page); border: 1px solid var(--grid); border-radius: 6px; padding: 1px 8px;
  font-size: .88rem; }
ol.items { padding: 0; margin: 0; list-style: none; counter-reset: place; }
ol.items > li { counter-increment: place; padding: 10px 0 10px 34px; border-top: 1px solid var(--grid);
  position: relative; }
ol.items > li::before { content: counter(place); position: absolute; left: 4px; color: var(--muted); font-weight: 600; }
.item { display: flex; justify-content: space-between; gap: 16px; font-weight: 600; }
.item span:last-child { color: var(--muted); font-weight: 400; white-space: nowrap;
  font-variant-numeric: tabular-nums; }
.reasons { list-style: none; padding: 0; margin: 4px 0 0; font-size: .9rem; }
.reasons li { display: grid; grid-template-columns: 4.2em 72px 1fr; gap: 10px; align-items: center; }
.reasons b { font-weight: 500; text-align: right; font-variant-numeric: tabular-nums; }
.track { height: 7px; } .track i { display: block; height: 7px; border-radius: 2px; background: var(--match); }
.track i.less { background: var(--loss); }
summary { cursor: pointer; font-weight: 600; } details[open] > summary { margin-bottom: 8px; }
@media (max-width: 560px) { main { padding: 20px 12px 40px; } section { padding: 16px 14px; }
  .reasons li { grid-template-columns: 4.2em 1fr; } .track { display: none; }
  td:first-child { min-width: 9em; } }
@media print { body { background: none; } section { break-inside: avoid; } }
"""

_TEMPLATE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{{ content.title }}</title>
<style>{{ css }}</style>
</head>
<body>
<main>
<header>
<h1>{{ content.title }}</h1>
<p class="headline">{{ headline }}</p>
{% for remark in remarks %}
<p>{{ remark }}</p>
{% endfor %}
</header>

<section>
<h2>What was measured</h2>
<p>
{% if ledger.protocol.candidates == "impressions" %}
{{ ledger.protocol.queries | fact }} impressions from {{ ledger.protocol.test_from }} on. Each ranks what was shown, and
the clicked items should come first.
{% else %}
{{ ledger.protocol.queries | fact }} test queries from {{ ledger.protocol.test_from }} on. Each asks: which of
{{ ledger.protocol.catalogue | fact }} items does this user take next? The whole catalogue is
ranked{% if ledger.protocol.exclude_seen %}, less what the user already has{% endif %}; an item that was not
retrieved counts as missed.
{% endif %}
Only what was known before a query was used for it.
</p>
<dl class="facts">
{% for name, value in content.data.items() %}
<div><dt>{{ name }}</dt><dd>{{ value | fact }}</dd></div>
{% endfor %}
</dl>
{% if content.windows %}
<div class="scroll"><table>
<thead><tr><th>Window</th><th>From</th><th>To (before)</th><th>Used for</th></tr></thead>
<tbody>
{% for window in content.windows %}
<tr><td class="whole">{{ window.name }}</td><td class="whole">{{ window.start }}</td>
<td class="whole">{{ window.end }}</td><td>{{ window.use }}</td></tr>
{% endfor %}
</tbody></table></div>
{% endif %}
</section>

<section>
<h2>Results</h2>
<div class="scroll"><table>
<thead><tr><th>Ranking</th>{% for metric in metrics %}<th class="n">{{ metric.upper() }}</th>{% endfor %}</tr></thead>
<tbody>
{% for row in ledger.rows %}
<tr{% if row.name == "ranker_with_match" %} class="match"{% endif %}>
<td>{% if row.name in highlighted %}<strong>{{ row.name }}</strong>{% else %}{{ row.name }}{% endif %}
<small>{{ content.row_notes.get(row.name, "") }}</small></td>
{% for metric in metrics %}<td class="n">{{ row.metrics.get(metric, nan) | figure }}</td>{% endfor %}
</tr>
{% endfor %}
</tbody></table></div>
<p class="note">NDCG@k: how near the top the right items stand, 1 is perfect. RECALL@k: the share of them within the
first k. MRR: one over the place of the
{{ "clicked items, averaged." if ledger.protocol.candidates == "impressions" else "first right item." }}
AUC: the chance that a right item stands above another. Means over queries.</p>
<figure><div class="scroll">{{ figures.lift }}</div>
<figcaption>Intervals come from drawing users again at random, thousands of times; both rankers answer the same queries.
An interval above zero (blue) is a lift that chance does not explain; grey holds zero; orange lies below.</figcaption>
</figure>
</section>

{% if ledger.slices %}
<section>
<h2>Where it helps</h2>
<figure><div class="scroll">{{ figures.slices }}</div></figure>
<div class="scroll"><table>
<thead><tr><th>Slice</th><th>Metric</th><th class="n">Queries</th><th class="n">Without</th><th class="n">With</th>
<th class="n">Difference</th><th class="n">95% interval</th></tr></thead>
<tbody>
{% for name, part in ledger.slices.items() %}
<tr>
<td>{{ name }}{% if part.positives is not none %}<small>{{ part.positives | fact }} positives</small>{% endif %}</td>
<td class="whole">{{ part.metric.upper() }}</td><td class="n">{{ part.queries | fact }}</td>
<td class="n">{{ part.without | figure }}</td><td class="n">{{ part.with_ | figure }}</td>
<td class="n {{ verdict(part) }}">{{ part.difference | signed }}</td>
<td class="n">{{ part.ci95 | interval }}</td>
</tr>
{% endfor %}
</tbody></table></div>
</section>
{% endif %}

{% if content.examples %}
<section>
<h2>What it recommends, and why</h2>
<p class="note">Each reason carries what it adds to the item's score (or takes from it).</p>
{% for example in content.examples %}
<div class="user">
<h3>{{ example.user }}</h3>
<div class="note">Remembered:</div>
<ul class="memory">
{% for text in example.memory[:memory_shown] %}<li>{{ text }}</li>{% endfor %}
{% if example.memory | length > memory_shown %}
<li>and {{ (example.memory | length - memory_shown) | fact }} more</li>
{% endif %}
{% if not example.memory %}<li>nothing yet</li>{% endif %}
</ul>
<ol class="items">
{% for item in example["items"] %}
<li><div class="item"><span>{{ item.item }}</span><span>score {{ item.score | signed(2) }}</span></div>
<ul class="reasons">
{% for text, part in item.reasons %}
<li><b>{{ part | signed(2) }}</b>
<span class="track"><i class="{{ "less" if part < 0 else "more" }}" style="width:{{ part | share }}%"></i></span>
<span>{{ text }}</span></li>
{% endfor %}
</ul></li>
{% endfor %}
</ol>
</div>
{% endfor %}
</section>
{% endif %}

{% if figures.importance is defined %}
<section>
<h2>What the ranker relies on</h2>
<figure><div class="scroll">{{ figures.importance }}</div>
<figcaption>Blue: columns from the match of the text memory. Grey: counters and the rest.</figcaption></figure>
</section>
{% endif %}

{% if figures.curves is defined %}
<section>
<h2>How it learned</h2>
<figure><div class="scroll">{{ figures.curves }}</div></figure>
</section>
{% endif %}

<section>
<h2>Do it again</h2>
{% if content.command %}
<pre><code>{{ content.command }}</code></pre>
{% endif %}
<p>{% if content.data_digest %}Data digest <code>{{ content.data_digest }}</code>. {% endif %}
{% if ledger.protocol.test_digest %}Test queries <code>{{ ledger.protocol.test_digest }}</code>. {% endif %}
The same data, parameters and seed give the same figures.</p>
{% for name, entries in [("Parameters", content.parameters), ("Versions", content.versions)] if entries %}
<details><summary>{{ name }}</summary>
<div class="scroll"><table><tbody>
{% for key, value in entries.items() %}
<tr><td class="whole"><code>{{ key }}</code></td><td><code>{{ value }}</code></td></tr>
{% endfor %}
</tbody></table></div></details>
{% endfor %}
</section>
</main>
</body>
</html>
"""
