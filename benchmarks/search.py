"""Exact top-k of text vectors, beside faiss's flat index and a plain matrix product; and approximate searches."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from importlib.util import find_spec

import numpy as np
import torch
from torch import Tensor

from benchmarks.made_texts import MadeTexts
from benchmarks.parts import Part
from benchmarks.timing import Row, compare
from recmem.matching.faiss_search import graph_search, list_search
from recmem.matching.text_search import ExactSearch, TextSearch, recall
from recmem.text.unit_vectors import exact_units

N_ITEMS = 100_000
GPU_ITEMS = (1_000_000, 10_000_000)
DIM = 384
N_QUERIES = 64
QUERIES = (1, 64, 1024)
"""Queries that are searched for at once, of approximate searches."""
K = 100
METHOD = (
    "Medians over rounds in which an approximate search and the exact one take turns, after a warm-up; ratios are to "
    "the exact one. Recall: the share of the exact rows that is found. Vectors are made: benchmarks/made_texts.py."
)
INDEXES: dict[str, Callable[[Tensor], TextSearch]] = {"faiss lists": list_search, "faiss graph": graph_search}


def search_rows() -> list[Row]:
    """Exact search on a CPU, checked against faiss's."""
    import faiss  # a bare GPU machine has none

    generator = torch.Generator().manual_seed(0)
    unit = exact_units(torch.randn((N_ITEMS, DIM), generator=generator))
    queries = exact_units(torch.randn((N_QUERIES, DIM), generator=generator))
    flat = faiss.IndexFlatIP(DIM)
    flat.add(unit.numpy())
    exact = ExactSearch(unit)
    found = exact.nearest(queries, K)
    expected = flat.search(queries.numpy(), K)[1]
    if np.mean(np.sort(found) == np.sort(expected)) < 0.999:
        raise ArithmeticError("search: expected the rows that faiss finds, got others. Not timed.")
    return compare(
        f"top {K} by cosine",
        f"{N_QUERIES} queries, {N_ITEMS:,} x {DIM}",
        {
            "faiss IndexFlatIP": lambda: flat.search(queries.numpy(), K),
            "matmul, topk": lambda: (queries @ unit.T).topk(K),
            "recmem exact": lambda: exact.nearest(queries, K),
        },
        amount=N_QUERIES,
        unit="queries/s",
    )


def search_parts(device: torch.device, sizes: Sequence[int]) -> list[Part]:
    """Exact search of each size of catalogue, and each index of faiss beside it."""
    parts = []
    for n_items in sizes:
        parts.append(Part(f"{n_items:,} texts, exact", exact_rows, (device, n_items)))
        parts += [Part(f"{n_items:,} texts, {name}", index_rows, (device, n_items, name)) for name in INDEXES]
    return parts


def exact_rows(device: torch.device, n_items: int) -> Iterator[list[Row]]:
    """Exact search alone."""
    unit, queries = _texts(device, n_items)
    exact = ExactSearch(unit)
    for n_queries in QUERIES:
        yield _rows(n_items, queries[:n_queries], {"exact": exact})


def index_rows(device: torch.device, n_items: int, name: str) -> Iterator[list[Row]]:
    """An index beside the exact search: with its recall and the time to build it. A row that says so without faiss."""
    if find_spec("faiss") is None:
        note = "not measured: faiss is not installed, see the extras of recmem"
        yield [Row("search", f"{n_items:,} x {DIM}", name, 0.0, "", 0.0, note)]
        return
    unit, queries = _texts(device, n_items)
    exact = ExactSearch(unit)
    begin = time.perf_counter()
    index = INDEXES[name](unit)
    seconds = time.perf_counter() - begin
    note = f"recall {recall(index, unit, queries, K):.3f}, built in {seconds:.3g} s"
    for n_queries in QUERIES:
        rows = _rows(n_items, queries[:n_queries], {"exact": exact, name: index})
        yield [replace(rows[-1], note=note)]


def _texts(device: torch.device, n_items: int) -> tuple[Tensor, Tensor]:
    """Vectors of the catalogue, and of queries. torch keeps no memory beside them, which an index needs."""
    made = MadeTexts(n_items, DIM, device)
    unit = made.draw(n_items)
    queries = made.draw(max(QUERIES))
    del made
    if device.type == "cuda":
        torch.cuda.empty_cache()
    return unit, queries


def _rows(n_items: int, queries: Tensor, searches: dict[str, TextSearch]) -> list[Row]:
    shape = f"{len(queries)} queries, {n_items:,} x {DIM}"
    ways = {name: lambda search=search: search.nearest(queries, K) for name, search in searches.items()}
    return compare(f"nearest {K} texts", shape, ways, amount=len(queries), unit="queries/s")
