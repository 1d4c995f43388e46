"""Outcomes of watched rows: labels of what was shown, or the events that came later."""

from __future__ import annotations

import numpy as np
import polars as pl

from feature_store import DataError
from feature_store.excerpts import excerpt
from feature_store.schema import EVENTS
from feature_store.table_checks import check_table
from feature_store.timestamps import parse_timestamps
from recmem.reference.reference import Outcomes
from recmem.serving.bundle import Bundle
from training.monitoring.outcomes import outcomes_of
from training.monitoring.watched_rows import WatchedRows, id_texts

LABEL = "label"
NO_POSITIVE = "No row has a positive outcome yet: NDCG and calibration were not compared."
NO_LABEL = (
    "No label is of a row that was compared (the same user_id and item_id, and timestamp and impression_id where both "
    "files have them): NDCG and calibration were not compared."
)
_EXAMPLE_CHARS = 40


def judged(
    bundle: Bundle,
    watched: WatchedRows,
    given: pl.DataFrame,
    earlier: pl.DataFrame | None,
    generator: np.random.Generator,
) -> Outcomes | str:
    """The outcomes of the rows; if there are none, why: `NO_LABEL` or `NO_POSITIVE`.

    `given` are rows with a `label` (0 or 1) for what was shown, or events. With events, the positives of a query are
    those of a reference's: what the user chooses at the first time after the query at which there is something new.
    `earlier`: the events that the model knows, so that what the user had before is not new; None to leave that out.

    Raises DataError if the rows have no scores, or the outcomes no rows, no columns to find them by, or no labels.
    """
    if watched.scores is None or watched.match_scores is None:
        raise DataError("scored: expected the columns score and match_score, got a file without. Score with both.")
    n_unscored = int((np.isnan(watched.scores) | np.isnan(watched.match_scores)).sum())
    if n_unscored:
        got = f"rows without a number in one of them ({n_unscored:,})"
        raise DataError(f"scored: expected numbers in score and match_score, got {got}. Score the candidates again.")
    if given.is_empty():
        raise DataError("outcomes: expected rows, got none. Check the file or query that they come from.")
    missing = [name for name in ("user_id", "item_id") if name not in given.columns]
    if missing:
        raise DataError(f"outcomes.{missing[0]}: expected the column, got none. Add it to the outcomes.")
    keys = watched.keys.with_columns(
        row=pl.int_range(pl.len()), query=pl.Series(watched.rows.queries), user=pl.Series(watched.rows.users)
    ).unique(["query", "item_id"], keep="first", maintain_order=True)
    missed: dict[int, int] = {}
    if LABEL in given.columns:
        found = _by_labels(keys, given)
        if not len(found):
            return NO_LABEL
    else:
        found, missed = _by_events(bundle, keys, given, earlier)
        if not len(found):
            return NO_POSITIVE
    row = found["row"].to_numpy()
    outcomes = outcomes_of(
        queries=found["query"].to_numpy(),
        users=found["user"].to_numpy(),
        scores=watched.scores[row],
        match_scores=watched.match_scores[row],
        is_positive=found["is_positive"].to_numpy(),
        missed=missed,
        generator=generator,
    )
    return NO_POSITIVE if outcomes is None else outcomes


def _by_labels(keys: pl.DataFrame, given: pl.DataFrame) -> pl.DataFrame:
    """The rows that have a label, with `is_positive`."""
    numbers = given[LABEL].cast(pl.Float64, strict=False)
    unreadable = given[LABEL].filter(numbers.is_null() & given[LABEL].is_not_null())
    if len(unreadable):
        got = f"{excerpt(repr(unreadable[0]), _EXAMPLE_CHARS)} in {len(unreadable):,} rows"
        raise DataError(f"outcomes.{LABEL}: expected 0 or 1, got {got}. Correct the column.")
    labels = given.select(id_texts(given["user_id"]), id_texts(given["item_id"]), is_positive=numbers > 0)
    on = ["user_id", "item_id"]
    if "impression_id" in given.columns and "impression_id" in keys.columns:
        labels = labels.with_columns(id_texts(given["impression_id"]))
        on.append("impression_id")
    if "timestamp" in given.columns and keys["time"].null_count() == 0:
        labels = labels.with_columns(time=parse_timestamps(given["timestamp"])[0].to_physical().cast(pl.Int64))
        on.append("time")
    # An item that was shown twice is a positive if it was one once.
    once = labels.drop_nulls().group_by(on).agg(pl.col("is_positive").any())
    return keys.join(once, on=on, how="inner", maintain_order="left")


def _by_events(
    bundle: Bundle, keys: pl.DataFrame, given: pl.DataFrame, earlier: pl.DataFrame | None
) -> tuple[pl.DataFrame, dict[int, int]]:
    """The rows of the queries that have a positive, with `is_positive`, and the positives that were no candidates."""
    if keys["time"].null_count():
        raise DataError(
            "candidates.timestamp: expected a time in each row, to tell which events came later, got none. "
            "Add the column, or give outcomes with a label."
        )
    checked = check_table(given, EVENTS, signals=bundle.config.dataset.signals)
    for problem in (each for each in checked.problems if each.rows is None):
        raise DataError(f"outcomes.{problem.column}: expected {problem.expected}, got {problem.got}. {problem.remedy}")
    signs = bundle.config.dataset.signals.signs(checked.kept)
    events = _event_keys(checked.kept.filter(pl.Series(signs > 0)))
    queries = keys.select("query", "user_id", "time").unique("query")
    later = queries.join(events, on="user_id").filter(pl.col("event_time") > pl.col("time"))
    if earlier is not None and bundle.config.retrieval.exclude_seen:
        firsts = _event_keys(earlier).group_by("user_id", "item_id").agg(first=pl.col("event_time").min())
        later = later.join(firsts, on=["user_id", "item_id"], how="left")
        later = later.filter(pl.col("first").is_null() | (pl.col("first") > pl.col("time")))
    next_visit = later.filter(pl.col("event_time") == pl.col("event_time").min().over("query"))
    positives = next_visit.select("query", "item_id").unique().with_columns(is_positive=pl.lit(True))
    found = keys.join(positives, on=["query", "item_id"], how="left", maintain_order="left")
    found = found.filter(pl.col("query").is_in(positives["query"].implode()))
    found = found.with_columns(pl.col("is_positive").fill_null(False))
    lost = positives.join(found.filter("is_positive"), on=["query", "item_id"], how="anti")
    counts = lost.group_by("query").len()
    return found, dict(zip(counts["query"].to_list(), counts["len"].to_list(), strict=True))


def _event_keys(events: pl.DataFrame) -> pl.DataFrame:
    return events.select(
        id_texts(events["user_id"]), id_texts(events["item_id"]), event_time=pl.col("timestamp").dt.epoch("us")
    )
