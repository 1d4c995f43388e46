"""From a bundle and a store to the vectors that its match module reads: of texts, or of items."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias

import torch
from jaxtyping import Float
from torch import Tensor

from feature_store import DataError, Store
from recmem.batch.worker_process import ask_parent
from recmem.dataset.candidate_frame import Candidates
from recmem.dataset.catalogue import Catalogue
from recmem.dataset.dataset import Dataset
from recmem.serving.bundle import Bundle, BundleConfig
from recmem.text.cached_encoder import CachedEncoder, LazyEncoder
from recmem.text.item_vectors import ItemVectors
from recmem.text.text_vectors import TextVectors


@dataclass(frozen=True)
class EncodedByParent:
    """In a worker process: vectors of texts that the catalogue lacks, which the parent process encodes."""

    def of_texts(self, texts: Sequence[str]) -> Float[Tensor, "text width"]:
        """See `CachedEncoder.of_texts`."""
        vectors: Tensor = torch.from_numpy(ask_parent(list(texts)))
        return vectors


Embedding: TypeAlias = CachedEncoder | TextVectors | ItemVectors
"""What a model reads its items' vectors from."""


def embedding_of(bundle: Bundle, store: Store | None, *, device: str) -> Embedding:
    """The bundle's encoder with the store's cache; if it was tuned, both encoders, each with a cache of its own.

    Their weights are read when the first text must be encoded. A model without an encoder gets the store's vectors of
    its items; DataError if the store has none of that name, or of another length.
    """
    config = bundle.config
    if config.vectors is not None:
        return _item_vectors(config, config.vectors, store)
    dim = config.match.similarity_dim or config.match.dim
    frozen = LazyEncoder.of(config.encoder, fingerprint=config.fingerprint, dim=dim, device=device)
    if config.tuning is None or config.tuned_fingerprint is None:
        return CachedEncoder.of(frozen, store)
    tuned = frozen.tuned(config.tuning, bundle.tuned, fingerprint=config.tuned_fingerprint)
    return TextVectors([CachedEncoder.of(frozen, store), CachedEncoder.of(tuned, store)])


def text_space(embedding: Embedding) -> CachedEncoder | None:
    """The frozen encoder's space, in which declared interests are read; None for vectors of items."""
    return None if isinstance(embedding, ItemVectors) else embedding.frozen


def item_units(embedding: Embedding, catalogue: Catalogue) -> Float[Tensor, "item width"]:
    """What the match module reads of each item of the catalogue."""
    if isinstance(embedding, ItemVectors):
        return embedding.of_ids(catalogue.ids)
    return embedding.of_items(catalogue.texts)


def with_fact_vectors(dataset: Dataset, space: CachedEncoder | None) -> Dataset:
    """The dataset with vectors of the facts that its memories hold as slots; itself if they hold none."""
    if not dataset.config.fact_slots or space is None:
        return dataset
    catalogue = dataset.catalogue.with_fact_vectors(lambda words: space.of_items(list(words)).cpu().numpy())
    return replace(dataset, catalogue=catalogue)


def new_item_units(embedding: Embedding | EncodedByParent, read: Candidates) -> Float[Tensor, "new width"]:
    """What it reads of candidates that the catalogue lacks, in the order of `read.texts`."""
    if isinstance(embedding, ItemVectors):
        return embedding.of_ids(read.new_ids)
    return embedding.of_texts(read.texts)


def _item_vectors(config: BundleConfig, name: str, store: Store | None) -> ItemVectors:
    if store is None:
        return ItemVectors.empty(name, config.match.dim)
    vectors = ItemVectors.read(store, name)
    if vectors.fingerprint != config.fingerprint:
        raise DataError(
            f"vectors: expected vectors of {name!r} with {config.match.dim:,} numbers, which the model was trained on, "
            f"got {vectors.dim:,} in the store. Give the store that it was trained on, or train again: vectors of two "
            "models cannot be mixed."
        )
    return vectors
