"""Past queries to replay: users at times when they did something, with items to score."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from feature_store.arrays import IntArray
from feature_store.ragged import Ragged
from recmem.dataset.dataset import Dataset

N_ITEMS = 10
"""Items per query: those that the user interacted with at that time, filled up at random."""


@dataclass(frozen=True, eq=False)
class PastQueries:
    """Users at past times, in order of time, with the items to score for each."""

    users: IntArray
    """User rows of the dataset that the queries were drawn from."""
    times: IntArray
    """Microseconds."""
    items: Ragged
    """Rows of the catalogue, per query."""

    @classmethod
    def sample(cls, dataset: Dataset, n: int, generator: np.random.Generator) -> PastQueries:
        """At most `n` distinct (user, time) pairs with an event, each with up to `N_ITEMS` distinct items.

        If there are cancellations, the last time before each and the first one after it are drawn from as well.
        """
        user_rows, event_times, item_rows = _interactions(dataset)
        order = np.lexsort((user_rows, event_times))
        users = user_rows[order]
        times = event_times[order]
        # Each run of events of one user at one time is a query.
        all_begins = np.flatnonzero(np.diff(users, prepend=-1) | np.diff(times, prepend=-1))
        chosen = np.sort(generator.choice(len(all_begins), min(n, len(all_begins)), replace=False))
        begins = all_begins[chosen]
        ends = np.append(all_begins, len(order))[chosen + 1]
        items = [
            _items(item_rows[order[begin:end]], len(dataset.catalogue), generator)
            for begin, end in zip(begins, ends, strict=True)
        ]
        return cls(users[begins], times[begins], Ragged.from_lists(items))

    def __len__(self) -> int:
        return len(self.users)

    def take(self, rows: IntArray) -> PastQueries:
        """The given queries, in the given order."""
        return PastQueries(self.users[rows], self.times[rows], self.items.take(rows))

    def at(self, time: int) -> PastQueries:
        """The same users and items at another time."""
        return replace(self, times=np.full(len(self), time))

    def within(self, dataset: Dataset, target: Dataset) -> PastQueries:
        """The same queries with the user rows of another dataset, `target`, in place of those of `dataset`."""
        return replace(self, users=target.user_rows(dataset.users.gather(self.users)))


def _interactions(dataset: Dataset) -> tuple[IntArray, IntArray, IntArray]:
    """Users, times and items of all events; of cancelled ones also just before and at the cancellation."""
    log = dataset.log
    cancelled = dataset.cancelled
    if cancelled is None:
        return log.user_rows, log.times, log.item_rows
    cancelled_times = (cancelled.log.times, cancelled.cancelled_at - 1, cancelled.cancelled_at)
    n_times = len(cancelled_times)
    users = np.concatenate([log.user_rows, *[cancelled.log.user_rows] * n_times])
    items = np.concatenate([log.item_rows, *[cancelled.log.item_rows] * n_times])
    return users, np.concatenate([log.times, *cancelled_times]), items


def _items(interacted: IntArray, n_items: int, generator: np.random.Generator) -> IntArray:
    """The items that the user interacted with, filled up with random ones."""
    own = np.unique(interacted)[:N_ITEMS]
    return np.unique(np.append(own, generator.integers(n_items, size=N_ITEMS - len(own))))
