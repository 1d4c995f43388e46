"""The online side of the parity audit: events and rows of users observed in this process, or by shared memories."""

from __future__ import annotations

from dataclasses import replace
from typing import Protocol

import polars as pl

from recmem.audit.past_queries import PastQueries
from recmem.dataset.dataset import Dataset
from recmem.dataset.shared_memories import RedisMemories, publish, with_shared_memories, write


class OnlineSide(Protocol):
    """A process that takes rows in one after the other, and is read in between."""

    def observe(self, events: pl.DataFrame) -> None:
        """Takes events in."""
        ...

    def observe_users(self, rows: pl.DataFrame) -> None:
        """Takes rows of the users table in."""
        ...

    def dataset(self, users: pl.Series, queries: PastQueries) -> Dataset:
        """What is known by now, ready for these queries of these users."""
        ...


class InProcess:
    """Events kept by the process itself."""

    def __init__(self, dataset: Dataset) -> None:
        self._dataset = dataset

    def observe(self, events: pl.DataFrame) -> None:
        """See `OnlineSide`."""
        self._dataset = self._dataset.with_events(events)

    def observe_users(self, rows: pl.DataFrame) -> None:
        """See `OnlineSide`."""
        self._dataset = self._dataset.with_user_rows(rows)

    def dataset(self, users: pl.Series, queries: PastQueries) -> Dataset:
        """See `OnlineSide`."""
        return self._dataset


class InSharedMemories:
    """Events kept in shared memories. Co-visitation is that of `whole`: processes load it from the tables anew.

    What is known of users is no part of shared memories: each process keeps it.
    """

    def __init__(self, dataset: Dataset, memories: RedisMemories, whole: Dataset, first: int) -> None:
        """`dataset`: what was known at the time `first`; `whole`: all events."""
        self._dataset = replace(dataset, timeline=whole.timeline)
        self._memories = memories
        publish(dataset, memories, answers_from=first)

    def observe(self, events: pl.DataFrame) -> None:
        """See `OnlineSide`."""
        write(self._dataset, self._memories, events)

    def observe_users(self, rows: pl.DataFrame) -> None:
        """See `OnlineSide`."""
        self._dataset = self._dataset.with_user_rows(rows)

    def dataset(self, users: pl.Series, queries: PastQueries) -> Dataset:
        """See `OnlineSide`."""
        items = queries.items.values
        item_times = queries.times[queries.items.row_index]
        return with_shared_memories(self._dataset, self._memories, users, queries.times, items, item_times)[0]
