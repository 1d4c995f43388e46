"""What of a user's memory bears on a text, such as a question: the remembered items, the most similar first."""

from __future__ import annotations

import numpy as np
import polars as pl
import torch

from feature_store import DataError
from feature_store.timestamps import TIMESTAMP
from recmem.matching.memory_kinds import KINDS, kinds_of
from recmem.serving.explain import match_parts
from recmem.serving.loaded_parts import LoadedParts
from recmem.serving.matched_texts import read_texts_of
from recmem.serving.request_times import TimeLike

FOUND = (
    "item_id",
    "title",
    "text",
    "timestamp",
    "kind",
    "visits_ago",
    "n_events",
    "similarity",
    "contribution",
    "as_of",
)
"""Columns of a result."""


def search_memory(
    parts: LoadedParts,
    user_id: object,
    text: str,
    *,
    k: int,
    timestamp: TimeLike | None,
    min_similarity: float,
    negatives: bool,
) -> pl.DataFrame:
    """The remembered items that are most similar to the text; see `Model.search_memory`."""
    if isinstance(k, bool) or not isinstance(k, int | np.integer) or k < 1:
        raise DataError(f"k: expected at least 1, got {k!r}. Give a number of items.")
    if not isinstance(text, str):
        raise DataError(f"text: expected text, got {text!r}. Give the question as text.")
    is_number = isinstance(min_similarity, int | float | np.number) and not isinstance(min_similarity, bool)
    if not is_number or not -1 <= min_similarity <= 1:
        raise DataError(f"min_similarity: expected a number from -1 to 1, got {min_similarity!r}. Give a cosine.")
    if negatives and not parts.bundle.config.memory.negatives:
        raise DataError(
            "negatives: expected a memory with negative events, got one that leaves them out. Train the model with "
            "--set memory.negatives=true, or leave out the argument."
        )
    read = read_texts_of(parts, user_id, [text], timestamp)
    matcher = parts.matcher_with(read)
    remembered = matcher.remembered(read.queries.histories)
    rows = remembered.items.values
    text_row = int(read.items.values[0])
    unit = matcher.tables.unit[torch.from_numpy(np.append(rows, text_row)).to(matcher.device)].float().cpu().numpy()
    _, _, slot_contributions = match_parts(matcher, read.queries.histories, np.array([text_row]))
    # The slots that are no events come first.
    contributions = slot_contributions[len(slot_contributions) - len(rows) :]
    catalogue = read.dataset.catalogue
    kinds = kinds_of(remembered)
    slots = pl.DataFrame(
        {
            "item_id": catalogue.ids.gather(rows),
            "row": rows,
            "timestamp": pl.Series(remembered.times.copy()).cast(TIMESTAMP),
            "kind": pl.Series([KINDS[kind].name for kind in kinds], dtype=pl.String),
            "is_compared": pl.Series([KINDS[kind].in_text_similarity for kind in kinds], dtype=pl.Boolean),
            "visits_ago": remembered.recency.copy(),
            "similarity": (unit[:-1] @ unit[-1]).astype(np.float64),
            "contribution": contributions[:, 0],
        }
    )
    # One row per item: its newest event, and what all of them add.
    newest = pl.exclude("row", "contribution").last()
    found = slots.group_by("row", maintain_order=True).agg(
        newest, n_events=pl.len(), contribution=pl.col("contribution").sum()
    )
    wanted = found.filter(pl.col("similarity") >= min_similarity, pl.lit(negatives) | pl.col("is_compared"))
    best = wanted.sort("similarity", "timestamp", "row", descending=[True, True, False]).head(k)
    texts = pl.Series([catalogue.texts[row] for row in best["row"]], dtype=pl.String)
    titles = pl.Series([catalogue.title(row) for row in best["row"]], dtype=pl.String)
    as_of = pl.lit(int(read.queries.times[0])).cast(TIMESTAMP)
    return best.with_columns(title=titles, text=texts, as_of=as_of).select(FOUND)
