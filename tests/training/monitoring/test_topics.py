"""Topics of what users choose: a planted shift and a new topic are found, and chance is not taken for one."""

from __future__ import annotations

import functools

import numpy as np
import polars as pl
import pytest

from feature_store.arrays import Float32Array
from recmem.dataset.catalogue import Catalogue
from training.monitoring.findings import Finding, Topic
from training.monitoring.monitor_config import MonitorConfig
from training.monitoring.topics import FEWEST_EVENTS, PositiveEvents, middles, shortened, topic_findings, topics_of

THEMES = {
    "咖啡": ["咖啡机", "咖啡豆", "咖啡杯", "磨咖啡"],
    "篮球": ["篮球鞋", "篮球场", "篮球赛", "打篮球"],
    "wine": ["red wine", "white wine", "wine glass", "dry wine"],
    "tent": ["tent pegs", "small tent", "family tent", "tent poles"],
}
N_ITEMS = 20
"""Of each theme."""
CONFIG = MonitorConfig(topics=4)
LEVEL = CONFIG.significance / 8


@functools.cache
def catalogue() -> Catalogue:
    titles = [f"{words[n % 4]} {n}" for words in THEMES.values() for n in range(N_ITEMS)]
    items = pl.DataFrame({"item_id": [f"{n:03}" for n in range(len(titles))], "title": titles})
    return Catalogue.of(items, ("title",))


@functools.cache
def units() -> Float32Array:
    """A direction for each theme, and some noise."""
    random = np.random.default_rng(0)
    theme = np.repeat(np.eye(len(THEMES)), N_ITEMS, axis=0)
    vectors = np.hstack([theme, 0.2 * random.normal(size=(len(theme), 8))]).astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def taken(shares: list[float], *, seed: int, n_users: int = 400, loyal: bool = False) -> PositiveEvents:
    """Five events of each user; of `loyal` users all are of one theme."""
    random = np.random.default_rng(seed)
    users = np.repeat(np.arange(n_users), 5)
    theme = random.choice(len(shares), n_users if loyal else len(users), p=shares)
    return PositiveEvents(users, (theme[users] if loyal else theme) * N_ITEMS + random.integers(0, N_ITEMS, len(users)))


def compared(reference: PositiveEvents, current: PositiveEvents) -> tuple[dict[str, Topic], dict[str, Finding]]:
    """Topics and findings by the theme whose words name them."""
    topics = topics_of(reference, current, units(), catalogue(), CONFIG)
    findings = topic_findings(topics, CONFIG, LEVEL)
    themes = [next(theme for theme in THEMES if theme in topic.name) for topic in topics]
    return dict(zip(themes, topics, strict=True)), dict(zip(themes, findings, strict=True))


def test_a_planted_shift_is_found_with_its_size_and_its_name() -> None:
    topics, findings = compared(taken([0.4, 0.3, 0.2, 0.1], seed=1), taken([0.1, 0.3, 0.3, 0.3], seed=2))
    assert {theme: finding.status for theme, finding in findings.items()} == {
        "咖啡": "alert",
        "篮球": "ok",
        "wine": "warn",
        "tent": "warn",
    }
    assert next(iter(topics)) == "咖啡"
    assert abs(topics["咖啡"].reference - 0.4) < 0.03
    assert abs(topics["咖啡"].current - 0.1) < 0.03
    low, high = topics["咖啡"].change_ci95
    assert -0.36 < low < topics["咖啡"].change < high < -0.24
    assert "咖啡" in topics["咖啡"].example
    assert not any(topic.is_new for topic in topics.values())


def test_a_topic_that_the_reference_lacks_is_new() -> None:
    topics, findings = compared(taken([0.5, 0.3, 0.2, 0.0], seed=1), taken([0.4, 0.3, 0.2, 0.1], seed=2))
    assert [theme for theme, topic in topics.items() if topic.is_new] == ["tent"]
    assert findings["tent"].status == "warn"
    assert "New: the reference has next to none of it." in findings["tent"].note


