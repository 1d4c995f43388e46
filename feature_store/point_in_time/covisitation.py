"""Which items go with which: three item-item models of the log as it was known at one time, and their refreshes.

`together`: shrunk cosine of the users who interacted with both items. `follow`: how often the candidate came within the
next few visits after an item of the history. `ease`: co-occurrence with the other items' share explained away (EASE,
Steck, WWW 2019), among the most frequent items. `covisitation_fit` computes the weights.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from importlib.util import find_spec

import numpy as np
import scipy.sparse as sp

from feature_store.arrays import Float32Array, IntArray
from feature_store.point_in_time.covisitation_fit import (
    co_occurrence,
    ease_weights,
    follow_weights,
    shrunk_cosine,
    strongest,
    visit_numbers,
)
from feature_store.point_in_time.event_log import EventLog
from feature_store.point_in_time.histories import Histories
from feature_store.point_in_time.online_log import OnlineLog
from feature_store.ragged import Ragged

MAX_GRID_CELLS = 600_000
"""Histories x items in memory at once, where pairs are picked out of the scores of all items."""

WEIGHTINGS = {
    "together": ("all", "fast"),
    "follow": ("slow", "fast"),
    "ease": ("all", "slow"),
}
"""Model to how its feature weighs a history, and how its `_recent` feature does: see `Covisitation._weights`."""
FEATURES = tuple(f"{model}{suffix}" for model in WEIGHTINGS for suffix in ("", "_recent"))


@dataclass(frozen=True)
class CovisitationConfig:
    """How the item-item models are fitted, and how they weigh a history."""

    shrinkage: float = 3.0
    """Added to the norm in `together`, so that a pair of one common user weighs little."""
    neighbours: int = 200
    """Entries kept per item; the strongest."""
    lags: int = 5
    """`follow` looks this many visits of the user ahead, with weight 1 / lag."""
    ease_items: int = 4000
    """`ease` covers this many items, the most frequent; its cost grows with the cube."""
    ease_ridge: float = 100.0
    """Regularisation of `ease`."""
    half_lives: tuple[float, float] = (3.0, 20.0)
    """Visits of the user after which an event weighs half, in the "fast" and "slow" weightings."""
    history: int = 200
    """Events per user that are read, the newest."""


@dataclass(frozen=True, eq=False)
class Covisitation:
    """Item-item weights as of one time: sparse float32[item, item]. Rows: items of the history; columns: candidates."""

    together: sp.csr_matrix
    follow: sp.csr_matrix
    ease: sp.csr_matrix
    config: CovisitationConfig

    @classmethod
    def fit(cls, log: EventLog, n_items: int, config: CovisitationConfig) -> Covisitation:
        """The weights from all events of `log`."""
        # The events by user, and of each user in the order in which they became known.
        events = log.by_user.order
        users = log.user_rows[events]
        items = log.item_rows[events]
        counts = co_occurrence(users, items, n_items, config.history)
        visits = visit_numbers(users, log.times[events])
        follow = follow_weights(users, items, log.signs[events], visits, n_items, config.lags)
        return cls(
            together=strongest(shrunk_cosine(counts, config.shrinkage), config.neighbours),
            follow=strongest(follow, config.neighbours),
            ease=strongest(ease_weights(counts, config.ease_items, config.ease_ridge), config.neighbours),
            config=config,
        )

    @property
    def n_items(self) -> int:
        """Items of the catalogue that the models were fitted on."""
        n_items: int = self.together.shape[0]
        return n_items

    def scores(self, histories: Histories, items: IntArray | None = None) -> dict[str, Float32Array]:
        """How well each of `items`, or of the catalogue, goes with each history: float32[query, item] per feature."""
        weights = self._weights(histories)
        scores = {}
        for name, weightings in WEIGHTINGS.items():
            model = self._model(name)
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
        for name, (weighting, recent_weighting) in WEIGHTINGS.items():
            both = (weights[weighting], weights[recent_weighting])
            scores[name], scores[f"{name}_recent"] = pair_sums(both, self._model(name), candidates, n_threads=n_threads)
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

        "all" gives every item 1; "slow" and "fast" halve an event's weight with each half-life. All of them hold the
        same items in the same order.
        """
        fast, slow = self.config.half_lives
        ones = np.ones(len(histories.times), np.float32)
        return {
            "all": _weighted(histories, ones, self.n_items, once=True),
            "slow": _weighted(histories, _decay(histories.recency, slow), self.n_items),
            "fast": _weighted(histories, _decay(histories.recency, fast), self.n_items),
        }

    def _model(self, name: str) -> sp.csr_matrix:
        return {"together": self.together, "follow": self.follow, "ease": self.ease}[name]


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
    _fitted: dict[int, Covisitation] = field(default_factory=dict, repr=False)

    def periods(self, times: IntArray) -> IntArray:
        """The number of the refresh that serves each time: int64, negative before `origin`."""
        return (times - self.origin) // self.refresh

    def at(self, period: int) -> Covisitation:
        """The models of a refresh, fitted on first use to what was known then."""
        if period not in self._fitted:
            n_changes = self._n_changes(period)
            # Where the log has not changed since another refresh, its models serve.
            same = next((fitted for other, fitted in self._fitted.items() if self._n_changes(other) == n_changes), None)
            self._fitted[period] = self._fit(period) if same is None else same
        return self._fitted[period]

    def take_over(self, earlier: CovisitationTimeline, *, before: int) -> None:
        """Keeps what was fitted for refreshes earlier than `before`, the first time at which the logs differ."""
        kept = {period: fitted for period, fitted in earlier._fitted.items() if self._refresh_time(period) < before}
        self._fitted.update(kept)

    def _fit(self, period: int) -> Covisitation:
        return Covisitation.fit(self.log.until(self._refresh_time(period)), self.n_items, self.config)

    def _refresh_time(self, period: int) -> int:
        return self.origin + period * self.refresh

    def _n_changes(self, period: int) -> int:
        return self.log.n_changes(self._refresh_time(period))


def _decay(recency: IntArray, half_life: float) -> Float32Array:
    return np.exp2(-recency / half_life).astype(np.float32)


def _weighted(histories: Histories, weights: Float32Array, n_items: int, *, once: bool = False) -> sp.csr_matrix:
    """Sparse float32[query, item]: the summed weight of each item in each history; with `once`, 1 for each item."""
    rows = histories.items
    matrix = sp.csr_matrix((weights, rows.values, rows.offsets), shape=(rows.n_rows, n_items))
    matrix.sum_duplicates()
    if once:
        matrix.data[:] = 1
    return matrix
