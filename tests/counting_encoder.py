"""A stand-in for the text encoder: a vector from each text's hash, and a count of what it encodes."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Generator, Iterable, Sequence

import torch
from torch import Tensor
from torch.nn import functional

DIM = 8
FINGERPRINT = "f" * 16


class CountingEncoder:
    """Gives every text the vector that its hash seeds, counts the texts that it encodes, and can die at a call."""

    def __init__(self, *, fingerprint: str = FINGERPRINT, dim: int = DIM, dies_at_call: int | None = None) -> None:
        self.fingerprint = fingerprint
        self.earlier_fingerprint = ""
        self.dim = dim
        self.encoded: Counter[str] = Counter()
        self._n_calls = 0
        self._dies_at_call = dies_at_call

    def encode(self, texts: Sequence[str], *, on_progress: Callable[[int], None] | None = None) -> Tensor:
        self._n_calls += 1
        if self._n_calls == self._dies_at_call:
            raise KeyboardInterrupt
        self.encoded.update(texts)
        if on_progress is not None:
            on_progress(len(texts))
        return torch.stack([self.vector(text) for text in texts])

    def encode_each(
        self, parts: Iterable[Sequence[str]], *, on_progress: Callable[[int], None] | None = None
    ) -> Generator[Tensor, None, None]:
        for texts in parts:
            yield self.encode(texts, on_progress=on_progress)

    def vector(self, text: str) -> Tensor:
        seed = int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "big")
        return functional.normalize(torch.randn(self.dim, generator=torch.Generator().manual_seed(seed)), dim=-1)
