"""Texts to unit vectors in serving: from the store's cache where it can be, else by the encoder, loaded when needed."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Sequence
from contextlib import closing
from functools import cached_property
from pathlib import Path
from threading import Lock

import torch
from jaxtyping import Float
from torch import Tensor

from feature_store import DataError, Store
from recmem.text.encoder import EncoderConfig, TextEncoder
from recmem.text.vector_cache import CACHE, VectorCache, exact_units

MAX_KEPT_TEXTS = 100_000
"""Vectors of texts that are no items', held in memory; beyond these they are all let go."""


class LazyEncoder:
    """The encoder of a model; its weights are read when the first text is encoded."""

    def __init__(self, config: EncoderConfig, *, fingerprint: str, dim: int, device: str) -> None:
        self.fingerprint = fingerprint
        self.dim = dim
        self._config = config
        self._device = device
        self._lock = Lock()

    def encode(
        self, texts: Sequence[str], *, on_progress: Callable[[int], None] | None = None
    ) -> Float[Tensor, "text dim"]:
        """Unit vectors of the texts, in order. Raises DataError where this is not the encoder of the training."""
        with self._lock:
            return self._loaded.encode(texts, on_progress=on_progress)

    def encode_each(
        self, parts: Iterable[Sequence[str]], *, on_progress: Callable[[int], None] | None = None
    ) -> Generator[Float[Tensor, "text dim"], None, None]:
        """As `encode`, part by part."""
        with self._lock, closing(self._loaded.encode_each(parts, on_progress=on_progress)) as each:
            yield from each

    @cached_property
    def _loaded(self) -> TextEncoder:
        try:
            encoder = TextEncoder.load(self._config, device=self._device)
        except FileNotFoundError as error:
            raise DataError(f"encoder.{error}") from error
        if (encoder.fingerprint, encoder.dim) != (self.fingerprint, self.dim):
            raise DataError(
                f"encoder: expected {self._config.name} with fingerprint {self.fingerprint} and {self.dim} dimensions, "
                f"got {encoder.fingerprint} and {encoder.dim}. Give the encoder that the model was trained with, or "
                "train anew: vectors of two encoders never mix."
            )
        return encoder


class CachedEncoder:
    """Unit vectors of texts, the same for the same text whether it is an item's of the store or a caller's."""

    def __init__(self, encoder: LazyEncoder, cache: VectorCache | None) -> None:
        self._encoder = encoder
        self._cache = cache
        self._kept: dict[str, Float[Tensor, " dim"]] = {}
        self._lock = Lock()

    @classmethod
    def of(cls, encoder: LazyEncoder, store: Store | None) -> CachedEncoder:
        """With the cache of a store on this machine's disk; none beside a store in an object store."""
        if store is None or "://" in store.path:
            return cls(encoder, None)
        return cls(encoder, VectorCache(Path(store.path) / CACHE, encoder.fingerprint, encoder.dim))

    def of_items(self, texts: Sequence[str]) -> Float[Tensor, "text dim"]:
        """Vectors of the store's items; those that its cache lacks are encoded and kept there."""
        if self._cache is None:
            return self.of_texts(texts)
        return exact_units(self._cache.get_or_encode(texts, self._encoder))

    def of_texts(self, texts: Sequence[str]) -> Float[Tensor, "text dim"]:
        """Vectors of texts that callers bring; kept in memory only: scoring writes nothing to the disk."""
        kept = self._kept  # another thread may replace it, but never removes anything from it
        vectors = {text: kept[text] for text in texts if text in kept}
        missing = list(dict.fromkeys(text for text in texts if text not in vectors))
        if missing:
            # Rounded as the cache on disk rounds them.
            vectors |= dict(zip(missing, self._encoder.encode(missing).half().float(), strict=True))
            with self._lock:
                if len(self._kept) + len(missing) > MAX_KEPT_TEXTS:
                    self._kept = {}
                self._kept.update({text: vectors[text] for text in missing[:MAX_KEPT_TEXTS]})
        if not texts:
            return torch.empty(0, self._encoder.dim)
        return exact_units(torch.stack([vectors[text] for text in texts]))
