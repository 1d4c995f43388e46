"""The match, exact search and encoding on a GPU, beside the limits of the hardware measured in the same run."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from benchmarks.gpu_encoding import N_WORDS, encoding_rows
from benchmarks.parts import Part
from benchmarks.scorer import HEAD_DIM, N_HEADS, SHAPES, random_pairs, random_tables, scorer, shape_rows
from benchmarks.timing import Row, compare
from recmem.kernels import PackedTables, match_pairs
from recmem.kernels.pairs import check_rows
from recmem.kernels.top_k import top_rows

DTYPES = (torch.float32, torch.bfloat16, torch.float16)
"""Of tables; recmem serves float16."""
COPIED_BYTES = 4 * 2**30
"""Size of the copy that measures memory bandwidth."""
SQUARE = 8192
"""Side of the matrices whose product measures arithmetic."""
EXPANDED_CELLS = 20_000_000
"""Slots times candidates, where the history is repeated for each candidate."""
EXPANDED = (50, 100, 128)
"""Slots, candidates and dimensions of that."""
N_ROWS = 1_000_000
"""Rows of the table that is searched."""
DIM = 384
ONE_USER_ITEMS = 10_000
"""Items of the catalogue that one user's memory is drawn from."""
QUERIES = (1, 64, 1024)
"""Queries that are searched for at once."""
K = 100
SMALL_ROUNDS = 100
"""How often a small request is timed, which takes less than a millisecond."""
GRID = 2048
"""Vectors hold multiples of 1 / GRID, as those of `recmem.text.unit_vectors.exact_units` do: exact in float16."""


def kernel_parts(device: torch.device, encoder: Path | None = None, *, compiled: bool = True) -> list[Part]:
    """Kernels, and encoding if the folder of an encoder is given; `compiled`: beside torch.compile too."""
    parts = [Part("limits", limit_rows, (device,))]
    for shape in SHAPES:
        name = "match " + " x ".join(map(str, shape))
        parts.append(Part(name, match_rows, (device, shape)))
        if compiled:
            parts.append(Part(f"{name}, torch.compile", compiled_rows, (device, shape)))
    parts += [Part("target attention", expanded_rows, (device,)), Part("one memory", one_memory_rows, (device,))]
    parts += [Part(f"exact search, {n_queries} queries", search_rows, (device, n_queries)) for n_queries in QUERIES]
    if encoder is not None:
        words = (Part(f"encoding, {n_words} words", encoding_rows, (device, encoder, n_words)) for n_words in N_WORDS)
        parts += words
    return parts


def limit_rows(device: torch.device) -> Iterator[list[Row]]:
    """What the hardware allows."""
    yield ceilings(device)


def match_rows(device: torch.device, shape: tuple[int, int, int]) -> Iterator[list[Row]]:
    """One shape, with tables of each type, and with ids as frequent as Zipf's law has them."""
    copied = ceilings(device)[0].rate
    for dtype in DTYPES:
        yield _with_share(shape_rows(device, dtype, *shape), copied, shape, dtype)
    yield shape_rows(device, torch.float16, *shape, draw="zipf")


def compiled_rows(device: torch.device, shape: tuple[int, int, int]) -> Iterator[list[Row]]:
    """One shape beside torch.compile, apart from the others because it may fail where they do not."""
    yield shape_rows(device, torch.float16, *shape, compiled=True)


