"""What a monitoring found, as sentences: what has moved, by how much, and what to do about it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from recmem.ranking.feature import Group
from recmem.serving.scoring import MATCH_SCORE
from training.monitoring.findings import (
    EVENTS,
    OUTCOMES,
    ROWS,
    SCORES,
    TOPICS,
    Finding,
    Limit,
    Monitoring,
    Status,
    Topic,
)

STATUS_WORDS: dict[Status, str] = {"ok": "fine", "warn": "warning", "alert": "alert", "too few": "too few rows"}
_KINDS = {
    "psi": "PSI",
    "ks": "KS",
    "rise": "rise",
    "change": "change",
    "loss": "loss",
    "ratio": "times",
}
_ADVICE = {
    str(Group.MATCH): "The texts of candidates or memories differ from those of the training. Check that texts arrive "
    "whole and in the same columns; if catalogue or taste have truly changed, train again.",
    str(
        Group.POPULARITY
    ): "What users choose has changed since the training. Check that new events reach the store; if "
    "they do, train again.",
    str(Group.USER): "Other users are scored, or their events do not reach the store. Compare the newest event of the "
    "store with the time of the candidates.",
    str(Group.CANDIDATE): "The column comes from your own pipeline: compare it with the impressions that the model was "
    "trained on, its unit and its missing values above all.",
    str(Group.ATTRIBUTE): "The items table has other values than in training. Check the latest ingest of items.",
    str(Group.USER_ATTRIBUTE): "The users table has other values than in training. Check the latest ingest of users.",
    str(Group.KNOWLEDGE): "Other facts are known of the items than in training. Check the latest ingest of facts.",
    SCORES: "Scores follow the features: look at those first. If no feature has moved, check which model is served.",
    ROWS: "What is scored is not what the store knows. Ingest new items and events before candidates are scored.",
    EVENTS: "The log has changed: see which names are new and how they are judged (recmem train prints it), then "
    "train again.",
    TOPICS: "What users choose has moved between topics. If that lasts, train again, so that the model learns from "
    "it; of a new topic, see whether its items have texts and are retrieved.",
    OUTCOMES: "The ranking or match_score no longer fits what users do. Train again; promotion compares the new "
    "version on the newest queries.",
}
_SAME_ADVICE = {
    str(Group.SIMILARITY): str(Group.MATCH),
    str(Group.TEXT_COVISITATION): str(Group.POPULARITY),
    str(Group.COVISITATION): str(Group.POPULARITY),
    str(Group.IMPRESSIONS): str(Group.POPULARITY),
    str(Group.REPEATS): str(Group.USER),
}
GROWING = frozenset({"popularity", "item_age", "shown", "user_events", "memory_size"})
"""Features that only ever grow, for one item or user."""


def headline(found: Monitoring) -> str:
    """The result in a sentence, with how many figures it is of."""
    n_alerts = len(found.with_status("alert"))
    n_warnings = len(found.with_status("warn"))
    if found.status == "too few":
        return "Too few rows to tell: even a large change could be chance."
    if not n_alerts and not n_warnings:
        result = "Nothing has moved beyond the limits"
    else:
        parts = [_counted(n_alerts, "alert"), _counted(n_warnings, "warning")]
        result = " and ".join(part for part in parts if part)
    n_too_few = len(found.with_status("too few"))
    others = [
        f"{n_too_few} more had too few rows to tell" if n_too_few else "",
        f"{len(found.not_compared)} could not be compared" if found.not_compared else "",
    ]
    of = _counted(len(found.findings) - n_too_few, "figure")
    return "; ".join([f"{result} in {of}", *filter(None, others)]) + "."


def advice(found: Monitoring) -> Iterator[str]:
    """What to do, a sentence or two for each group of figures that have moved, the worst first.

    Before them, what can only grow: that it has risen is no fault.
    """
    moved = (*found.with_status("alert"), *found.with_status("warn"))
    growing = [finding for finding in moved if finding.name in GROWING]
    risen = [finding.name for finding in growing if finding.current >= finding.reference]
    fallen = [finding.name for finding in growing if finding.current < finding.reference]
    if risen:
        yield (
            f"{_listed(risen)} can only grow as the log does: a rise is no fault by itself. Worth a look is whether "
            "scores or NDCG@10 have moved as well; if so, train again."
        )
    if fallen:
        yield (
            f"{_listed(fallen)} can only grow for the same users and items, and yet {_are(fallen)} lower than in the "
            "reference: other users or items are scored, or events do not reach the store. Compare the newest event "
            "of the store with the time of the candidates."
        )
    told = set()
    for finding in (each for each in moved if each not in growing):
        group = _SAME_ADVICE.get(finding.group, finding.group)
        if group in _ADVICE and group not in told:
            told.add(group)
            yield f"{finding.group.capitalize()}: {_ADVICE[group]}"


def topic_sentences(found: Monitoring) -> Iterator[str]:
    """The topic whose share has changed most; nothing without topics."""
    for topic in found.topics[:1]:
        yield (
            f"Of {len(found.topics)} topics of what users choose, that of {topic.name} (such as {topic.example}) has "
            f"changed most: {topic.current:.1%} of the events, in the reference {topic.reference:.1%} (change in "
            f"points, 95% interval: {topic_change(topic)})."
        )


def topic_change(topic: Topic) -> str:
    """How a topic's share has changed, in points of a hundred: `+3.1 (+1.0 to +5.2)`."""
    low, high = (100 * end for end in topic.change_ci95)
    return f"{100 * topic.change:+.1f} ({low:+.1f} to {high:+.1f})"


def distance_text(finding: Finding) -> str:
    """The distance that decides how the figure stands: `PSI 0.31 (alert from 0.25, chance 0.04)`."""
    kind, limit = deciding(finding)
    return f"{_KINDS[kind]} {limit.value:.3f} ({_bound(limit)}, chance {limit.chance:.3f})"


def deciding(finding: Finding) -> tuple[str, Limit]:
    """The distance with the worst status, and of these the largest beside its alert."""
    return max(finding.limits.items(), key=lambda each: each[1].severity)


def figure_name(finding: Finding) -> str:
    """The figure's name as a column or a feature has it; what is no column in words."""
    names = {
        "observed_to_expected": f"positives relative to {MATCH_SCORE}",
        "ndcg_at_10": "NDCG@10",
        "event": "names of events",
        "events.first_of_user": "first events of a user",
        "events.first_of_item": "first events of an item",
        "events.unknown_item": "events of unknown items",
        "text_length": "length of texts",
    }
    return names.get(finding.name, finding.name.replace("_", " ") if finding.group == ROWS else finding.name)


def _bound(limit: Limit) -> str:
    return f"alert from {limit.alert:g}" if limit.value >= limit.alert else f"warning from {limit.warn:g}"


def _listed(names: Sequence[str]) -> str:
    *first, last = names
    return f"{', '.join(first)} and {last}" if first else last


def _are(names: Sequence[str]) -> str:
    return "is" if len(names) == 1 else "are"


def _counted(n: int, word: str) -> str:
    return "" if not n else f"1 {word}" if n == 1 else f"{n} {word}s"
