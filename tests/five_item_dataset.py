"""A dataset of five items and three users for any small log, and a matcher over random texts."""

from __future__ import annotations

import functools
from collections.abc import Sequence

import polars as pl
import torch
from torch import Tensor

from feature_store import SignalConfig
from feature_store.point_in_time.counters import CounterConfig
from feature_store.point_in_time.covisitation import CovisitationConfig
from recmem.dataset.catalogue import Catalogue
from recmem.dataset.dataset import Dataset, DatasetConfig
from recmem.matching.match_module import MatchConfig, MatchModule
from recmem.matching.matcher import Matcher
from recmem.matching.user_memory import MemoryConfig
from recmem.text.unit_vectors import exact_units
from slow_reference import Event, Showing
from strategies import ITEMS, N_ITEMS, event_frame, impression_frame

N_TEXTS = N_ITEMS + 2
"""Texts of the matcher: two are of no item of the catalogue."""
CPU = torch.device("cpu")
CONFIG = DatasetConfig(
    signals=SignalConfig(),
    counters=CounterConfig(short=2, medium=4, long=8, span=20),
    covisitation=CovisitationConfig(shrinkage=1.5, lags=2, ease_ridge=2.0),
    refresh_origin=2,
    refresh_every=3,
)


@functools.cache
def catalogue() -> Catalogue:
    """Five items with a title and a price; one price is missing."""
    table = pl.DataFrame(
        {"item_id": ITEMS, "title": [f"item {n}" for n in range(N_ITEMS)], "price": [1, 2, None, 4, 5]}
    )
    return Catalogue.of(table, ("title",))


def dataset_of(log: Sequence[Event], shown: Sequence[Showing] = ()) -> Dataset:
    """The dataset of these events and impressions."""
    return Dataset.of(catalogue(), event_frame(log), impression_frame(shown), CONFIG)


@functools.cache
def matcher(recent: int = 4, retrieved: int = 0, device: torch.device = CPU) -> Matcher:
    """A match module with random weights over random unit vectors."""
    generator = torch.Generator().manual_seed(0)
    module = MatchModule(MatchConfig(dim=8, n_heads=2, head_dim=3), generator)
    with torch.no_grad():
        for weight in module.parameters():
            weight.add_(torch.randn(weight.shape, generator=generator) * 0.2)
    unit = exact_units(torch.randn((N_TEXTS, 8), generator=generator))
    memory = MemoryConfig(recent=recent, retrieved=retrieved, retrieved_from=5, negatives=True)
    return Matcher.of(module.eval().to(device), unit.to(device), memory)


def unit_vectors() -> Tensor:
    """The vectors that `matcher` is over: float32[text, 8]."""
    return matcher().tables.unit.float()
