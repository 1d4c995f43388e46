"""What a person reads of a monitoring."""

from __future__ import annotations

from dataclasses import replace

from recmem.ranking.feature import Group
from training.monitoring.findings import EVENTS, OUTCOMES, ROWS, SCORES, Finding, Limit, Monitoring, Status, Topic
from training.monitoring.words import advice, distance_text, figure_name, headline, topic_sentences


def finding(name: str, group: str, status: Status) -> Finding:
    value = {"alert": 0.31, "warn": 0.12}.get(status, 0.01)
    return Finding(name, group, status, 0.0, 1.0, 100, 50.0, {"psi": Limit(value, 0.04, 0.1, 0.25)})


def monitoring(*findings: Finding) -> Monitoring:
    return Monitoring("bundle", "", "", {}, {}, findings)


def test_headline_counts_what_has_moved() -> None:
    assert headline(monitoring(finding("a", ROWS, "ok"))) == "Nothing has moved beyond the limits in 1 figure."
    moved = monitoring(finding("a", ROWS, "alert"), finding("b", ROWS, "warn"), finding("c", ROWS, "warn"))
    assert headline(moved) == "1 alert and 2 warnings in 3 figures."
    assert headline(monitoring(finding("a", ROWS, "too few"))).startswith("Too few rows to tell")


def test_headline_says_what_could_not_be_judged() -> None:
    found = monitoring(finding("a", ROWS, "ok"), finding("b", ROWS, "ok"), finding("c", ROWS, "too few"))
    assert headline(replace(found, not_compared=("popularity", "shown"))) == (
        "Nothing has moved beyond the limits in 2 figures; 1 more had too few rows to tell; 2 could not be compared."
    )


def test_what_can_only_grow_is_no_fault_when_it_has_risen() -> None:
    risen = [finding(name, "popularity", "alert") for name in ("popularity", "item_age")]
    (sentence,) = advice(monitoring(*risen))
    assert sentence.startswith("popularity and item_age can only grow as the log does: a rise is no fault by itself.")
    assert "scores or NDCG@10 have moved as well" in sentence


def test_what_can_only_grow_and_has_fallen_points_to_missing_events() -> None:
    fallen = replace(finding("memory_size", "user", "warn"), reference=2.0, current=1.0)
    risen = finding("user_events", "user", "warn")
    first, second = advice(monitoring(fallen, risen))
    assert first.startswith("user_events can only grow")
    assert second.startswith("memory_size can only grow for the same users and items, and yet is lower")
    assert "events do not reach the store" in second


def test_other_counters_keep_the_advice_of_their_group() -> None:
    found = monitoring(finding("popularity", "popularity", "alert"), finding("trend", "popularity", "warn"))
    assert [sentence.partition(" ")[0] for sentence in advice(found)] == ["popularity", "Popularity:"]


def test_every_group_has_advice_and_each_is_given_once() -> None:
    groups = [str(group) for group in Group]
    for group in (*groups, SCORES, ROWS, EVENTS, OUTCOMES):
        found = monitoring(finding("a", group, "alert"), finding("b", group, "warn"))
        assert len(list(advice(found))) == 1, group


def test_the_deciding_distance_is_named_with_its_limit_and_what_chance_does() -> None:
    assert distance_text(finding("a", ROWS, "alert")) == "PSI 0.310 (alert from 0.25, chance 0.040)"
    two = replace(finding("a", ROWS, "warn"), limits={"psi": Limit(0.0, 0, 0.1, 0.25), "ks": Limit(0.2, 0, 0.1, 0.3)})
    assert distance_text(two).startswith("KS 0.200 (warning from 0.1")


def test_what_is_no_column_is_named_in_words() -> None:
    assert figure_name(finding("unknown_users", ROWS, "ok")) == "unknown users"
    assert figure_name(finding("match_raw", "match", "ok")) == "match_raw"
    assert figure_name(finding("event", EVENTS, "ok")) == "names of events"


def test_the_topic_that_has_changed_most_is_told_with_its_size() -> None:
    topic = Topic(("特朗普", "总统"), "N1 (总统访欧)", 90, 0.0451, 0.1232, (0.05, 0.106), 200.0, 300.0, is_new=False)
    found = replace(monitoring(finding("a", ROWS, "ok")), topics=(topic, replace(topic, current=0.05)))
    assert list(topic_sentences(found)) == [
        "Of 2 topics of what users choose, that of 特朗普, 总统 (such as N1 (总统访欧)) has changed most: 12.3% of "
        "the events, in the reference 4.5% (change in points, 95% interval: +7.8 (+5.0 to +10.6))."
    ]
    assert list(topic_sentences(monitoring(finding("a", ROWS, "ok")))) == []


def test_a_moved_topic_has_its_advice() -> None:
    moved = Finding("topic: a, b", "topics", "warn", 0.1, 0.2, 9, 9.0, {"change": Limit(0.1, 0.02, 0.05, 0.2)})
    assert distance_text(moved) == "change 0.100 (warning from 0.05, chance 0.020)"
    (sentence,) = advice(monitoring(moved))
    assert sentence.startswith("Topics: What users choose has moved between topics.")
