"""The report as a browser shows it: on a desktop and a phone, light and dark, and printed."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page

from chromium import DESKTOP, PHONE, chromium, tab
from example_report import NASTY, content, ledger
from feature_store import Receipt
from feature_store.warnings.event_kinds import EventKind
from training.evaluation.folds import EarlierModel, Fold, Folds
from training.evaluation.ledger import WITH_MATCH, Lift, Row, Slice
from training.evaluation.verdict import Champion, Comparison, Verdict
from training.intake import Intake
from training.report.charts import Panel
from training.report.html import render_report
from training.report.run_stamp import RunStamp, stamped

TIMES = ("2026-03-01T12:30:00+00:00", "2026-03-02T12:30:00+00:00", "2026-03-02T12:30:00+00:00")
LEAST_CONTRAST = 4.5
"""WCAG 2.2, level AA, for text of usual size."""
A4_WIDTH = 794
"""CSS pixels."""
A4_MARGIN = 53
"""14 mm."""

# Of every element with a text of its own: the contrast of its colour with the nearest background below it.
CONTRASTS = """() => {
  const parts = colour => colour.match(/[\\d.]+/g).map(Number);
  const light = value => { value /= 255; return value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4; };
  const luminance = ([r, g, b]) => 0.2126 * light(r) + 0.7152 * light(g) + 0.0722 * light(b);
  const background = element => {
    for (let at = element; at; at = at.parentElement) {
      const colour = parts(getComputedStyle(at).backgroundColor);
      if (colour.length < 4 || colour[3] > 0) return colour;
    }
    return [255, 255, 255];
  };
  const found = [];
  for (const element of document.querySelectorAll('body *')) {
    const own = [...element.childNodes].some(node => node.nodeType === 3 && node.data.trim());
    if (!own || !element.getClientRects().length || element.tagName === 'STYLE') continue;
    const style = getComputedStyle(element);
    const drawn = element instanceof SVGElement ? style.fill : style.color;
    const [a, b] = [luminance(parts(drawn)), luminance(background(element))];
    found.push([(Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05), element.textContent.trim().slice(0, 40)]);
  }
  return found;
}"""
# Elements that reach over the right edge of the window, or whose content does not fit into them.
TOO_WIDE = """() => [...document.querySelectorAll('body *')].filter(element => {
  if (element instanceof SVGElement && element.tagName !== 'svg') return false;
  const right = element.getBoundingClientRect().right;
  return right > document.documentElement.clientWidth + 0.5 || element.scrollWidth > element.clientWidth + 1
    && getComputedStyle(element).display !== 'inline';
}).map(element => `${element.tagName}.${element.className}: ${element.textContent.trim().slice(0, 40)}`)"""


def full_page() -> str:
    """A report with all of its sections, with long and strange names."""
    receipts = (
        Receipt("items", 30, 29, 1, 0, 1, {}),
        Receipt("events", 320000, 240000, 0, 80000, 1, {NASTY: 80}, (f"odd: {NASTY}",), {NASTY: f"{NASTY} in row 7"}),
    )
    kinds = (EventKind("a" * 80, 1_000_000, 1_000_000, 0, 0, "named"), EventKind(None, 5, 0, 5, 0, "no name"))
    intake = Intake(receipts, (), 5, {"events": 1}, "ab12", TIMES[0], ("of the store",), reused=True, kinds=kinds)
    cold = Slice(40, 0.3, 0.2, (-0.2, -0.02), "recall@10", 44)
    comparison = Comparison("measured", *TIMES, 1300, 900, Lift(0.4, 0.5, 0.1, (0.05, 0.15)), {"cold items": cold})
    fold = Fold(TIMES[0], TIMES[1], 40, Lift(0.1, 0.15, 0.05, (0.02, 0.08)), WITH_MATCH)
    earlier = EarlierModel(measured=0.091, refitted=0.102, difference=0.011, ci95=(0.001, 0.02), retrained=0.105)
    shown = replace(
        content(f"items.{'long_' * 30}name {NASTY}"),
        curves=[Panel("Rankers", "boosting round", "NDCG@10", {WITH_MATCH: [0.1, 0.2], "without": [0.1, 0.15]})],
        intake=intake,
        folds=Folds((fold, replace(fold, earlier=earlier))),
        verdict=Verdict("not-worse", False, "worse", NASTY, Champion("3", "abc"), comparison),
        feature_meanings={"match_score": "How well texts fit."},
    )
    rows = tuple(Row(row.name, {**row.metrics, "ndcg@5": 0.1}) for row in ledger().rows)
    stamp = RunStamp(
        TIMES[0], 252, ("ingest",), "shop, version 7", "It is the champion.", "promoted: first champion", "0a1b" * 8
    )
    stamp = replace(stamp, run_url="http://127.0.0.1:5000/#/experiments/1/runs/0a1b", server_command="mlflow ui " * 9)
    return stamped(render_report(replace(ledger(), rows=rows), shown), stamp)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as started:
        yield started


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("report") / "report.html"
    path.write_text(full_page(), encoding="utf-8")
    return path.as_uri()


def opened_details(page: Page) -> None:
    page.evaluate("document.querySelectorAll('details').forEach(each => each.open = true)")


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("width", [DESKTOP, PHONE])
def test_the_page_shows_whole_without_a_complaint_and_fetches_nothing(
    browser: Browser, address: str, width: int, dark: bool
) -> None:
    with tab(browser, width=width, dark=dark) as shown:
        shown.page.goto(address)
        opened_details(shown.page)
        assert shown.complaints == []
        assert shown.requests == [address]
        pictures = shown.page.evaluate("[...document.images].map(each => each.naturalWidth)")
        assert 0 not in pictures
        assert shown.page.evaluate("[...document.querySelectorAll('svg')].map(each => each.getBBox().width > 100)") == [
            True
        ]
        # Nothing to scroll sideways: neither the page nor anything in it.
        assert shown.page.evaluate(TOO_WIDE) == []
        contrasts: list[tuple[float, str]] = shown.page.evaluate(CONTRASTS)
        assert len(contrasts) > 200
        assert [text for contrast, text in contrasts if contrast < LEAST_CONTRAST] == []


def test_a_dark_page_is_dark_and_prints_light(browser: Browser, address: str) -> None:
    background = "getComputedStyle(document.querySelector('section')).backgroundColor"
    with tab(browser, dark=True) as shown:
        shown.page.goto(address)
        assert shown.page.evaluate(background) == "rgb(27, 32, 41)"
        shown.page.emulate_media(media="print")
        assert shown.page.evaluate(background) == "rgb(255, 255, 255)"


def test_a_printed_page_is_no_wider_than_its_paper_and_has_a_sensible_number_of_pages(
    browser: Browser, address: str, tmp_path: Path
) -> None:
    with tab(browser, width=A4_WIDTH - 2 * A4_MARGIN) as shown:
        shown.page.emulate_media(media="print")
        shown.page.goto(address)
        assert shown.page.evaluate(TOO_WIDE) == []
        height: int = shown.page.evaluate("document.documentElement.scrollHeight")
        printed = shown.page.pdf(prefer_css_page_size=True, format="A4")
        n_pages = len(re.findall(rb"/Type\s*/Page\b", printed))
        # Pages are broken between rows and sections, not before each section.
        least = height / (1123 - 2 * A4_MARGIN)
        assert least <= n_pages + 1
        assert n_pages <= 1.5 * least + 1


def test_on_a_phone_each_figure_of_a_table_has_its_heading(browser: Browser, address: str) -> None:
    heading = "getComputedStyle(document.querySelector('.rankings td[data-label=\"AUC\"]'), '::before').content"
    with tab(browser, width=PHONE) as shown:
        shown.page.goto(address)
        assert shown.page.evaluate(heading) == '"AUC"'
        assert not shown.page.is_visible(".rankings thead")
    with tab(browser) as shown:
        shown.page.goto(address)
        assert shown.page.evaluate(heading) == "none"
        assert shown.page.is_visible(".rankings thead")


def test_the_measures_find_what_they_look_for(browser: Browser, tmp_path: Path) -> None:
    """A page with one fault of each kind, since a check that finds nothing proves nothing."""
    path = tmp_path / "bad.html"
    path.write_text(
        "<body style='background: #fff'><p style='color: #999'>pale</p><div style='width: 2000px'>wide</div>"
        "<img src='absent.png'><script>console.warn('warned'); throw new Error('thrown')</script>"
    )
    with tab(browser, width=PHONE) as shown:
        shown.page.goto(path.as_uri())
        shown.page.wait_for_load_state("networkidle")
        said = " ".join(shown.complaints)
        for fault in ("console warning: warned", "exception: thrown", "failed:", "absent.png"):
            assert fault in said, said
        assert path.with_name("absent.png").as_uri() in shown.requests
        wide: list[Any] = shown.page.evaluate(TOO_WIDE)
        assert any("wide" in element for element in wide)
        assert [text for contrast, text in shown.page.evaluate(CONTRASTS) if contrast < LEAST_CONTRAST] == ["pale"]
