"""The facts of items that a training reads: from the facts table, and from columns of the items table."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import polars as pl

from feature_store import DataError
from recmem.dataset.item_facts import ItemFacts, fact_columns, subjects_of_items
from recmem.dataset.knowledge_config import AUTO, KnowledgeConfig

_N_EXAMPLES = 3
FEW = 0.01
"""A warning if a smaller share of the items has a fact that another item has too."""


def knowledge_of(items: pl.DataFrame, facts: pl.DataFrame, config: KnowledgeConfig) -> KnowledgeConfig | None:
    """The configuration with the names of the columns that are read; None if there is nothing to read.

    Raises DataError for a column that is missing or no text, and if no fact is about an item.
    """
    if AUTO not in config.columns:
        _require_text(items, config.columns)
    columns = fact_columns(items, config.columns)
    reads_table = config.facts and len(facts) > 0
    if reads_table:
        require_subjects(items["item_id"], facts["subject"])
    if not reads_table and not columns:
        return None
    return replace(config, facts=reads_table, columns=columns)


def require_subjects(ids: pl.Series, subjects: pl.Series) -> None:
    """Raises DataError if no subject of the facts is an item."""
    if ids.is_empty() or subjects_of_items(ids.cast(pl.String), subjects).height:
        return
    raise DataError(
        f"facts.subject: expected ids of items, such as {_examples(ids)}, got none among {_examples(subjects)}. Write "
        "the ids of the facts as those of the items; an IRI may end in the id."
    )


def facts_warnings(facts: ItemFacts, config: KnowledgeConfig | None, n_items: int) -> Iterator[str]:
    """What is read but helps little: a sentence or two each."""
    if config is None or facts.n_items >= FEW * n_items:
        return
    yield (
        f"facts: {facts.n_items:,} of {n_items:,} items have a fact that another item has too, and that is all that "
        "facts are compared by. Check how the relations and objects are written."
    )


def slots_warnings(n_slots: int, config: KnowledgeConfig | None, *, has_encoder: bool) -> Iterator[str]:
    """A warning where memories are to hold `n_slots` facts (`memory.knowledge`) and can hold none."""
    if not n_slots:
        return
    if config is None:
        yield (
            f"memory.knowledge: expected facts of items for {n_slots} slots, got none. Give some with --facts or "
            "--fact-columns, or set it to 0."
        )
    elif not has_encoder:
        yield (
            f"memory.knowledge: expected a text encoder for {n_slots} slots of facts, got vectors of the items, which "
            "say nothing of words. Leave out the vectors, or set it to 0."
        )


def _require_text(items: pl.DataFrame, names: tuple[str, ...]) -> None:
    for name in names:
        dtype = items.schema.get(name)
        if dtype != pl.String or name == "item_id":
            got = f"none in the items table, which has {', '.join(items.columns)}" if dtype is None else f"{dtype}"
            raise DataError(
                f"items.{name}: expected a column of text whose values are facts, got {got}. Give one, or take it out "
                "of the setting knowledge.columns (--fact-columns)."
            )


def _examples(values: pl.Series) -> str:
    return ", ".join(map(repr, values.unique().sort().head(_N_EXAMPLES)))
