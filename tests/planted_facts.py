"""A log that only facts explain: a user takes the books of one movement, which is two steps away from each book.

No two books share an author, titles are codes, nobody takes what another has taken, and as many books as are taken
lie in movements without readers: texts, popularity and co-visitation say nothing about which book comes next.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl

N_MOVEMENTS = 200
N_READERS = 120
"""Each reads the books of a movement of their own; the others are read by nobody."""
N_BOOKS = 5
"""Of a movement."""
N_HOURS = 2000
SPACE = "http://books.example.org"


@dataclass(frozen=True)
class PlantedFacts:
    """Tables for a training."""

    items: pl.DataFrame
    events: pl.DataFrame
    facts: pl.DataFrame
    movement_of: dict[str, int]
    """Item id -> its movement."""


def planted_facts(seed: int = 0) -> PlantedFacts:
    """The tables; another seed gives other codes, movements and times."""
    random = np.random.default_rng(seed)
    n_items = N_MOVEMENTS * N_BOOKS
    ids = [f"b{number}" for number in range(n_items)]
    movements = random.permutation(n_items) % N_MOVEMENTS
    codes = random.integers(0, 36, (n_items, 8))
    titles = ["".join("0123456789abcdefghijklmnopqrstuvwxyz"[digit] for digit in row) for row in codes]
    facts = []
    for item, movement in zip(ids, movements.tolist(), strict=True):
        facts.append((item, "author", f"Author of {item}"))
        facts.append((f"Author of {item}", "movement", f"Movement {movement}"))
        # What tells nothing: common, and one that some books share by chance.
        facts.append((item, "language", "English" if random.random() < 0.4 else "French"))
        facts.append((f"Author of {item}", "born in", f"Town {random.integers(60)}"))
    begin = datetime(2026, 1, 1, tzinfo=UTC)
    events = []
    for reader in range(N_READERS):
        books = [item for item, movement in zip(ids, movements, strict=True) if movement == reader]
        hours = np.sort(random.choice(N_HOURS, N_BOOKS, replace=False)).tolist()
        for item, hour in zip(random.permutation(books).tolist(), hours, strict=True):
            events.append((f"reader {reader}", item, begin + timedelta(hours=hour)))
    return PlantedFacts(
        items=pl.DataFrame({"item_id": ids, "title": titles}),
        events=pl.DataFrame(events, schema=["user_id", "item_id", "timestamp"], orient="row"),
        facts=pl.DataFrame(facts, schema=["subject", "relation", "object"], orient="row"),
        movement_of=dict(zip(ids, movements.tolist(), strict=True)),
    )


def random_vectors(items: pl.DataFrame, seed: int = 0) -> pl.DataFrame:
    """Vectors of chance in place of an encoder's, which would find nothing in codes either."""
    numbers = np.random.default_rng(seed).standard_normal((len(items), 16)).astype(np.float32)
    return items.select("item_id").with_columns(vector=pl.Series(numbers.tolist(), dtype=pl.List(pl.Float32)))
