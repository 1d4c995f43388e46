"""Texts to unit vectors in serving: cached where possible, with an encoder that is loaded when it is first needed."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from functools import cached_property, partial
from pathlib import Path
from threading import Lock

import torch
from jaxtyping import Float
from torch import Tensor

from feature_store import DataError, Store
from recmem.text.encoder import EncoderConfig, TextEncoder
from recmem.text.encoder_tuning import EncoderTuning
from recmem.text.tuned_encoder import tuned_encoder
from recmem.text.unit_vectors import exact_units
from recmem.text.vector_cache import VECTORS_FOLDER, VectorCache

_LOG = logging.getLogger("recmem")
MAX_KEPT_TEXTS = 100_000
"""Vectors of callers' texts held in memory. When there would be more, all are dropped."""


class LazyEncoder:
    """A text encoder that is loaded when the first text is encoded. Safe to use from several threads.

    A model whose texts are all cached never loads it.
    """

    def __init__(self, load: Callable[[], TextEncoder], *, fingerprint: str, dim: int) -> None:
        self.fingerprint = fingerprint
        self.dim = dim
        self._load = load
        self._lock = Lock()

    @classmethod
    def of(cls, config: EncoderConfig, *, fingerprint: str, dim: int, device: str) -> LazyEncoder:
        """A model's frozen encoder, with the fingerprint and dimensions that it was trained with."""
        load = partial(_frozen_encoder, config, fingerprint=fingerprint, dim=dim, device=device)
        return cls(load, fingerprint=fingerprint, dim=dim)

    def tuned(self, tuning: EncoderTuning, tensors: Mapping[str, Tensor], *, fingerprint: str) -> LazyEncoder:
        """The model's tuned encoder beside this frozen one, made of its weights."""

        def load() -> TextEncoder:
            return tuned_encoder(self.text_encoder(), tuning, tensors, fingerprint=fingerprint)

        return LazyEncoder(load, fingerprint=fingerprint, dim=self.dim)

    def encode(
        self, texts: Sequence[str], *, on_progress: Callable[[int], None] | None = None
    ) -> Float[Tensor, "text dim"]:
        """Unit vectors of the texts, in order.

        Raises DataError if the encoder or what was learned is not the model's, it gives NaN, or an extra is missing.
        """
        with self._lock, _as_data_errors():
            return self._loaded.encode(texts, on_progress=on_progress)

    def encode_each(
        self, parts: Iterable[Sequence[str]], *, on_progress: Callable[[int], None] | None = None
    ) -> Generator[Float[Tensor, "text dim"], None, None]:
        """`encode` of each part, in order."""
        with self._lock, _as_data_errors(), closing(self._loaded.encode_each(parts, on_progress=on_progress)) as each:
            yield from each

    def text_encoder(self) -> TextEncoder:
        """The encoder itself, loaded if it was not. Raises DataError as `encode` does."""
        with self._lock:
            return self._loaded

    @cached_property
    def _loaded(self) -> TextEncoder:
        return self._load()


def _frozen_encoder(config: EncoderConfig, *, fingerprint: str, dim: int, device: str) -> TextEncoder:
    """The encoder of this configuration, which must have this fingerprint and dimensions: else DataError."""
    try:
        encoder = TextEncoder.load(config, device=device)
    except (FileNotFoundError, ValueError) as error:
        raise DataError(str(error)) from error
    if (encoder.fingerprint, encoder.dim) == (fingerprint, dim):
        return encoder
    if (encoder.earlier_fingerprint, encoder.dim) == (fingerprint, dim):
        # Not refused: the weights are the same, and the settings are probably the same.
        _LOG.warning(
            "encoder: expected a model that records the settings of %s, got one of recmem 0.1, which did not. If "
            "its config.json or tokenizer settings have changed since, the scores are wrong. Train again.",
            config.name,
        )
        return encoder
    raise DataError(
        f"encoder: expected {config.name} with fingerprint {fingerprint} and {dim} dimensions, "
        f"got {encoder.fingerprint} and {encoder.dim}. Give the encoder that the model was trained with, or "
        "train again: vectors of two encoders cannot be mixed."
    )


@contextmanager
def _as_data_errors() -> Iterator[None]:
    """Raises a DataError for what a loaded encoder fails with: its tokenizer does not fit, or it gives NaN."""
    try:
        yield
    except DataError:
        raise
    except ValueError as error:
        raise DataError(str(error)) from error
    except FloatingPointError as error:
        raise DataError(
            "encoder: expected finite vectors from the model's text encoder, got NaN or infinity. Train again, with "
            "another encoder or without tuning it."
        ) from error


class CachedEncoder:
    """Unit vectors of texts from two caches: the store's on disk for its items, one in memory for callers' texts.

    A text has the same vector in both.
    """

    def __init__(self, encoder: LazyEncoder, cache: VectorCache | None) -> None:
        self._encoder = encoder
        self._cache = cache
        # By a digest of the text: long texts would take far more memory than their vectors.
        self._kept: dict[bytes, Float[Tensor, " dim"]] = {}
        self._lock = Lock()

    @classmethod
    def of(cls, encoder: LazyEncoder, store: Store | None) -> CachedEncoder:
        """The encoder with the store's cache, or without one if the store is not on a local disk."""
        if store is None or "://" in store.path:
            return cls(encoder, None)
        return cls(encoder, VectorCache(Path(store.path) / VECTORS_FOLDER, encoder.fingerprint, encoder.dim))

    @property
    def frozen(self) -> CachedEncoder:
        """Itself: the space that cosines are of, as in `TextVectors`."""
        return self

    def of_items(self, texts: Sequence[str]) -> Float[Tensor, "text dim"]:
        """Vectors of the store's item texts. Those that its cache lacks are encoded and, if it is writable, added."""
        if self._cache is None:
            return self.of_texts(texts)
        if not self._cache.is_writable:
            return self._of_items_read_only(self._cache, texts)
        return exact_units(self._cache.get_or_encode(texts, self._encoder))

    def _of_items_read_only(self, cache: VectorCache, texts: Sequence[str]) -> Float[Tensor, "text dim"]:
        known = list(dict.fromkeys(cache.known(texts)))
        is_known = set(known)
        missing = list(dict.fromkeys(text for text in texts if text not in is_known))
        if not missing:
            return exact_units(cache.get_or_encode(texts, self._encoder))
        vectors = torch.cat([exact_units(cache.get_or_encode(known, self._encoder)), self.of_texts(missing)])
        rows = {text: row for row, text in enumerate([*known, *missing])}
        return vectors[torch.tensor([rows[text] for text in texts])]

    def of_texts(self, texts: Sequence[str]) -> Float[Tensor, "text dim"]:
        """Vectors of callers' texts. They are kept in memory only, because scoring writes nothing to disk."""
        # Another thread may replace the dict, but never removes anything from it.
        kept = self._kept
        keys = {text: _digest(text) for text in texts}
        vectors = {text: kept[key] for text, key in keys.items() if key in kept}
        missing = list(dict.fromkeys(text for text in texts if text not in vectors))
        if missing:
            # float16, as the cache on disk stores them.
            encoded = self._encoder.encode(missing).half().float()
            vectors |= dict(zip(missing, encoded, strict=True))
            with self._lock:
                if len(self._kept) + len(missing) > MAX_KEPT_TEXTS:
                    self._kept = {}
                self._kept.update({keys[text]: vectors[text] for text in missing[:MAX_KEPT_TEXTS]})
        if not texts:
            return torch.empty(0, self._encoder.dim)
        return exact_units(torch.stack([vectors[text] for text in texts]))


def _digest(text: str) -> bytes:
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).digest()
