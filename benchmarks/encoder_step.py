"""A step of encoder tuning: every distinct text encoded once, beside encoding the texts of every query for itself."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from benchmarks.timing import Row, compare
from recmem.matching.match_module import MatchConfig, MatchModule
from recmem.matching.user_memory import N_AGES, Slots
from recmem.text.token_batches import pad_tokens, pool_tokens

METHOD = (
    "Forward and backward of a tuning step, encoder and match, in float32: medians over rounds in which both ways take "
    "turns. The gradients of the encoder are compared before timing. Texts are drawn by popularity (Zipf, exponent 1)."
)
DIM = 64
N_LAYERS = 2
TOKENS = 12
N_ITEMS = 5_000
N_QUERIES = 64
N_SLOTS = 50
N_CANDIDATES = 576
TEXTS_AT_ONCE = 2_048


def encoder_rows(device: torch.device) -> list[Row]:
    """One step at 50 slots, with a small encoder of random weights: the ratio is that of the texts encoded."""
    generator = np.random.default_rng(0)
    share = 1 / np.arange(1, N_ITEMS + 1)
    share /= share.sum()
    slots = torch.from_numpy(generator.choice(N_ITEMS, N_QUERIES * N_SLOTS, p=share))
    candidates = torch.from_numpy(generator.choice(N_ITEMS, N_CANDIDATES, replace=False, p=share))
    tokens = torch.from_numpy(generator.integers(5, 1000, (N_ITEMS, TOKENS)))
    model = _model().to(device)
    module = MatchModule(MatchConfig(dim=DIM), torch.Generator().manual_seed(0)).to(device).train()
    owner = torch.arange(N_QUERIES).repeat_interleave(N_SLOTS)
    ages = torch.arange(len(slots)) % N_AGES
    kinds = torch.zeros_like(slots)

    def encode(rows: Tensor) -> Tensor:
        parts = []
        for part in rows.split(TEXTS_AT_ONCE):
            ids, mask = pad_tokens(tokens[part].tolist(), pad_id=0)
            hidden = model(input_ids=ids.to(device), attention_mask=mask.to(device).long()).last_hidden_state
            parts.append(pool_tokens(hidden, mask.to(device), pooling="mean"))
        return torch.cat(parts)

    def score(vectors: Tensor, slot_rows: Tensor, candidate_rows: Tensor, queries: slice) -> Tensor:
        of = (owner >= queries.start) & (owner < queries.stop)
        n_queries = queries.stop - queries.start
        memory = Slots(slot_rows, ages[of], kinds[of], owner[of] - queries.start, n_queries).to(device)
        scores: Tensor = module(module.tables(vectors), memory, candidate_rows.to(device))
        return scores.log_softmax(1)[:, 0].sum()

    def once() -> None:
        model.zero_grad()
        items, rows = torch.unique(torch.cat([slots, candidates]), return_inverse=True)
        vectors = encode(items)
        score(vectors, rows[: len(slots)], rows[len(slots) :], slice(0, N_QUERIES)).backward()

    def for_itself() -> None:
        model.zero_grad()
        for query in range(N_QUERIES):
            own = slots[query * N_SLOTS : (query + 1) * N_SLOTS]
            vectors = encode(torch.cat([own, candidates]))
            rows = torch.arange(len(vectors))
            score(vectors, rows[:N_SLOTS], rows[N_SLOTS:], slice(query, query + 1)).backward()

    ways: dict[str, Callable[[], object]] = {"each query for itself": for_itself, "each text once": once}
    _check(model, ways)
    n_distinct = len(torch.unique(torch.cat([slots, candidates])))
    n_all = N_QUERIES * (N_SLOTS + N_CANDIDATES)
    shape = f"{N_QUERIES} queries, {N_SLOTS} slots, {N_CANDIDATES} candidates: {n_distinct} texts, or {n_all}"
    return compare("encoder tuning step", shape, ways, amount=1, unit="steps/s", rounds=3)


def _model() -> torch.nn.Module:
    from transformers import BertConfig, BertModel

    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=1000,
        hidden_size=DIM,
        num_hidden_layers=N_LAYERS,
        num_attention_heads=4,
        intermediate_size=4 * DIM,
        max_position_embeddings=32,
    )
    model: torch.nn.Module = BertModel(config, add_pooling_layer=False).eval()
    return model


def _check(model: torch.nn.Module, ways: dict[str, Callable[[], object]]) -> None:
    gradients = []
    for way in ways.values():
        way()
        gradients.append([weight.grad.clone() for weight in model.parameters() if weight.grad is not None])
    for first, second in zip(*gradients, strict=True):
        if (first - second).abs().max() > 1e-3 * first.abs().max() + 1e-6:
            raise ArithmeticError("gradients: expected the same of both ways, got others. Not timed.")
