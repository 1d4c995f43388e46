"""Which items go with which: five item-item models of the log as it was known at one time, and their refreshes.

`together`: shrunk cosine of the users who interacted with both items. `follow`: how often the candidate came within the
next few visits after an item of the history. `near`: how close together users interacted with both, in either order.
`ease`: co-occurrence with the other items' share explained away (EASE, Steck, WWW 2019), among the most frequent items.
`ease_text`: the same, where words that two items' texts share count like users that they share, so that items without
an event have weights too. `covisitation_fit` computes the weights.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from importlib.util import find_spec
from threading import Lock
from typing import Protocol

import numpy as np
import scipy.sparse as sp

from feature_store.arrays import Float32Array, IntArray
from feature_store.point_in_time.covisitation_fit import (
    co_occurrence,
    ease_weights,
    follow_weights,
    near_weights,
    shrunk_cosine,
    strongest,
    visit_numbers,
)
from feature_store.point_in_time.event_log import EventLog
from feature_store.point_in_time.histories import Histories
from feature_store.point_in_time.online_log import OnlineLog
from feature_store.ragged import Ragged
from feature_store.settings import check_settings, setting

MAX_GRID_CELLS = 600_000
"""Histories x items in memory at once, where pairs are picked out of the scores of all items."""

WEIGHTINGS = {
    "together": ("all", "fast"),
    "follow": ("slow", "fast"),
    "near": ("fast", "last"),
    "ease": ("all", "slow"),
    "ease_text": ("slow", "fast"),
}
"""Model to how its feature weighs a history, and how its `_recent` feature does: see `Covisitation._weights`."""
FEATURES = tuple(f"{model}{suffix}" for model in WEIGHTINGS for suffix in ("", "_recent"))


@dataclass(frozen=True)
class CovisitationConfig:
    """How the item-item models are fitted, and how they weigh a history."""

    shrinkage: float = setting(3.0, low=0, high=1e9)
    """Added to the norm in `together`, so that a pair of one common user weighs little."""
    neighbours: int = setting(200, low=1, high=1_000_000)
    """Entries kept per item; the strongest."""
    lags: int = setting(5, low=1, high=1000)
    """`follow` looks this many visits of the user ahead, with weight 1 / lag."""
    ease_items: int = setting(4000, low=1, high=20_000)
    """`ease` covers this many items, the most frequent; its cost grows with the cube."""
    ease_ridge: float = setting(100.0, low=1e-2, high=1e12)
    """Regularisation of `ease` and `ease_text`."""
    near_lags: int = setting(5, low=1, high=1000)
    """`near` counts pairs of events that are at most this many visits of the user apart."""
    text_weight: float = setting(100.0, low=0, high=1e9)
    """What the texts' Gram matrix weighs in `ease_text`; a text's similarity with itself is 1. 0: as `ease`."""
    half_lives: tuple[float, float] = setting((3.0, 20.0), low=1e-6, high=1e12)
    """Visits of the user after which an event weighs half, in the "fast" and "slow" weightings."""
    history: int = setting(200, low=1, high=100_000)
    """Events per user that are read, the newest."""

    def __post_init__(self) -> None:
        check_settings(self)


@dataclass(frozen=True, eq=False)
class Covisitation:
    """Item-item weights as of one time: sparse float32[item, item]. Rows: items of the history; columns: candidates."""

    together: sp.csr_matrix
    follow: sp.csr_matrix
    near: sp.csr_matrix
    ease: sp.csr_matrix
    ease_text: sp.csr_matrix
    config: CovisitationConfig

    @classmethod
    def fit(
        cls, log: EventLog, n_items: int, config: CovisitationConfig, words: sp.csr_matrix | None = None
    ) -> Covisitation:
        """The weights from all events of `log`.

        `words`, sparse float32[item, word], are the items' texts as rows of unit length; without them `ease_text` has
        no weights.
        """
        # The events by user, and of each user in the order in which they became known.
        events = log.by_user.order
        users = log.user_rows[events]
        items = log.item_rows[events]
        counts = co_occurrence(users, items, n_items, config.history)
        visits = visit_numbers(users, log.times[events])
        follow = follow_weights(users, items, log.signs[events], visits, n_items, config.lags)
        near = near_weights(users, items, visits, counts, config.near_lags, config.shrinkage)
        ease_text = sp.csr_matrix((n_items, n_items), dtype=np.float32)
        if words is not None:
            weighted = words * np.float32(np.sqrt(config.text_weight))
            ease_text = ease_weights(counts, config.ease_items, config.ease_ridge, weighted)
        return cls(
            together=strongest(shrunk_cosine(counts, config.shrinkage), config.neighbours),
            follow=strongest(follow, config.neighbours),
            near=strongest(near, config.neighbours),
            ease=strongest(ease_weights(counts, config.ease_items, config.ease_ridge), config.neighbours),
            ease_text=strongest(ease_text, config.neighbours),
            config=config,
        )

    @property
    def models(self) -> dict[str, sp.csr_matrix]:
        """The weights by the name of the model."""
        return {name: getattr(self, name) for name in WEIGHTINGS}

    @property
    def n_items(self) -> int:
        """Items of the catalogue that the models were fitted on."""
        n_items: int = self.together.shape[0]
        return n_items

    def scores(self, histories: Histories, items: IntArray | None = None) -> dict[str, Float32Array]:
        """How well each of `items`, or of the catalogue, goes with each history: float32[query, item] per feature."""
        weights = self._weights(histories)
        scores = {}
        for name, model in self.models.items():
            weightings = WEIGHTINGS[name]
            for feature, weighting in zip((name, f"{name}_recent"), weightings, strict=True):
                # sparse [query, item] @ [item, candidate]
                grid = weights[weighting] @ model
                scores[feature] = (grid if items is None else grid[:, items]).toarray()
        return scores

    def pair_scores(self, histories: Histories, candidates: Ragged, *, n_threads: int = 1) -> dict[str, Float32Array]:
        """How well each history's own candidates go with it: float32[pair] per feature; 0 for unknown items.

        Bit for bit the numbers of `scores`. Where numba is installed, only the pairs are computed.
        """
        if find_spec("numba") is None:
            return self._pairs_of_scores(histories, candidates)
        from feature_store.point_in_time.covisitation_numba import pair_sums  # an extra, and slow to import

        weights = self._weights(histories)
        scores = {}
        for name, model in self.models.items():
            weighting, recent_weighting = WEIGHTINGS[name]
            both = (weights[weighting], weights[recent_weighting])
            scores[name], scores[f"{name}_recent"] = pair_sums(both, model, candidates, n_threads=n_threads)
        return scores

    def _pairs_of_scores(self, histories: Histories, candidates: Ragged) -> dict[str, Float32Array]:
        """`pair_scores`, picked out of `scores` for a few histories at a time."""
        pair_scores = {name: np.zeros(len(candidates.values), np.float32) for name in FEATURES}
        items = np.unique(candidates.values[candidates.values < self.n_items])
        n_queries = max(MAX_GRID_CELLS // max(len(items), 1), 1)
        for begin in range(0, len(candidates), n_queries):
            queries = np.arange(begin, min(begin + n_queries, len(candidates)))
            chunk = candidates.take(queries)
            known = chunk.values < self.n_items
            pairs = candidates.index_of(queries)[known]
            grid_rows = chunk.row_index[known]
            grid_columns = np.searchsorted(items, chunk.values[known])
            for name, grid in self.scores(histories.take(queries), items).items():
                pair_scores[name][pairs] = grid[grid_rows, grid_columns]
        return pair_scores

    def _weights(self, histories: Histories) -> dict[str, sp.csr_matrix]:
        """Weighting to how much each item of a history counts: sparse float32[query, item].

        "all" gives every item 1; "slow" and "fast" halve an event's weight with each half-life; "last" leaves all but
        the latest visit without weight. All of them hold the same items in the same order.
        """
        rows = histories.items
        # History and item as one number: sorted, each once.
        keys, item_of_event = np.unique(rows.row_index * self.n_items + rows.values, return_inverse=True)
        begins = np.searchsorted(keys, np.arange(len(histories) + 1) * self.n_items)
        shape = (len(histories), self.n_items)

        def summed(weights: Float32Array) -> sp.csr_matrix:
            # In float64, where the order of an item's events does not show in what is rounded to float32.
            sums = np.bincount(item_of_event, weights, len(keys)).astype(np.float32)
            return sp.csr_matrix((sums, keys % self.n_items, begins), shape=shape)

        fast, slow = self.config.half_lives
        return {
            "all": sp.csr_matrix((np.ones(len(keys), np.float32), keys % self.n_items, begins), shape=shape),
            "slow": summed(decay(histories.recency, slow)),
            "fast": summed(decay(histories.recency, fast)),
            "last": summed((histories.recency == 0).astype(np.float32)),
        }


class FittedModels(Protocol):
    """Where fitted models are kept, see `covisitation_cache`."""

    def fitted(
        self,
        log: EventLog,
        n_items: int,
        config: CovisitationConfig,
        words: Callable[[], sp.csr_matrix | None],
    ) -> Covisitation:
        """`Covisitation.fit` of the log, or what it gave before."""


@dataclass(eq=False)
class CovisitationTimeline:
    """The item-item models as they stood at each refresh: at time t, those of the last refresh at or before t.

    Refreshes lie `refresh` microseconds apart, counted from `origin`, so that training and serving read the same one.
    """

    log: EventLog | OnlineLog
    n_items: int
    origin: int
    refresh: int
    config: CovisitationConfig = field(default_factory=CovisitationConfig)
    words: Callable[[], sp.csr_matrix | None] = lambda: None
    """Gives the items' texts when models are fitted, see `Covisitation.fit`."""
    cache: FittedModels | None = None
    """Where models that were fitted on this log are looked up and kept; not for logs with observed events."""
    caches_only_current: bool = False
    """Whether only the models that serve requests without a time are cached: all refreshes of a long log do not fit."""
    _fitted: dict[int, Covisitation] = field(default_factory=dict, repr=False)
    _fitting: Lock = field(default_factory=Lock, repr=False)
    """Held while a refresh is fitted, so that threads that need the same one fit it once."""

    def __getstate__(self) -> dict[str, object]:
        """For other processes: with the models that are fitted, and without what others would be fitted from."""
        return self.__dict__ | {"words": _no_words, "cache": None, "_fitting": None}

    def __setstate__(self, state: dict[str, object]) -> None:
        self.__dict__.update(state, _fitting=Lock())

    def of_log(self, log: EventLog | OnlineLog) -> CovisitationTimeline:
        """The timeline of another log of the same items; nothing is fitted yet."""
        return CovisitationTimeline(log, self.n_items, self.origin, self.refresh, self.config, self.words)

    def periods(self, times: IntArray) -> IntArray:
        """The number of the refresh that serves each time: int64, negative before `origin`."""
        return (times - self.origin) // self.refresh

    def periods_of(self, times: IntArray) -> list[int]:
        """The distinct refreshes that serve these times, in order."""
        periods: list[int] = np.unique(self.periods(times)).tolist()
        return periods

    def at(self, period: int) -> Covisitation:
        """The models of a refresh, fitted on first use to what was known then."""
        fitted = self._fitted.get(period)
        if fitted is not None:
            return fitted
        with self._fitting:
            if period not in self._fitted:
                self._fitted[period] = self._fit(period)
            return self._fitted[period]

    def take_over(self, earlier: CovisitationTimeline, *, before: int) -> None:
        """Keeps what was fitted for refreshes earlier than `before`, the first time at which the logs differ."""
        # A copy: other threads may still be fitting refreshes of the earlier timeline.
        fitted_earlier = earlier._fitted.copy()
        kept = {period: fitted for period, fitted in fitted_earlier.items() if self._refresh_time(period) < before}
        self._fitted.update(kept)

    def _fit(self, period: int) -> Covisitation:
        """The models of a refresh: those of another one if no event became known between the two."""
        n_changes = self._n_changes(period)
        same = next((fitted for other, fitted in self._fitted.items() if self._n_changes(other) == n_changes), None)
        if same is not None:
            return same
        known = self.log.until(self._refresh_time(period))
        is_cached = not self.caches_only_current or n_changes == self._n_changes(self._current_period)
        if self.cache is not None and is_cached:
            return self.cache.fitted(known, self.n_items, self.config, self.words)
        return Covisitation.fit(known, self.n_items, self.config, self.words())

    def _refresh_time(self, period: int) -> int:
        return self.origin + period * self.refresh

    @property
    def _current_period(self) -> int:
        return int(self.periods(np.array([self.log.clock]))[0])

    def _n_changes(self, period: int) -> int:
        return self.log.n_changes(self._refresh_time(period))


def _no_words() -> sp.csr_matrix | None:
    raise RuntimeError(
        "item-item models: expected to be fitted before they go to another process, got a refresh that was not. This "
        "is a bug; please report it."
    )


def decay(recency: IntArray, half_life: float) -> Float32Array:
    """How much an event of so many visits ago counts."""
    return np.exp2(-recency / half_life).astype(np.float32)
