"""Vectors of items in place of a text encoder: what does not go with them, and how many items must have one."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields

from feature_store import DataError, Store
from feature_store.item_vectors import stored_spaces
from feature_store.schema import ITEM_VECTORS
from recmem.dataset.catalogue import Catalogue
from recmem.text.encoder import EncoderConfig
from recmem.text.item_vectors import ItemVectors
from training.fitting.fit_encoder import EncoderTuningConfig

FEWEST_WITH_VECTOR = 0.5
"""Share of the items. With fewer, most candidates and memories have nothing that could match."""
_NO_TUNING = ("auto", "off")


def vectors_faults(encoder: EncoderConfig, tuning: EncoderTuningConfig) -> Iterator[str]:
    """What is wrong with settings of a text encoder beside vectors of the items, which need none."""
    for field in fields(EncoderConfig):
        value = getattr(encoder, field.name)
        if value != field.default:
            yield (
                f"encoder.{field.name}: expected the default, as vectors of the items stand in for a text encoder, got "
                f"{value!r}. Leave it out, or leave out the vectors."
            )
    if tuning.kind not in _NO_TUNING:
        yield (
            f"tuning.kind: expected 'off', as vectors of the items stand in for a text encoder, got {tuning.kind!r}. "
            "Leave it out, or leave out the vectors."
        )


def training_vectors(store: Store, name: str, catalogue: Catalogue) -> tuple[ItemVectors, int]:
    """The store's vectors of this name, and how many items of the catalogue have none.

    Raises DataError if there are no such vectors, or fewer than `FEWEST_WITH_VECTOR` of the items have one.
    """
    vectors = ItemVectors.read(store, name)
    has_vector = vectors.knows(catalogue.ids)
    n_items = len(catalogue)
    n_without = n_items - int(has_vector.sum())
    if n_without > (1 - FEWEST_WITH_VECTOR) * n_items:
        example = catalogue.ids.filter(~has_vector)[0]
        raise DataError(
            f"item_vectors: expected vectors of {name!r} for at least {FEWEST_WITH_VECTOR:.0%} of the {n_items:,} "
            f"items, got {n_items - n_without:,}; {example!r} has none. Give the vectors of the others, and check that "
            "both tables write item ids in the same way."
        )
    return vectors, n_without


def unread_sentences(store: Store) -> Iterator[str]:
    """A warning about vectors in the store that a training with a text encoder does not read, if it has any."""
    if ITEM_VECTORS.name in store.versions():
        names = ", ".join(map(repr, stored_spaces(store)))
        yield (
            f"item_vectors: the store has vectors of items, named {names}, which are not read: a text encoder reads "
            "the items' texts. To train on vectors, name them: --vectors-name."
        )


def unread_interests_sentences(column: str) -> Iterator[str]:
    """A warning about declared interests, which vectors of items cannot be compared with; `column` is "" for none."""
    if column:
        yield (
            f"users.{column}: declared interests are not read, as vectors of the items stand in for a text encoder. "
            "Leave out the vectors to have interests read."
        )


def missing_sentences(name: str, n_without: int, n_items: int) -> Iterator[str]:
    """A warning about items without a vector, if there are any."""
    if n_without:
        has = "1 has" if n_without == 1 else f"{n_without:,} have"
        yield (
            f"item_vectors: {has} none of {n_items:,} items. Nothing in a memory is like these: they are matched as "
            f"items without a text are. Add their vectors, named {name!r}."
        )


def vectors_sentence(name: str, dim: int) -> str:
    """What stands in for a text encoder, for the report and the end of a run."""
    return f"No text encoder was used: items are matched by their vectors {name!r} of {dim:,} numbers."
