"""Exact top-k of a table of text vectors, beside faiss's flat index and a plain matrix product."""

from __future__ import annotations

import faiss
import numpy as np
import torch

from benchmarks.timing import Row, compare
from recmem.matching.text_search import ExactSearch, FaissSearch, recall

N_ITEMS = 100_000
DIM = 384
N_QUERIES = 64
K = 100


def search_rows() -> list[Row]:
    """Exact search, checked against faiss's, and faiss's inverted lists with their recall."""
    generator = torch.Generator().manual_seed(0)
    unit = torch.nn.functional.normalize(torch.randn((N_ITEMS, DIM), generator=generator), dim=1)
    queries = torch.nn.functional.normalize(torch.randn((N_QUERIES, DIM), generator=generator), dim=1)
    flat = faiss.IndexFlatIP(DIM)
    flat.add(unit.numpy())
    exact = ExactSearch(unit)
    lists = FaissSearch(unit)
    found = exact.nearest(queries, K)
    expected = flat.search(queries.numpy(), K)[1]
    if np.mean(np.sort(found) == np.sort(expected)) < 0.999:
        raise ArithmeticError("search: expected the rows that faiss finds, got others. Not timed.")
    share = recall(lists, unit, queries, K)
    rows = compare(
        f"top {K} by cosine",
        f"{N_QUERIES} queries, {N_ITEMS:,} x {DIM}",
        {
            "faiss IndexFlatIP": lambda: flat.search(queries.numpy(), K),
            "matmul, topk": lambda: (queries @ unit.T).topk(K),
            "recmem exact": lambda: exact.nearest(queries, K),
            "recmem faiss lists": lambda: lists.nearest(queries, K),
        },
        amount=N_QUERIES,
        unit="queries/s",
    )
    return [*rows[:-1], Row(**(vars(rows[-1]) | {"note": f"recall {share:.2f} on random directions"}))]
