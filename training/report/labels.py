"""What rows, slices and metrics of the ledger are called in reports, and what they are, in plain words."""

from __future__ import annotations

from training.evaluation.baselines import CLICK_THROUGH, HAD_BEFORE
from training.evaluation.ledger import WITH_MATCH, WITH_SIMILARITY, WITHOUT_MATCH
from training.evaluation.slices import FIRST_ITEMS, REPEATED_ITEMS

ROW_LABELS = {
    "popularity": "popularity",
    "recent_popularity": "recent popularity",
    "covisitation": "co-visitation",
    HAD_BEFORE: "had before",
    "text_similarity": "untrained text similarity",
    CLICK_THROUGH: "click-through rate",
    "match_score": "match score",
    WITHOUT_MATCH: "ranker without text features",
    WITH_SIMILARITY: "ranker with untrained text",
    WITH_MATCH: "ranker with text features",
}
"""Row of the ledger -> its name for people."""

ROW_NOTES = {
    "popularity": "by the number of events before the test period",
    "recent_popularity": "by the number of events in the last tenth of the log before the test period",
    "covisitation": "by how many users an item shares with the items in this user's history; no text",
    HAD_BEFORE: "by how often this user has had the item, of equal ones the latest first",
    "text_similarity": "by the encoder's cosine similarity to the texts in the user's memory; nothing is trained",
    CLICK_THROUGH: "by the share of the item's impressions that were clicked before the query, smoothed",
    "match_score": "by the trained match score alone: the user's text memory, no counters and no co-visitation",
    WITHOUT_MATCH: "linear blend and LightGBM on counters, co-visitation, attributes, own features; no text features",
    WITH_SIMILARITY: "the same ranker with text similarities and EASE with texts (ease_text), without the match",
    WITH_MATCH: "the same ranker with all text features: the match, text similarities and EASE with texts (ease_text)",
}
"""Row of the ledger -> what it ranks by."""

SLICE_LABELS = {
    "cold items": "cold items",
    "warm items": "warm items",
    "item young": "young items",
    "item old": "older items",
    REPEATED_ITEMS: "repeated items",
    FIRST_ITEMS: "first-time items",
    "memory 1-5": "users, 1-5 events",
    "memory 6-20": "users, 6-20 events",
    "memory 21+": "users, 21+ events",
}
"""Slice of the ledger -> its name for people."""

SLICE_NOTES = {
    "cold items": "no event before the test period",
    "warm items": "at least one event before the test period",
    "item young": "first event less than a twelfth of the log's span before the query",
    "item old": "first event earlier than that",
    REPEATED_ITEMS: "the user has had them before the query",
    FIRST_ITEMS: "the user has not had them before the query",
    "memory 1-5": "1 to 5 events before the query",
    "memory 6-20": "6 to 20 events before the query",
    "memory 21+": "21 events or more before the query",
}
"""Slice of the ledger -> what belongs to it."""


def row_label(name: str) -> str:
    """The name of a ledger row for people, or the name itself if it has none."""
    return ROW_LABELS.get(name, name)


def slice_label(name: str) -> str:
    """The name of a slice for people, or the name itself if it has none."""
    return SLICE_LABELS.get(name, name)


def metric_label(name: str) -> str:
    """`ndcg@10` as NDCG@10, `recall@10` as Recall@10."""
    return name.replace("recall", "Recall") if name.startswith("recall") else name.upper()


def ships_label(name: str) -> str:
    """Which of the two rankers a training chose: "with" or "without" text features; another name as it is."""
    return {WITH_MATCH: "with", WITHOUT_MATCH: "without"}.get(name, name)
