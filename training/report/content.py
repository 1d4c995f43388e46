"""What a report shows besides the ledger: data, time windows, importance, learning curves, examples, parameters."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypedDict

from training.evaluation.folds import Folds
from training.evaluation.verdict import Verdict
from training.intake import Intake
from training.report.charts import Panel
from training.report.labels import ROW_NOTES, SLICE_NOTES

MOST_IMPORTANT = 20
"""Features in the importance plot and in the glossary, at most."""


class ScoreParts(TypedDict):
    """A score and the parts that add up to it: (text, contribution); all on one scale, that of the score."""

    of: str
    """The score's name: "ranking score" or "raw match score"."""
    total: float
    parts: Sequence[tuple[str, float]]
    """The largest parts by name, and the sum of all others."""


class ExampleItem(TypedDict):
    """A recommended item, and why: each of its scores taken apart, the ranking score first."""

    item: str
    scores: Sequence[ScoreParts]


class Example(TypedDict):
    """One user: the texts in the memory, newest first, and the top items."""

    user: str
    memory: Sequence[str]
    items: Sequence[ExampleItem]


@dataclass(frozen=True)
class Window:
    """A span of time and what it is used for: "match module", "ranker", "test". Times are ISO 8601."""

    name: str
    start: str
    end: str
    use: str = ""


@dataclass(frozen=True)
class DataUse:
    """One kind of data: what of it was used and how, and what was not and why."""

    data: str
    used: str
    not_used: str = ""


@dataclass(frozen=True)
class ReportContent:
    """Everything in a report besides the ledger. Sections without content are left out."""

    title: str
    data: Mapping[str, str | int | float]
    """Facts about the data in reading order: users, items, events, ..."""
    data_use: Sequence[DataUse] = ()
    """What of the data was used, and what not."""
    encoder: str = ""
    """Whether the text encoder was tuned, and why: a sentence."""
    intake: Intake | None = None
    """What was read of the tables, with the rows that were rejected or unmatched."""
    warnings: Sequence[str] = ()
    """What was used but looks wrong, or only in part: a sentence or two each."""
    windows: Sequence[Window] = ()
    importance: Mapping[str, float] = field(default_factory=dict)
    """Importance of each feature of the ranker that ships (`Ranker.importance`)."""
    text_features: Collection[str] = ()
    """Features that come from texts; the chart sets them apart."""
    curves: Sequence[Panel] = ()
    examples: Sequence[Example] = ()
    language: str = "en"
    """Of the texts of items; the report's own words are English."""
    config: str = ""
    """All settings, as the lines of a TOML file."""
    versions: Mapping[str, str] = field(default_factory=dict)
    data_digest: str = ""
    command: str = ""
    """The command line that reproduces the run."""
    folds: Folds | None = None
    """The rolling-origin check; None without one."""
    verdict: Verdict | None = None
    """Whether the new version becomes champion; None if that was not decided."""
    row_notes: Mapping[str, str] = field(default_factory=lambda: ROW_NOTES)
    """Row of the ledger -> what it ranks by, in plain words."""
    slice_notes: Mapping[str, str] = field(default_factory=lambda: SLICE_NOTES)
    """Slice of the ledger -> what belongs to it."""
    feature_meanings: Mapping[str, str] = field(default_factory=dict)
    """Feature -> what it means, for the glossary."""


def most_important(importance: Mapping[str, float], n_features: int = MOST_IMPORTANT) -> dict[str, float]:
    """The most important features, as shares of all importance, in falling order; ties in the order of names."""
    total = sum(importance.values()) or 1.0
    shares = sorted(((value / total, name) for name, value in importance.items()), reverse=True)
    return {name: share for share, name in shares[:n_features]}
