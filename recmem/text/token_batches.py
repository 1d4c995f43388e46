"""Tokens in padded batches, and the vectors that an encoder's hidden states pool to."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Literal

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn import functional

Pooling = Literal["mean", "cls", "last"]


def token_batches(lengths: Sequence[int], *, budget: int) -> Iterator[list[int]]:
    """Rows in batches, the longest first. Rows x longest row stays within `budget` tokens, unless one row exceeds it.

    Longest first, so that padding stays small and a batch that does not fit into memory fails at the start of a run.
    """
    order = sorted(range(len(lengths)), key=lambda row: -lengths[row])
    start = 0
    while start < len(order):
        longest = max(1, lengths[order[start]])
        n_rows = max(1, budget // longest)
        yield order[start : start + n_rows]
        start += n_rows


def pad_tokens(
    tokens: Sequence[Sequence[int]], *, pad_id: int
) -> tuple[Int[Tensor, "batch token"], Bool[Tensor, "batch token"]]:
    """Token ids padded on the right to the longest text, and the mask that is True on real tokens. Both on the CPU."""
    lengths = torch.tensor([len(ids) for ids in tokens])
    mask = torch.arange(int(lengths.max())) < lengths.unsqueeze(1)  # [batch, token]
    token_ids = torch.full(mask.shape, pad_id, dtype=torch.int64)
    token_ids[mask] = torch.tensor([token for ids in tokens for token in ids])
    return token_ids, mask


def pool_tokens(
    hidden: Float[Tensor, "batch token dim"], mask: Bool[Tensor, "batch token"], *, pooling: Pooling
) -> Float[Tensor, "batch dim"]:
    """Unit float32 vectors: the mean of the tokens under the mask, the first token, or the last one. Differentiable.

    `mask` is True on a text's tokens and False on padding; every row has at least one True.
    """
    hidden = hidden.float()
    if pooling == "cls":
        return functional.normalize(hidden[:, 0], dim=-1)
    if pooling == "last":
        last = mask.sum(dim=1) - 1  # padding is on the right
        return functional.normalize(hidden[torch.arange(len(hidden), device=hidden.device), last], dim=-1)
    is_token = mask.unsqueeze(-1)  # [batch, token, 1]
    # masked_fill, not a product: padding may hold NaN.
    total = hidden.masked_fill(~is_token, 0.0).sum(dim=1)
    return functional.normalize(total / is_token.sum(dim=1), dim=-1)
