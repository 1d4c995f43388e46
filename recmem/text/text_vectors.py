"""What a match module reads of texts: the frozen encoder's unit vectors, and the tuned one's beside them."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from recmem.text.cached_encoder import CachedEncoder


class TextVectors:
    """Vectors of texts in the spaces of several encoders, side by side. Each space has a cache of its own."""

    def __init__(self, spaces: Sequence[CachedEncoder]) -> None:
        self._spaces = tuple(spaces)

    @property
    def frozen(self) -> CachedEncoder:
        """The space of the frozen encoder, which cosines are of."""
        return self._spaces[0]

    def of_items(self, texts: Sequence[str]) -> Float[Tensor, "text width"]:
        """Vectors of the store's item texts, see `CachedEncoder.of_items`."""
        return torch.cat([space.of_items(texts) for space in self._spaces], dim=1)

    def of_texts(self, texts: Sequence[str]) -> Float[Tensor, "text width"]:
        """Vectors of callers' texts, see `CachedEncoder.of_texts`."""
        return torch.cat([space.of_texts(texts) for space in self._spaces], dim=1)