def ceilings(device: torch.device) -> list[Row]:
    """Bytes per second of a copy (read and written), and operations per second of a bf16 product."""
    source = torch.empty(COPIED_BYTES // 2, dtype=torch.int16, device=device)
    target = torch.empty_like(source)
    square = torch.randn((SQUARE, SQUARE), device=device).bfloat16()
    copied = compare(
        "limit",
        f"{COPIED_BYTES / 2**30:g} GiB",
        {"copy": lambda: target.copy_(source)},
        amount=2 * COPIED_BYTES,
        unit="B/s",
    )
    multiplied = compare(
        "limit",
        f"{SQUARE} x {SQUARE}",
        {"product, bf16": lambda: square @ square},
        amount=2 * SQUARE**3,
        unit="op/s",
    )
    return copied + multiplied


def _with_share(rows: list[Row], copied: float, shape: tuple[int, int, int], dtype: torch.dtype) -> list[Row]:
    """The last way's share of what the copy's bandwidth allows, if each slot and each candidate is read once."""
    n_slots, n_candidates, dim = shape
    # A row of `unit`, and one of `slot_side` or `cand_side`.
    n_bytes = (dim + 2 * N_HEADS * HEAD_DIM) * torch.empty(0, dtype=dtype).element_size()
    per_score = n_bytes * (1 / n_slots + 1 / n_candidates)
    note = f"{rows[-1].rate * per_score / copied:.0%} of the copy, at {per_score:.1f} bytes a score"
    return [*rows[:-1], replace(rows[-1], note=note)]


def expanded_rows(device: torch.device) -> Iterator[list[Row]]:
    """Target attention as libraries write it, with the history repeated for each candidate; one head, no values."""
    n_slots, n_candidates, dim = EXPANDED
    n_memories = EXPANDED_CELLS // (n_slots * n_candidates)
    n_items = n_memories * 10
    packed = PackedTables.of(random_tables(n_items, dim, device))
    memories, candidates = random_pairs(n_items, n_memories, n_slots, n_candidates, device)
    table = packed.unit

    def expanded() -> Tensor:
        history = table[memories.rows].view(n_memories, 1, n_slots, dim)
        history = history.expand(-1, n_candidates, -1, -1).reshape(-1, n_slots, dim)  # [pair, slot, dim]
        target = table[candidates.rows][:, None]  # [pair, 1, dim]
        attention = (history * target).sum(2).softmax(1)  # [pair, slot]
        return ((attention[:, :, None] * history).sum(1) * target[:, 0]).sum(1)

    ways = {"history expanded": expanded, "recmem, four heads": scorer(packed, memories, candidates)}
    shape = f"{n_memories} memories, {n_slots} x {n_candidates} x {dim}, float16"
    with torch.inference_mode():
        yield compare("target attention", shape, ways, amount=n_memories * n_slots * n_candidates, unit="scores/s")


def one_memory_rows(device: torch.device) -> Iterator[list[Row]]:
    """One memory of 50 slots with 100 candidates, from rows on the host to scores on the host, and its parts."""
    from recmem.kernels.pairs_triton import request_of, score_request

    tables = PackedTables.of(random_tables(ONE_USER_ITEMS, DIM, device))
    memories, candidates = random_pairs(ONE_USER_ITEMS, 1, 50, 100, torch.device("cpu"))
    memories = replace(memories, bias=memories.bias.to(device), sign=memories.sign.to(device))
    pinned = device.type == "cuda"
    request = request_of(memories, candidates, pinned=pinned)
    there = request.to(device)
    ways: dict[str, Callable[[], object]] = {
        "recmem": lambda: match_pairs(tables, memories, candidates).columns.cpu(),
        "part: rows checked": lambda: check_rows(tables, memories, candidates),
        "part: request made on the host": lambda: request_of(memories, candidates, pinned=pinned),
        "part: copy to the device": lambda: request.to(device),
        "part: kernel": lambda: score_request(tables, there, memories.bias, memories.sign),
        "part: copy, kernel, copy back, wait": lambda: score_request(
            tables, request.to(device), memories.bias, memories.sign
        ).columns.cpu(),
    }
    with torch.inference_mode():
        rows = compare(
            "match features", "1 memory, 50 x 100 x 384, float16", ways, amount=1, unit="calls/s", rounds=SMALL_ROUNDS
        )
    yield [replace(row, note=f"{1000 / row.rate:.3f} ms a call") for row in rows]


def search_rows(device: torch.device, n_queries: int) -> Iterator[list[Row]]:
    """Exact search in float16, checked against a product and a top-k."""
    generator = torch.Generator(device).manual_seed(0)

    def draw(n: int) -> Tensor:
        vectors = torch.nn.functional.normalize(torch.randn((n, DIM), generator=generator, device=device), dim=1)
        return vectors.mul(GRID).round().div(GRID).half()

    table = draw(N_ROWS)
    queries = draw(n_queries)
    found = torch.from_numpy(top_rows(table, queries, K)).to(device)
    products = queries.float() @ table.float().T
    if not torch.equal(products.gather(1, found).sort(1, descending=True).values, products.topk(K).values):
        raise ArithmeticError("search: expected the largest products, got others. Not timed.")
    del products
    ways: dict[str, Callable[[], object]] = {
        "matmul, topk": lambda: (queries @ table.T).topk(K),
        "recmem exact": lambda: top_rows(table, queries, K),
    }
    shape = f"{n_queries} queries, {N_ROWS:,} x {DIM}, float16"
    rows = compare(f"top {K} by cosine", shape, ways, amount=n_queries, unit="queries/s")
    share = rows[-1].rate * 2 * N_ROWS * DIM / ceilings(device)[1].rate
    yield [*rows[:-1], replace(rows[-1], note=f"{share:.0%} of the product's rate")]
