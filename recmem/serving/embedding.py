"""From a bundle and a store to the vectors of texts that its match module reads."""

from __future__ import annotations

from feature_store import Store
from recmem.serving.bundle import Bundle
from recmem.text.cached_encoder import CachedEncoder, LazyEncoder, LazyTunedEncoder
from recmem.text.text_vectors import TextVectors


def embedding_of(bundle: Bundle, store: Store | None, *, device: str) -> CachedEncoder | TextVectors:
    """The bundle's encoder with the store's cache; if it was tuned, both encoders, each with a cache of its own.

    Their weights are read when the first text must be encoded.
    """
    config = bundle.config
    dim = config.match.similarity_dim or config.match.dim
    frozen = LazyEncoder(config.encoder, fingerprint=config.fingerprint, dim=dim, device=device)
    if config.tuning is None or config.tuned_fingerprint is None:
        return CachedEncoder.of(frozen, store)
    tuned = LazyTunedEncoder(frozen, config.tuning, bundle.tuned, fingerprint=config.tuned_fingerprint)
    return TextVectors([CachedEncoder.of(frozen, store), CachedEncoder.of(tuned, store)])
