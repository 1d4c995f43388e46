"""The reference of a bundle: what the rows that its model was measured on are like. No user's or item's id is in it."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

import numpy as np

from feature_store.arrays import BoolArray, IntArray
from recmem.config_json import from_json, parse_json
from recmem.reference.distribution import Distribution, effective_rows

REFERENCE_VERSION = 1
"""Of the JSON's layout."""
MAX_CATEGORIES = 50
"""Names whose shares are kept, the most frequent; the others count together."""
OTHER = "(other)"
_MOST_FIGURES = 50_000
Asked = Literal["catalogue", "impressions", "given"]
"""Which candidates a reference is of: retrieved from the whole catalogue, shown in impressions, or those of a file."""


@dataclass(frozen=True)
class Share:
    """The share of rows that have something, such as an unknown user."""

    share: float
    effective: float
    """Independent rows that would tell as much."""

    def __post_init__(self) -> None:
        if not (0 <= self.share <= 1 and self.effective >= 1):
            raise ValueError(f"share: expected 0 to 1 of at least one row, got {self.share}. Train again.")

    @classmethod
    def of(cls, has: BoolArray, groups: IntArray) -> Share:
        """The share of at least one row; `groups` are the rows' users, whose rows are not independent."""
        return cls(float(has.mean()), effective_rows(has.astype(np.int64), groups))


@dataclass(frozen=True)
class Categories:
    """The shares of the values of a column of text, or of the names of events."""

    names: tuple[str, ...]
    shares: tuple[float, ...]
    """Of all rows, by name; those that are not listed have the rest."""
    effective: float

    def __post_init__(self) -> None:
        if len(self.names) != len(self.shares) or not all(0 <= share <= 1 for share in self.shares):
            raise ValueError("categories: expected a share for each name, got others. Train again.")

    @classmethod
    def of(cls, codes: IntArray, names: tuple[str, ...], groups: IntArray) -> Categories:
        """Of at least one row's places among `names`, negative for a row without a value."""
        counts = np.bincount(codes[codes >= 0], minlength=len(names))
        frequent = [int(place) for place in np.argsort(-counts, kind="stable")[:MAX_CATEGORIES] if counts[place]]
        listed = np.full(len(names) + 1, MAX_CATEGORIES, np.int64)
        listed[frequent] = np.arange(len(frequent))
        effective = effective_rows(listed[codes], groups)
        return cls(
            tuple(names[place] for place in frequent),
            tuple(float(counts[place] / len(codes)) for place in frequent),
            effective,
        )


@dataclass(frozen=True)
class Outcomes:
    """What became of the rows: how well the ranking met it, and whether `match_score` foretold it."""

    queries: int
    """Queries with a positive."""
    users: int
    ndcg: float
    """Mean NDCG@10."""
    ndcg_ci95: tuple[float, float]
    """Its 95% interval: a bootstrap over users."""
    found: float
    """Share of the positives that are among their query's candidates."""
    expected: float
    """Mean `match_score` of the rows."""
    observed: float
    """Share of the rows that are positives."""
    ratio_ci95: tuple[float, float]
    """95% interval of `observed` / `expected`."""


@dataclass(frozen=True)
class Reference:
    """What a sample of the rows was like that a model was measured on."""

    version: int
    asked: Asked
    queries: int
    users: int
    rows: int
    since: str
    """Time of the first query, ISO 8601."""
    until: str
    figures: dict[str, Distribution]
    """By name: the ranker's features, the match features, `match_score`, `score` and `text_length`."""
    shares: dict[str, Share]
    """By name: `unknown_users`, `unknown_items`, `empty_memories`, `empty_texts`, and of events."""
    categories: dict[str, Categories]
    """By name: `categories.<column>`, and `event` for the names of events."""
    outcomes: Outcomes | None = field(default=None)
    """None if nothing is known of what became of the rows."""

    def __post_init__(self) -> None:
        if self.version != REFERENCE_VERSION:
            raise ValueError(
                f"reference.version: expected {REFERENCE_VERSION}, got {self.version}. Load it with the recmem that "
                "wrote it."
            )
        if len(self.figures) + len(self.shares) + len(self.categories) > _MOST_FIGURES:
            raise ValueError(f"reference: expected at most {_MOST_FIGURES:,} figures, got more. Train again.")

    def to_json(self) -> str:
        """All of it as a JSON object, in one line: its lists are long."""
        return json.dumps(asdict(self), separators=(",", ":"), allow_nan=False) + "\n"

    @classmethod
    def from_json(cls, text: str) -> Reference:
        """What `to_json` wrote. It may come from anyone: raises ValueError unless it has exactly that form."""
        value: Any = parse_json(text, "reference.json")
        read: Reference = from_json(cls, value, "reference")
        return read
