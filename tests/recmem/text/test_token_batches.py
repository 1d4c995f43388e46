from __future__ import annotations

import torch
from hypothesis import given
from hypothesis import strategies as st

from recmem.text.token_batches import pad_rows, pad_tokens, pool_tokens, token_batches
from tolerances import close


def test_cls_pooling_takes_the_first_token_and_mean_pooling_no_padding() -> None:
    hidden = torch.tensor([[[3.0, 4.0], [5.0, 0.0], [1e9, 1e9]], [[0.0, 2.0], [0.0, 4.0], [0.0, 6.0]]])
    mask = torch.tensor([[True, True, False], [True, True, True]])
    close(pool_tokens(hidden, mask, pooling="cls"), [[0.6, 0.8], [0.0, 1.0]], "float32")
    close(pool_tokens(hidden, mask, pooling="mean"), [[4 / 20**0.5, 2 / 20**0.5], [0.0, 1.0]], "float32")


def test_padding_that_holds_nan_does_not_reach_the_mean() -> None:
    hidden = torch.tensor([[[3.0, 4.0], [float("nan"), float("inf")]]])
    close(pool_tokens(hidden, torch.tensor([[True, False]]), pooling="mean"), [[0.6, 0.8]], "float32")


@given(st.lists(st.lists(st.integers(0, 30_000), min_size=1, max_size=7), min_size=1, max_size=6))
def test_padded_tokens_come_back_under_the_mask(tokens: list[list[int]]) -> None:
    token_ids, mask = pad_tokens(tokens, pad_id=99_999)
    assert [row[inside].tolist() for row, inside in zip(token_ids, mask, strict=True)] == tokens
    assert bool((token_ids[~mask] == 99_999).all())


def test_rows_of_one_tensor_are_padded_in_any_order() -> None:
    ids = torch.tensor([5, 6, 7, 8, 9], dtype=torch.int32)
    padded, mask = pad_rows(ids, torch.tensor([3, 0]), torch.tensor([2, 3]), longest=3, pad_id=1)
    assert padded.tolist() == [[8, 9, 1], [5, 6, 7]]
    assert padded.dtype == torch.int64
    assert mask.tolist() == [[True, True, False], [True, True, True]]


@given(st.lists(st.integers(0, 50), max_size=40), st.integers(1, 120))
def test_batches_hold_each_text_once_within_the_budget(lengths: list[int], budget: int) -> None:
    batches = list(token_batches(lengths, budget=budget))
    assert sorted(row for rows in batches for row in rows) == list(range(len(lengths)))
    assert all(len(rows) == 1 or len(rows) * max(lengths[row] for row in rows) <= budget for rows in batches)


def test_last_pooling_takes_the_last_token_that_is_no_padding() -> None:
    hidden = torch.tensor([[[3.0, 4.0], [5.0, 0.0], [1e9, 1e9]], [[0.0, 2.0], [0.0, 4.0], [6.0, 0.0]]])
    mask = torch.tensor([[True, False, False], [True, True, True]])
    close(pool_tokens(hidden, mask, pooling="last"), [[0.6, 0.8], [1.0, 0.0]], "float32")
