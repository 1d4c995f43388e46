"""The glossary of features. `python -m recmem.ranking.feature_glossary > docs/features.md` writes the document anew."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from recmem.ranking import feature_table
from recmem.ranking.feature_table import ATTRIBUTE_PREFIX, Feature, item_attribute

_HEAD = """\
# Features

What the ranker knows about a (query, candidate) pair, as of the query's time. Generated from
`recmem/ranking/feature_table.py` with `python -m recmem.ranking.feature_glossary > docs/features.md`. See
[adding_a_feature.md](adding_a_feature.md) for how to add one.

Most features are used as z-scores within the query: how many standard deviations the candidate is above the mean of the
query's candidates. Trees also use the value itself if "raw" says yes. A feature that is the same for all candidates of
a query has no z-score and is used raw only. The linear blend uses z-scores only.

The *memory* is the user's latest 50 events before the query, the *history* the latest 200. Text similarities ignore
negative events, unless the memory contains only negative events.
"""


class GlossaryEntry(NamedTuple):
    """One feature in words."""

    name: str
    group: str
    meaning: str


def glossary() -> list[GlossaryEntry]:
    """All features of the table in order, and `items.<name>`, which stands for every item attribute."""
    features = [*feature_table.FEATURES, item_attribute("<name>")]
    return [GlossaryEntry(feature.name, str(feature.group), feature.meaning) for feature in features]


def meanings(names: Iterable[str]) -> dict[str, str]:
    """The meaning of each of these features of a ranker; those that the table lacks are item attributes."""
    in_table = {feature.name: feature.meaning for feature in feature_table.FEATURES}
    return {name: in_table.get(name) or item_attribute(name.removeprefix(ATTRIBUTE_PREFIX)).meaning for name in names}


def glossary_markdown() -> str:
    """The glossary as a Markdown document with one table."""
    lines = ["| feature | group | raw | meaning |", "|---|---|---|---|"]
    lines += [_row(feature) for feature in (*feature_table.FEATURES, item_attribute("<name>"))]
    return "\n".join([_HEAD, *lines, ""])


def _row(feature: Feature) -> str:
    raw = "only" if feature.per_query else "yes" if feature.raw else ""
    return f"| `{feature.name}` | {feature.group} | {raw} | {feature.meaning} |"


if __name__ == "__main__":
    print(glossary_markdown(), end="")
