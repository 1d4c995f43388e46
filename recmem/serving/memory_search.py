"""What of a user's memory bears on a text, such as a question: items, interests and facts, the most similar first."""

from __future__ import annotations

import numpy as np
import polars as pl

from feature_store import DataError
from feature_store.arrays import Float64Array
from feature_store.point_in_time.further_slots import FurtherSlots
from feature_store.point_in_time.histories import Histories
from feature_store.timestamps import TIMESTAMP
from recmem.dataset.catalogue import Catalogue
from recmem.dataset.not_clicked_slots import NOT_CLICKED
from recmem.matching.matcher import Matcher
from recmem.matching.memory_kinds import KINDS
from recmem.serving.explain import match_parts
from recmem.serving.loaded_parts import LoadedParts
from recmem.serving.matched_texts import read_texts_of
from recmem.serving.request_times import TimeLike
from recmem.serving.slot_names import DescribedSlot, described_slots

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
    """What is remembered and most similar to the text; see `Model.search_memory`."""
    if isinstance(k, bool) or not isinstance(k, int | np.integer) or k < 1:
        raise DataError(f"k: expected at least 1, got {k!r}. Give a number of rows.")
    if not isinstance(text, str):
        raise DataError(f"text: expected text, got {text!r}. Give the question as text.")
    is_number = isinstance(min_similarity, int | float | np.number) and not isinstance(min_similarity, bool)
    if not is_number or not -1 <= min_similarity <= 1:
        raise DataError(f"min_similarity: expected a number from -1 to 1, got {min_similarity!r}. Give a cosine.")
    memory = parts.bundle.config.memory
    if negatives and not (memory.negatives or memory.not_clicked):
        raise DataError(
            "negatives: expected a memory with negative events or items not clicked, got one with neither. Train the "
            "model with --set memory.negatives=true, or leave out the argument."
        )
    read = read_texts_of(parts, user_id, [text], timestamp)
    matcher = parts.matcher_with(read)
    catalogue = read.dataset.catalogue
    history = read.queries.histories
    described = described_slots(matcher, catalogue, history, parts.bundle.config.language)
    text_row = int(read.items.values[0])
    _, _, contributions = match_parts(matcher, history, np.array([text_row]))
    slots = _frame(described, matcher.remembered(history).further, catalogue).with_columns(
        similarity=pl.Series(_cosines(matcher, history, text_row)), contribution=pl.Series(contributions[:, 0])
    )
    # One row per item: its newest event, and what all of them add.
    newest = pl.exclude("key", "n_events", "contribution").last()
    found = slots.group_by("key", maintain_order=True).agg(newest, pl.col("n_events", "contribution").sum())
    liked = [kind.name for kind in KINDS if kind.in_text_similarity and kind.name != NOT_CLICKED]
    wanted = found.filter(pl.col("similarity") >= min_similarity, pl.lit(negatives) | pl.col("kind").is_in(liked))
    order = ["similarity", "timestamp", "key"]
    best = wanted.sort(order, descending=[True, True, False], nulls_last=True).head(k)
    as_of = pl.lit(int(read.queries.times[0])).cast(TIMESTAMP)
    return best.with_columns(as_of=as_of).select(FOUND)


def _frame(slots: list[DescribedSlot], further: FurtherSlots | None, catalogue: Catalogue) -> pl.DataFrame:
    """A row per slot, with a `key` that events on the same item share."""
    # The slots that are no events come first.
    n_events = [] if further is None else [_n_events(further, text) for text in further.texts.values.tolist()]
    n_events += [1] * (len(slots) - len(n_events))
    return pl.DataFrame(
        {
            "key": pl.Series([_key(slot, place) for place, slot in enumerate(slots)], dtype=pl.Int64),
            "item_id": pl.Series([slot.item_id for slot in slots], dtype=catalogue.ids.dtype),
            "title": pl.Series([slot.title for slot in slots], dtype=pl.String),
            "text": pl.Series([_text(slot, catalogue) for slot in slots], dtype=pl.String),
            "timestamp": pl.Series([slot.time for slot in slots], dtype=pl.Int64).cast(TIMESTAMP),
            "kind": pl.Series([slot.kind for slot in slots], dtype=pl.String),
            "visits_ago": pl.Series([slot.age for slot in slots], dtype=pl.Int64),
            "n_events": pl.Series(n_events, dtype=pl.UInt32),
        }
    )


def _key(slot: DescribedSlot, place: int) -> int:
    return slot.row if slot.is_event else -1 - place


def _text(slot: DescribedSlot, catalogue: Catalogue) -> str:
    return catalogue.texts[slot.row] if slot.is_event else slot.title


def _n_events(further: FurtherSlots, text: int) -> int:
    """Events that a slot stands for which is none itself; 0 of the text of an item, an interest or a fact."""
    return further.names[text].n_events if text >= 0 else 0


def _cosines(matcher: Matcher, history: Histories, text_row: int) -> Float64Array:
    """Of each slot of a memory with the text in this row of the matcher's tables: float64[slot]."""
    slots = matcher.slots(history)
    unit = matcher.tables.unit
    # Exact in float32, as vectors are rounded (`recmem.text.unit_vectors`): the same number in any batch.
    cosines = slots.vectors_of(unit, slots.rows).float() @ unit[text_row].float()
    return cosines.cpu().numpy().astype(np.float64)
