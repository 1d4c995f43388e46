"""The page: what it shows, that it is self-contained, and that texts of the data are escaped."""

from __future__ import annotations

import math
import re
from dataclasses import replace
from functools import cache
from html.parser import HTMLParser
from importlib import resources

from example_report import NASTY, content, ledger
from feature_store import Receipt
from feature_store.warnings.unmatched_ids import UnmatchedIds
from small_ablation import ablation, kind
from training.evaluation.folds import EarlierModel, Fold, Folds
from training.evaluation.ledger import WITH_MATCH, WITHOUT_MATCH, HeldOut, Lift, Row, Slice
from training.evaluation.verdict import Champion, Comparison, Verdict
from training.fitting.position_effects import PositionEffect
from training.intake import Intake
from training.report.content import DataUse, ReportContent
from training.report.findings import headline
from training.report.html import render_report
from training.report.run_stamp import PLACE


class Page(HTMLParser):
    """The tags of a page with their attributes, and its visible text."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data


@cache
def plain_page() -> str:
    return render_report(ledger(), content())


def test_the_page_shows_data_windows_figures_examples_and_how_to_reproduce_the_run() -> None:
    text = Page(plain_page()).text
    for shown in (
        headline(ledger()),
        "2,995",
        "2025-08-09",
        "95% interval of the lift: NDCG@10 with text features minus without, paired bootstrap over users",
        "linear blend and LightGBM on counters",
        "0.142",
        "277 positives",
        "Data used and not used",
        "The text encoder stayed frozen",
        'note = "libssl-dev"',
        "too few users",
        "builds on libssl-dev",
        "+0.41",
        "\N{MINUS SIGN}0.03",
        "and 8 more",
        "empty",
        "recmem train --items items.parquet",
        "ab12cd34",
        "9f2c1e77aa01bb34",
        "older items",
        "first event earlier than that",
    ):
        assert shown in text, shown


def test_the_page_fetches_nothing_and_runs_nothing() -> None:
    page = Page(plain_page())
    assert not {"script", "link", "img", "iframe", "object"} & {tag for tag, _ in page.tags}
    assert "url(" not in plain_page().replace("url(#", "")
    for _, attributes in page.tags:
        assert not any(name.startswith("on") for name in attributes)
        assert not any((attributes.get(name) or "#").startswith("http") for name in ("src", "href", "xlink:href"))


def test_texts_of_the_data_are_escaped_everywhere_and_come_out_as_they_were() -> None:
    html = render_report(ledger(), content(NASTY))
    page = Page(html)
    assert "<script" not in html
    assert "49" not in re.findall(r"Žluťoučký.{0,60}", page.text)[0]
    assert page.text.count(NASTY) >= 10


def test_a_report_with_nothing_beside_the_ledger_leaves_its_sections_out() -> None:
    bare = replace(ledger(), slices={}, retrieval={})
    text = Page(render_report(bare, ReportContent(title="bare", data={}))).text
    assert "Results" in text
    for absent in ("Slices", "Examples", "Feature importance", "Learning curves", "Configuration", "Features of the"):
        assert absent not in text


def test_impressions_are_reported_as_impressions() -> None:
    shown = replace(ledger(), protocol=replace(ledger().protocol, candidates="impressions"))
    text = Page(render_report(shown, content())).text
    assert "1,386 test impressions" in text
    assert "whole catalogue" not in text


def test_results_come_before_what_was_read() -> None:
    text = plain_page()
    assert text.index("<h2>Results</h2>") < text.index("1,386 test queries") < text.index("<h2>Data</h2>")


def test_the_ranker_that_ships_is_marked_among_the_results() -> None:
    shipped = replace(ledger(), held_out=HeldOut(WITHOUT_MATCH, 0, None, None))
    page = render_report(shipped, content())
    (row,) = re.findall(r"<td>(.*)<span class=.tag.>ships</span>", page)
    assert "ranker without text features" in row
    # And at the head, right above the verdict.
    assert re.search(
        rf"</p>\s*<p class=.ships.>The ranker without text [^<]*</p>\s*{PLACE}", render_report(shipped, content())
    )
    assert "<p class=ships" not in plain_page().replace('"', "")
    assert '"tag"' not in plain_page()


def test_without_anything_unused_there_is_no_column_for_it() -> None:
    data_use = (DataUse("items", "3,934"),)
    used = Page(render_report(ledger(), replace(content(), data_use=data_use))).text
    assert "Data used" in used
    assert "not used" not in used.lower()
    assert "Data used and not used" in Page(plain_page()).text


def test_what_positions_add_is_shown_where_they_are_spoken_of() -> None:
    positions = (PositionEffect(1, 1, 1000, 200, 0.0), PositionEffect(2, 5, 900, 45, -math.log(2)))
    intake = Intake((), (), 0, {}, "ab12", "2026-11-27T10:00:00+00:00", used=("impressions.position: 5 positions.",))
    page = render_report(replace(ledger(), positions=positions), replace(content(), intake=intake))
    text = " ".join(Page(page).text.split())
    assert "Used: impressions.position: 5 positions. What positions add to clicks" in text
    assert "2 to 5 0.50 times 5.0% 900 45" in text
    assert "as likely the same item is to be clicked there as at position 1," in text
    table = page[page.index('<table class="cards positions">') :].partition("</table>")[0]
    assert re.findall(r"width:([\d.]+)%", table) == ["100.0", "50.0"]
    assert "What positions add" not in Page(render_report(ledger(), replace(content(), intake=intake))).text


def test_an_undefined_figure_is_a_dash() -> None:
    rows = (Row("popularity", {"ndcg@10": 0.1, "auc": float("nan")}), *ledger().rows)
    html = render_report(replace(ledger(), rows=rows), content())
    assert re.search(r'data-label="AUC">\N{EN DASH}\s*</td>', html)
    assert "nan" not in Page(html).text


def test_the_same_run_gives_the_same_page() -> None:
    assert render_report(ledger(), content()) == plain_page()


def test_each_list_of_reasons_names_the_score_that_it_adds_up_to() -> None:
    text = " ".join(Page(plain_page()).text.split())
    assert "ranking score +2.41 +2.50 libssl-dev \N{MINUS SIGN}0.09 constant" in text
    assert "raw match score +0.38 +0.41 builds on libssl-dev \N{MINUS SIGN}0.03 base" in text
    assert "each list of parts adds up to the score above it" in text


def test_bars_of_reasons_are_as_long_as_the_parts_within_one_score() -> None:
    widths = re.findall(r'class="(less|more)"\s+style="width:(\d+)%"', plain_page())
    # 2.5 and 0.41 are the largest of their scores.
    assert widths == [("more", "100"), ("less", "4"), ("more", "100"), ("less", "7")]


def test_importance_is_explained_as_the_mean_of_two_shares() -> None:
    text = " ".join(Page(plain_page()).text.split())
    assert "The mean of two shares: a feature's share of the gain of all splits in the trees" in text
    assert "libssl-dev 75.0%" in text
    assert "match_score 25.0%" in text


def test_the_glossary_explains_terms_and_the_features_in_the_plot() -> None:
    shown = replace(content(), feature_meanings={"match_score": "How well texts fit.", "elsewhere": "Not plotted."})
    text = Page(render_report(ledger(), shown)).text
    assert "Glossary" in text
    assert "An item without any event before the test period." in text
    assert "How well texts fit." in text
    assert "Not plotted." not in text


def test_layout_and_style_lie_beside_the_module_as_package_data() -> None:
    folder = resources.files("training.report")
    assert folder.joinpath("report.html.j2").is_file()
    assert folder.joinpath("report.css").read_text(encoding="utf-8") in render_report(ledger(), content())


def test_what_was_read_has_a_section_with_reasons_examples_causes_and_warnings() -> None:
    receipts = (
        Receipt("items", 30, 29, 1, 0, 1, {}),
        Receipt("events", 324, 240, 0, 80, 1, {NASTY: 80}, (f"odd: {NASTY}",), {NASTY: f"{NASTY} in row 7"}, n_known=4),
    )
    unmatched = UnmatchedIds(
        "events.item_id", "items.item_id", 240, 34, 22, ("'7'",), ("'007'",), "leading zeros", is_alike=True
    )
    intake = Intake(
        receipts, (unmatched,), 5, {"events": 1}, "ab12", "2026-11-27T10:00:00+00:00", ("of the store",), reused=True
    )
    html = render_report(ledger(), replace(content(), intake=intake, warnings=("of the training",)))
    text = " ".join(Page(html).text.split())
    assert "<script" not in html
    for shown in (
        "What was read",
        "2026-11-27 10:00:00 UTC by an earlier run",
        f"for example {NASTY} in row 7",
        "'7', where items.item_id has '007'",
        "likely cause: leading zeros ('7' stands for '007')",
        "5 items have no event",
        f"events: odd: {NASTY}",
        "of the store",
        "of the training",
        "80 of 324 rows of events were rejected and not used",
        "4 more rows of events cannot be read, but were corrected or written off before.",
    ):
        assert shown in text, shown


def test_a_run_without_losses_is_reported_as_such() -> None:
    intake = Intake((Receipt("items", 30, 30, 0, 0, 1, {}),), (), 0, {}, "ab12", "2026-11-27T10:00:00+00:00")
    text = " ".join(Page(render_report(ledger(), replace(content(), intake=intake))).text.split())
    assert "None: every event names an item of the items table." in text
    assert "Every item has an event." in text
    for absent in ("Rejected rows", "Warnings", "were rejected"):
        assert absent not in text


def test_folds_have_a_row_each_and_the_first_no_earlier_model() -> None:
    times = ("2026-01-01T00:00:00+00:00", "2026-02-01T00:00:00+00:00")
    first = Fold(*times, 40, Lift(0.1, 0.15, 0.05, (0.02, 0.08)), WITH_MATCH)
    earlier = EarlierModel(measured=0.091, refitted=0.102, difference=0.011, ci95=(0.001, 0.02), retrained=0.105)
    second = replace(first, earlier=earlier, ships=WITHOUT_MATCH)
    page = Page(render_report(ledger(), replace(content(), folds=Folds((first, second)))))
    text = " ".join(page.text.split())
    assert "The same training on earlier test windows" in text
    assert "1 2026-01-01 to 2026-02-01 40 0.100 0.150 +0.050 +0.020 to +0.080 with" in text
    assert "+0.020 to +0.080 without 0.091 0.102 +0.001 to +0.020" in text
    assert "The training of fold 2 ships the ranker without text features" in text
    assert "The same training on earlier test windows" not in Page(render_report(ledger(), content())).text


def test_verdict_has_its_sentences_and_a_row_per_slice() -> None:
    times = ("2026-03-01T00:00:00+00:00", "2026-03-02T00:00:00+00:00", "2026-03-02T00:00:00+00:00")
    cold = Slice(40, 0.3, 0.2, (-0.2, -0.02), "recall@10", 44)
    comparison = Comparison("measured", *times, 1300, 900, Lift(0.4, 0.5, 0.1, (0.05, 0.15)), {"cold items": cold})
    verdict = Verdict("not-worse", False, "worse", NASTY, Champion("3", "abc"), comparison)
    text = " ".join(Page(render_report(ledger(), replace(content(), verdict=verdict))).text.split())
    assert "Promotion Not promoted: the new version is significantly worse than the champion, version 3." in text
    assert (
        "cold items 44 positives 40 0.300 0.200 \N{MINUS SIGN}0.100 \N{MINUS SIGN}0.200 to \N{MINUS SIGN}0.020" in text
    )
    without = render_report(ledger(), replace(content(), verdict=replace(verdict, comparison=None)))
    assert f"Not promoted: {NASTY}." in Page(without).text
    assert "<script>alert" not in without
    assert "Promotion" not in Page(plain_page()).text


def test_slices_are_shown_with_their_items_and_those_of_few_are_named() -> None:
    cold = Slice(265, 0.0, 0.54, (0.49, 0.61), "recall@10", 273, 11)
    text = " ".join(Page(render_report(replace(ledger(), slices={"cold items": cold}), content())).text.split())
    assert "273 positives of 11 items 265" in text
    assert "On few items: cold items (273 positives of 11 items)." in text
    assert "On few items" not in plain_page()


def test_slices_have_a_table_for_each_metric_and_none_twice() -> None:
    warm = Slice(1243, 0.2, 0.3, (0.08, 0.11), "recall@10", 3333)
    shown = replace(
        ledger(), slices={"warm items": warm, "item old": warm, "memory 21+": Slice(9, 0.1, 0.2, (0.0, 0.2))}
    )
    text = " ".join(Page(render_report(shown, content())).text.split())
    assert text.count("3,333 positives") == 1
    assert "older items: the same ones in this test" in text
    assert (
        text.index("Recall@10 Slice")
        < text.index("warm items")
        < text.index("NDCG@10 Slice")
        < text.index("21+ events")
    )


def test_the_place_of_the_run_is_there_once_whatever_the_data_says() -> None:
    assert render_report(ledger(), content(f"{PLACE}{PLACE}")).count(PLACE) == 1


def test_names_in_backticks_are_code_in_the_glossary_and_still_escaped() -> None:
    shown = replace(content(), feature_meanings={"match_score": "As `ease<b>`, with recent visits."})
    assert "As <code>ease&lt;b&gt;</code>, with recent visits." in render_report(ledger(), shown)


def test_what_each_kind_is_worth_is_a_section_of_its_own() -> None:
    switched = kind("ease_text", -0.01, is_on=False)
    page = Page(render_report(replace(ledger(), ablation=ablation(switched, kind("b")).to_document()), content()))
    text = " ".join(page.text.split())
    assert "What each kind is worth 2 kinds of memory and of text features switched over" in text
    assert "words of ease_textranker fitted anew" in text
    assert "\N{MINUS SIGN}0.0150 to \N{MINUS SIGN}0.0050" in text
    assert "switched off" in text
    assert "With minus without, with 95% intervals: NDCG@10 for users, Recall@10 for cold items." in text
    assert "What each kind is worth" not in render_report(ledger(), content())