@pytest.mark.parametrize("loyal", [False, True])
def test_without_a_shift_nothing_warns(loyal: bool) -> None:
    shares = [0.4, 0.3, 0.2, 0.1]
    for seed in range(4):
        _, findings = compared(taken(shares, seed=seed, loyal=loyal), taken(shares, seed=100 + seed, loyal=loyal))
        assert {finding.status for finding in findings.values()} <= {"ok", "too few"}


def test_intervals_hold_the_true_change_and_are_wider_where_users_are_loyal() -> None:
    widths = {}
    for loyal in (False, True):
        topics, _ = compared(
            taken([0.4, 0.3, 0.2, 0.1], seed=1, loyal=loyal), taken([0.2, 0.3, 0.4, 0.1], seed=2, loyal=loyal)
        )
        low, high = topics["wine"].change_ci95
        assert low < 0.2 < high
        widths[loyal] = high - low
    # Five events of one theme tell no more than one: sqrt(5) = 2.2 times as wide.
    assert 1.8 < widths[True] / widths[False] < 2.7


def test_the_same_events_give_the_same_topics_in_any_order() -> None:
    reference = taken([0.4, 0.3, 0.2, 0.1], seed=1)
    current = taken([0.3, 0.3, 0.2, 0.2], seed=2)
    order = np.random.default_rng(0).permutation(len(current))
    shuffled = PositiveEvents(current.users[order], current.items[order])
    found = topics_of(reference, current, units(), catalogue(), CONFIG)
    assert topics_of(reference, current, units(), catalogue(), CONFIG) == found
    assert [(topic.name, topic.current) for topic in topics_of(reference, shuffled, units(), catalogue(), CONFIG)] == [
        (topic.name, topic.current) for topic in found
    ]


def test_the_example_of_a_topic_is_an_item_of_its_own() -> None:
    # The first item is nearest to both middles.
    distances = np.array([[0.1, 0.2], [0.9, 0.8], [0.9, 0.7]], np.float32)
    assert middles(np.array([0, 1, 1]), distances).tolist() == [0, 2]


def test_of_a_long_period_whole_users_are_drawn() -> None:
    whole = taken([0.4, 0.3, 0.2, 0.1], seed=1)
    part = whole.sampled(1000, np.random.default_rng(0))
    assert len(part) == 1000
    assert set(np.unique(part.users, return_counts=True)[1]) == {5}
    assert len(np.unique(part.users)) == 200


def test_too_few_events_or_items_have_no_topics() -> None:
    few = PositiveEvents(np.arange(FEWEST_EVENTS - 1), np.arange(FEWEST_EVENTS - 1) % 80)
    many = taken([0.4, 0.3, 0.2, 0.1], seed=1)
    assert topics_of(few, many, units(), catalogue(), CONFIG) == ()
    nine = PositiveEvents(many.users, many.items % 9)
    assert topics_of(nine, nine, units(), catalogue(), CONFIG) == ()


def test_there_are_no_more_topics_than_texts() -> None:
    """And without texts that differ there are none: k-means would warn, and make topics without items."""
    theme = np.repeat(np.arange(len(THEMES)), N_ITEMS)
    of_theme = np.eye(len(THEMES), dtype=np.float32)[theme]
    events = taken([0.4, 0.3, 0.2, 0.1], seed=1)
    found = topics_of(events, events, of_theme, catalogue(), MonitorConfig(topics=10))
    assert sorted(topic.events for topic in found) == sorted(np.bincount(theme[events.items]).tolist())
    assert topics_of(events, events, np.zeros_like(of_theme), catalogue(), CONFIG) == ()


def test_a_long_title_is_cut_by_its_width_and_not_within_a_character() -> None:
    assert shortened("a" * 100) == "a" * 100
    assert shortened("a" * 101) == "a" * 99 + "…"
    assert shortened("咖" * 51) == "咖" * 49 + "…"
