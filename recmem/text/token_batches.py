"""Tokens in padded batches, and the vectors that an encoder's hidden states pool to."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Literal

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn import functional

from recmem.text.token_rows import TokenRows

Pooling = Literal["mean", "cls", "last"]


def token_batches(lengths: Sequence[int], *, budget: int) -> Iterator[list[int]]:
    """Rows in batches, the longest first. Rows x longest row stays within `budget` tokens, unless one row exceeds it.

    Longest first, so that padding stays small and a batch that does not fit into memory fails at the start of a run.
    """
    order = np.argsort(-np.asarray(lengths, np.int64), kind="stable").tolist()
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
    rows = TokenRows.of(tokens)
    lengths = torch.from_numpy(rows.lengths)
    starts = torch.from_numpy(rows.offsets[:-1])
    return pad_rows(torch.from_numpy(rows.ids), starts, lengths, longest=int(lengths.max()), pad_id=pad_id)


def pad_rows(
    ids: Int[Tensor, " all"],
    starts: Int[Tensor, " batch"],
    lengths: Int[Tensor, " batch"],
    *,
    longest: int,
    pad_id: int,
) -> tuple[Int[Tensor, "batch token"], Bool[Tensor, "batch token"]]:
    """`pad_tokens` of rows that lie in one tensor: `lengths[row]` ids from `starts[row]` on.

    `longest` is the largest length, which is on the CPU already: nothing waits for the tensors' device.
    """
    places = torch.arange(longest, device=ids.device)
    mask = places < lengths.unsqueeze(1)  # [batch, token]
    inside = (starts.unsqueeze(1) + places).masked_fill(~mask, 0)
    return ids[inside].long().masked_fill(~mask, pad_id), mask


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
