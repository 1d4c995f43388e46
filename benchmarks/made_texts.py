"""Made vectors that lie like those of texts: few wide directions, categories, and topics within them.

Uniform directions would be as far from each other as from any query, and no index would find its way. MiniLM's vectors
of 3,459 office products and 3,934 Debian packages have a mean cosine of .26 and .19, and the nearest, 10th and 100th
text one of .79, .63, .47 and .76, .55, .40. Of 3,700 that are made: .21, and .76, .61, .40.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from recmem.text.unit_vectors import exact_units

PER_CATEGORY = 100
PER_TOPIC = 10
"""Texts, on average. Some topics have many more: they are drawn by the square of a uniform number."""
COMMON = 0.45
CATEGORY = 0.4
TOPIC = 0.6
TEXT = 0.55
"""Lengths of what all texts share, and of what a category, a topic and a text add to it."""
DECAY = 0.4
"""The i-th direction is i ** -DECAY as wide as the first."""
BLOCK_ROWS = 1 << 18


class MadeTexts:
    """A catalogue of about `n_items` texts, from which `draw` takes vectors on `device`."""

    def __init__(self, n_items: int, dim: int, device: torch.device) -> None:
        self._generator = torch.Generator(device).manual_seed(0)
        self._device = device
        widths = torch.arange(1, dim + 1, device=device) ** -DECAY
        self._widths = widths / widths.norm()
        n_topics = max(n_items // PER_TOPIC, 1)
        categories = CATEGORY * self._normal(max(n_items // PER_CATEGORY, 1))
        categories += COMMON * functional.normalize(self._normal(1), dim=1)
        category = torch.randint(len(categories), (n_topics,), generator=self._generator, device=device)
        self._topics = TOPIC * self._normal(n_topics) + categories[category]

    def draw(self, n: int) -> Tensor:
        """float16[n, dim] on the device, block by block."""
        return torch.cat([self._block(min(BLOCK_ROWS, n - begin)) for begin in range(0, n, BLOCK_ROWS)])

    def _block(self, n: int) -> Tensor:
        uniform = torch.rand(n, generator=self._generator, device=self._device)
        topic = (uniform.square() * len(self._topics)).long()
        return exact_units(self._topics[topic] + TEXT * self._normal(n)).half()

    def _normal(self, n: int) -> Tensor:
        drawn = torch.randn((n, len(self._widths)), generator=self._generator, device=self._device)
        return drawn.mul_(self._widths)
