"""`monitor.html`: what it shows, that it fetches nothing, and that texts of the data are escaped."""

from __future__ import annotations

from dataclasses import replace
from html.parser import HTMLParser

from recmem.reference.reference import Outcomes
from training.monitoring.findings import Finding, Limit, Monitoring, Status, Topic
from training.monitoring.page import moved_most, ordered, render_page

NASTY = "<script>alert('1')</script>"
WHEN = "2026-01-01T00:00:00+00:00"


def finding(name: str, status: Status, *, note: str = "") -> Finding:
    value = {"alert": 0.31, "warn": 0.12}.get(status, 0.01)
    bins = (0.5, 0.5, 0.0)
    limits = {"psi": Limit(value, 0.04, 0.1, 0.25)}
    return Finding(name, "candidates' own", status, 1.5, 2.5, 100, 50.0, limits, note, bins, (0.2, 0.7, 0.1), (1.0,))


def monitoring(*findings: Finding) -> Monitoring:
    current = {"queries": 1234, "users": 5, "rows": 100, "since": WHEN, "until": WHEN, "rows_in_file": 100, "events": 7}
    reference = current | {"asked": "catalogue", "source": "bundle"}
    return Monitoring("run/bundle", "models:/shop/3", WHEN, reference, current, findings, notes=(f"A note {NASTY}.",))


class Page(HTMLParser):
    """The tags of a page, and its visible text."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.text = ""
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        assert not any(name in ("src", "href") and str(value).startswith("http") for name, value in attrs)

    def handle_data(self, data: str) -> None:
        self.text += data


def test_page_shows_status_figures_advice_and_what_was_compared() -> None:
    found = monitoring(finding("candidates.price", "alert"), finding("candidates.ctr", "ok"))
    text = Page(render_page(found)).text
    for shown in (
        "Monitoring of models:/shop/3",
        "1 alert in 2 figures.",
        "Candidates' own: The column comes from your own pipeline",
        "1,234",
        "and 7 events",
        "candidates.price",
        "0.310",
        "alert",
        "fine",
        "What has moved most",
        "2026-01-01 00:00:00 UTC",
    ):
        assert shown in text, shown


def test_page_has_the_outcomes_also_where_all_is_well() -> None:
    now = Outcomes(340, 300, 0.212, (0.19, 0.24), 0.9, 0.1, 0.105, (0.95, 1.15))
    text = Page(render_page(replace(monitoring(finding("a", "ok")), current_outcomes=now))).text
    assert "NDCG@10 is 0.212 (95% interval 0.190 to 0.240), on 340 queries of 300 users" in text


def test_page_runs_nothing_and_escapes_texts_of_the_data() -> None:
    html = render_page(monitoring(finding(NASTY, "alert", note=NASTY)))
    assert "<script" not in html
    page = Page(html)
    assert NASTY in page.text
    assert not {"script", "link", "img", "iframe"} & page.tags
    assert "svg" in page.tags


def test_without_changes_nothing_is_drawn() -> None:
    assert "svg" not in Page(render_page(monitoring(finding("a", "ok")))).tags


def test_the_worst_stands_first_and_only_what_has_moved_is_drawn() -> None:
    found = monitoring(finding("a", "ok"), finding("b", "warn"), finding("c", "alert"), finding("d", "too few"))
    assert [each.name for each in ordered(found)] == ["c", "b", "a", "d"]
    assert [each.name for each in moved_most(found)] == ["c", "b"]


def test_page_has_the_topics_with_their_intervals() -> None:
    topic = Topic(("特朗普", NASTY), "N1 (总统访欧)", 90, 0.0, 0.1232, (0.1, 0.15), 200.0, 300.0, is_new=True)
    html = render_page(replace(monitoring(finding("a", "ok")), topics=(topic,)))
    assert "<script" not in html
    text = Page(html).text
    for shown in (
        "Topics of what users choose",
        f"特朗普, {NASTY} new",
        "N1 (总统访欧)",
        "12.3%",
        "+12.3 (+10.0 to +15.0)",
    ):
        assert shown in text, shown
    assert "Topics of what" not in Page(render_page(monitoring(finding("a", "ok")))).text
