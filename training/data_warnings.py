"""What a training accepts but its user should know: columns and impressions that do less than one would expect."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import polars as pl

from feature_store import IMPRESSIONS
from feature_store.warnings.date_columns import holds_dates
from recmem.dataset.candidate_features import MAX_CATEGORIES, CandidateFeature
from recmem.dataset.catalogue import Catalogue
from recmem.ranking.feature_names import ATTRIBUTE_PREFIX
from recmem.ranking.normalise import SMALLEST_SPREAD
from recmem.serving.request_columns import is_taken
from recmem.text.item_text import is_id_name
from training.queries import impression_of_row

LARGEST = float(np.finfo(np.float32).max)
"""Larger numbers than this do not fit into float32, the type of every feature."""
TORN_SHARE = 0.1
"""A warning if more than this share of the impressions have their clicks at another time than the other items."""
FOREIGN_SHARE = 0.1
"""A warning if at least this share of the items' texts has a quarter or more of letters that are not Latin."""
_SAMPLED_TEXTS = 5_000
LOST_SHARE = 0.1
"""A warning if float32 loses more than this share of a column's distinct values."""


def item_warnings(catalogue: Catalogue) -> Iterator[str]:
    """A sentence or two about each column of the items that the model reads only in part, or not at all."""
    for name in catalogue.text_columns:
        if is_taken(name):
            yield (
                f"items.{name}: a part of each item's text, but candidates cannot bring it along for new items: there "
                f"`{name}` means something else. Rename the column if new items should have it."
            )
    for name in catalogue.number_columns:
        problem = _number_problem(catalogue.items[name])
        if problem:
            yield f"items.{name}: {problem}"


def language_warnings(texts: Sequence[str]) -> Iterator[str]:
    """A warning where the default text encoder, which knows English only, is to read texts of another script."""
    sample = pl.Series("text", texts[:: -(-len(texts) // _SAMPLED_TEXTS) or 1], dtype=pl.String)
    n_letters = sample.str.count_matches(r"\p{L}")
    with_letters = int((n_letters > 0).sum())
    # A quarter: the names of English columns are in the texts too.
    n_foreign = int((sample.str.count_matches(r"\p{Latin}") * 4 < n_letters * 3).sum())
    if n_foreign and n_foreign >= FOREIGN_SHARE * with_letters:
        yield (
            f"items: {n_foreign / with_letters:.0%} of the texts are not, or only partly, in Latin letters, and the "
            "default text encoder knows English only. Take one that knows the language: docs/languages.md."
        )


def identifier_warnings(catalogue: Catalogue, leave_out: Sequence[str]) -> Iterator[str]:
    """One warning about all columns of the items that a ranker reads as amounts and that, by their names, are none.

    `leave_out` are the features that the rankers go without.
    """
    features = [
        f"{ATTRIBUTE_PREFIX}{name}"
        for name in catalogue.number_columns
        if is_id_name(name) and _are_many_whole_numbers(catalogue.items[name])
    ]
    found = [name for name in features if name not in leave_out]
    if found:
        setting = ", ".join(f'"{name}"' for name in [*leave_out, *found])
        yield (
            f"{', '.join(found)}: identifiers, by name, but the ranker reads numbers as amounts, in which 48213 lies "
            f"just above 48212. To leave them out: --set 'ranker.leave_out=[{setting}]'. What they stand for can be "
            "matched if you give its name as text."
        )


def _are_many_whole_numbers(column: pl.Series) -> bool:
    """Whether there are more than two different values, all whole; a flag of two is no harm read as an amount."""
    given = column.drop_nulls().cast(pl.Float64)
    return given.n_unique() > 2 and bool((given == given.floor()).all())


def impression_warnings(impressions: pl.DataFrame) -> Iterator[str]:
    """A sentence or two about impressions from which little can be learned."""
    if impressions.is_empty():
        return
    query = pl.Series("query", impression_of_row(impressions))
    has_both = pl.col("label").n_unique() > 1
    rows = impressions.select("user_id", "impression_id", "label", query, has_both.over(query).alias("compares"))
    if not rows["compares"].any():
        yield (
            "impressions.label: no impression has both a clicked item and one that was not clicked, so there is "
            "nothing to compare. Give all items that were shown, those that were not clicked with label 0."
        )
    by_id = rows.group_by("user_id", "impression_id").agg(has_both.alias("has_both"), pl.col("compares").any())
    n_torn = by_id.filter(pl.col("has_both") & ~pl.col("compares")).height
    if n_torn > TORN_SHARE * by_id.height:
        yield (
            f"impressions.timestamp: in {n_torn:,} of {by_id.height:,} impressions the clicked items have another time "
            "than the others, and each time is a query of its own, as in serving. Give all rows of an impression one "
            "timestamp: when it was shown."
        )


def not_clicked_warnings(n_slots: int, impressions: pl.DataFrame) -> Iterator[str]:
    """A warning where memories are to hold `n_slots` items not clicked (`memory.not_clicked`) and can hold none."""
    if n_slots and not (impressions["label"] == 0).any():
        yield (
            f"memory.not_clicked: expected impressions with items that were not clicked (label 0) for {n_slots} slots, "
            "got none. Give some with --impressions, or set it to 0."
        )


def feature_warnings(
    rows: pl.DataFrame, features: Sequence[CandidateFeature], table: str = IMPRESSIONS.name
) -> Iterator[str]:
    """A sentence or two about each column of a table that does less as a feature than one would expect."""
    for feature in features:
        column = rows[feature.name]
        if feature.categories is None:
            problem = _number_problem(column)
        else:
            n_values = column.drop_nulls().n_unique()
            problem = ""
            if n_values < 2:
                problem = "all values are missing or equal, so the ranker learns nothing from it. Leave it out."
            elif holds_dates(column):
                problem = (
                    "dates as texts, of which each is a category of its own: the ranker cannot tell earlier from "
                    "later. Give a number, such as the age in days."
                )
            elif n_values > MAX_CATEGORIES:
                problem = (
                    f"{n_values:,} different texts, of which the {MAX_CATEGORIES:,} most frequent are told apart, and "
                    "the others count as missing. Group them if that is too few."
                )
        if problem:
            yield f"{table}.{feature.name}: {problem}"


def _number_problem(column: pl.Series) -> str:
    """What is wrong with a numeric column as a feature; empty if nothing is."""
    given = column.drop_nulls().cast(pl.Float64)
    too_large = given.abs() > LARGEST
    if too_large.any():
        return (
            f"{int(too_large.sum()):,} numbers are too large for the ranker and count as missing (e.g. "
            f"{given.filter(too_large)[0]:g}; the limit is {LARGEST:.1e}). Scale the column, or take its logarithm."
        )
    if given.n_unique() < 2:
        return "all values are missing or equal, so the ranker learns nothing from it. Leave it out."
    if np.ptp(given.to_numpy()) < SMALLEST_SPREAD:
        return f"its values differ by less than {SMALLEST_SPREAD:g} and count as equal. Scale the column."
    n_lost = given.n_unique() - given.cast(pl.Float32).n_unique()
    if n_lost > LOST_SHARE * given.n_unique():
        return (
            f"{n_lost:,} of {given.n_unique():,} distinct values cannot be told apart in float32, in which the ranker "
            "reads them. Subtract their smallest value, or scale the column."
        )
    return ""
