"""Which items go with which: three item-item models of the log as it was known at one moment, and their refreshes.

`together`: cosine of who interacted with both, shrunk. `follow`: how often the candidate came within the next few
moments after an item of the history. `ease`: co-occurrence with the other items' share explained away (EASE, Steck,
WWW 2019), among the most frequent items.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from importlib.util import find_spec
from threading import Lock

import numpy as np
import scipy.sparse as sp

from feature_store.arrays import Float32Array, Int8Array, IntArray
from feature_store.point_in_time.event_log import EventLog
from feature_store.point_in_time.histories import Histories
from feature_store.point_in_time.online_log import OnlineLog
from feature_store.ragged import Ragged


@dataclass(frozen=True)
class CovisitationConfig:
    """How the item-item models are fitted and how a history weighs in them."""

    shrinkage: float = 3.0
    """Added to the norm in `together`: a pair seen once is not yet a rule."""
    neighbours: int = 200
    """Entries kept per item; the strongest."""
    lags: int = 5
    """`follow` looks this many moments of the user ahead, with weight 1 / lag."""
    ease_items: int = 4000
    """`ease` covers this many items, the most frequent; its cost grows with the cube."""
    ease_ridge: float = 100.0
    """Regularisation of `ease`."""
    half_lives: tuple[float, float] = (3.0, 20.0)
    """PastQueries of the user after which an event weighs half, in the `_recent` columns and in `follow` and `ease`."""
    history: int = 200
    """Events per user that are read, the newest."""


PICKED_CELLS = 600_000
"""Histories times items that `pair_scores` holds at once where it reckons with all items."""
FEATURES = ("together", "together_recent", "follow", "follow_recent", "ease", "ease_recent")


@dataclass(frozen=True, eq=False)
class Covisitation:
    """Item-item weights as of one moment: sparse float32[item, item], row = what was seen, column = candidate."""

    together: sp.csr_matrix
    follow: sp.csr_matrix
    ease: sp.csr_matrix
    config: CovisitationConfig

    @classmethod
    def fit(cls, log: EventLog, n_items: int, config: CovisitationConfig) -> Covisitation:
        """The weights of all events in `log`."""
        rows = log.by_user.order
        users, items = log.user_rows[rows], log.item_rows[rows]
        together = _co_occurrence(users, items, n_items, config.history)
        moments = _moments(users, log.times[rows])
        return cls(
            together=strongest(_cosine(together, config.shrinkage), config.neighbours),
            follow=strongest(_follow(users, items, log.signs[rows], moments, n_items, config.lags), config.neighbours),
            ease=strongest(_ease(together, config.ease_items, config.ease_ridge), config.neighbours),
            config=config,
        )

    def scores(self, histories: Histories, items: IntArray | None = None) -> dict[str, Float32Array]:
        """How each of the given items, or each of the catalogue, goes with each history: float32[query, item] each."""
        weights = self._weights(histories)
        scores = {name: weights[weight] @ model for name, (weight, model) in self._plan().items()}
        return {name: (grid if items is None else grid[:, items]).toarray() for name, grid in scores.items()}

    def pair_scores(self, histories: Histories, candidates: Ragged, *, n_threads: int = 1) -> dict[str, Float32Array]:
        """How each history's own candidates go with it: float32, one entry per value; 0 for rows that are no items.

        The numbers of `scores` to the bit. Where numba is installed, the others are not reckoned at all.
        """
        if find_spec("numba") is None:
            return self._picked(histories, candidates)
        from feature_store.point_in_time.covisitation_numba import pair_sums  # an extra, and slow to import

        weights, plan, columns = self._weights(histories), self._plan(), {}
        for name in FEATURES[::2]:
            recent = f"{name}_recent"
            both = (weights[plan[name][0]], weights[plan[recent][0]])
            sums = pair_sums(both, plan[name][1], candidates, n_threads=n_threads)
            columns[name], columns[recent] = sums
        return columns

    def _picked(self, histories: Histories, candidates: Ragged) -> dict[str, Float32Array]:
        """`pair_scores` out of `scores`, some histories at a time."""
        columns = {name: np.zeros(len(candidates.values), np.float32) for name in FEATURES}
        items = np.unique(candidates.values[candidates.values < self.together.shape[0]])
        size = max(PICKED_CELLS // max(len(items), 1), 1)
        for begin in range(0, len(candidates), size):
            rows = np.arange(begin, min(begin + size, len(candidates)))
            some, asked = candidates.take(rows), candidates.index_of(rows)
            known = some.values < self.together.shape[0]
            places = np.searchsorted(items, some.values[known])
            for name, grid in self.scores(histories.take(rows), items).items():
                columns[name][asked[known]] = grid[some.row_index[known], places]
        return columns

    def _weights(self, histories: Histories) -> dict[str, sp.csr_matrix]:
        """How much each item of a history counts, by weighting; the same items in the same order in all."""
        fast, slow = self.config.half_lives
        unit = np.ones(len(histories.times), np.float32)
        n_items = self.together.shape[0]
        return {
            "all": _weighted(histories, unit, n_items, once=True),
            "slow": _weighted(histories, _decay(histories.recency, slow), n_items),
            "fast": _weighted(histories, _decay(histories.recency, fast), n_items),
        }

    def _plan(self) -> dict[str, tuple[str, sp.csr_matrix]]:
        """Weighting and model of each column; a column and its `_recent` read one model."""
        return {
            "together": ("all", self.together),
            "together_recent": ("fast", self.together),
            "follow": ("slow", self.follow),
            "follow_recent": ("fast", self.follow),
            "ease": ("all", self.ease),
            "ease_recent": ("slow", self.ease),
        }


@dataclass(eq=False)
class CovisitationTimeline:
    """The item-item models as they stood at each refresh: at time t the one of the last refresh at or before t.

    Refreshes lie `refresh` microseconds apart, counted from `origin`, so that training and serving read the same one.
    """

    log: EventLog | OnlineLog
    n_items: int
    origin: int
    refresh: int
    config: CovisitationConfig = field(default_factory=CovisitationConfig)
    _fitted: dict[int, Covisitation] = field(default_factory=dict, repr=False)
    _fitting: Lock = field(default_factory=Lock, repr=False)
    """Held while a refresh is fitted, so that threads that need the same one fit it once."""

    def periods(self, times: IntArray) -> IntArray:
        """The number of the refresh that serves each time: int64."""
        return (times - self.origin) // self.refresh

    def at(self, period: int) -> Covisitation:
        """The models of a refresh, fitted on first use to what was known then."""
        fitted = self._fitted.get(period)
        if fitted is not None:
            return fitted
        with self._fitting:
            if period not in self._fitted:
                self._fitted[period] = self._fit(period)
            return self._fitted[period]

    def _fit(self, period: int) -> Covisitation:
        """The models of a refresh: those of another one if no event became known between the two."""
        n_changes = self._n_changes(period)
        same = next((p for p in self._fitted if self._n_changes(p) == n_changes), None)
        if same is not None:
            return self._fitted[same]
        return Covisitation.fit(self.log.until(self._moment(period)), self.n_items, self.config)

    def take_over(self, earlier: CovisitationTimeline, *, before: int) -> None:
        """Keeps what was fitted for refreshes earlier than `before`, the first moment at which the logs differ."""
        # A copy: other threads may still be fitting refreshes of the earlier timeline.
        kept = {period: fitted for period, fitted in earlier._fitted.copy().items() if self._moment(period) < before}
        self._fitted.update(kept)

    def _moment(self, period: int) -> int:
        return self.origin + period * self.refresh

    def _n_changes(self, period: int) -> int:
        return self.log.n_changes(self._moment(period))


def strongest(weights: sp.csr_matrix, keep: int) -> sp.csr_matrix:
    """The `keep` largest entries of each row; positive ones only."""
    weights = weights.tocsr()
    weights.data[weights.data < 0] = 0
    weights.eliminate_zeros()
    lengths = np.diff(weights.indptr)
    row = np.repeat(np.arange(weights.shape[0]), lengths)
    order = np.lexsort((-weights.data, row))
    rank = np.arange(len(order)) - np.repeat(weights.indptr[:-1], lengths)
    kept = order[rank < keep]
    entries = (weights.data[kept], (row[kept], weights.indices[kept]))
    return sp.csr_matrix(entries, shape=weights.shape, dtype=np.float32)


def _co_occurrence(users: IntArray, items: IntArray, n_items: int, history: int) -> sp.csr_matrix:
    """How many users interacted with both, counting each user's newest `history` events: float32[item, item]."""
    newest_first = len(users) - np.arange(len(users))
    last_of_user = np.searchsorted(users, users, side="right")
    recent = last_of_user - (len(users) - newest_first) <= history
    shape = (int(users.max(initial=-1)) + 1, n_items)
    seen = sp.csr_matrix((np.ones(int(recent.sum()), np.float32), (users[recent], items[recent])), shape=shape)
    seen.sum_duplicates()
    seen.data[:] = 1
    return (seen.T @ seen).tocsr()


def _cosine(together: sp.csr_matrix, shrinkage: float) -> sp.csr_matrix:
    count = together.diagonal()
    pairs = together.tocoo()
    norm = np.sqrt(count[pairs.row] * count[pairs.col]) + shrinkage
    weight = np.where(pairs.row == pairs.col, 0, pairs.data / norm)
    return sp.csr_matrix((weight, (pairs.row, pairs.col)), shape=pairs.shape, dtype=np.float32)


def _moments(users: IntArray, times: IntArray) -> IntArray:
    """Numbers the (user, time) groups of events sorted by user and time: 0, 0, 1, ..."""
    if not len(users):
        return np.empty(0, np.int64)
    begins = np.r_[True, (users[1:] != users[:-1]) | (times[1:] != times[:-1])]
    return np.cumsum(begins) - 1


def _follow(
    users: IntArray, items: IntArray, signs: Int8Array, moments: IntArray, n_items: int, lags: int
) -> sp.csr_matrix:
    """Sum of 1 / lag over (seen, liked later) of a user, each basket weighing 1; over the root of both totals."""
    total = sp.csr_matrix((n_items, n_items), dtype=np.float32)
    if not len(users):
        return total
    size = np.bincount(moments)
    user_of = np.empty(len(size), np.int64)
    user_of[moments] = users
    weight = (1 / np.sqrt(size[moments])).astype(np.float32)
    seen = sp.csr_matrix((weight, (moments, items)), shape=(len(size), n_items))
    liked = sp.csr_matrix((weight * (signs > 0), (moments, items)), shape=(len(size), n_items))
    for lag in range(1, lags + 1):
        earlier = np.flatnonzero(user_of[lag:] == user_of[:-lag])
        if len(earlier):
            total = total + (seen[earlier].T @ liked[earlier + lag]) / lag
    total.setdiag(0)
    out, into = 1 / np.sqrt(np.asarray(total.sum(1)).ravel() + 1), 1 / np.sqrt(np.asarray(total.sum(0)).ravel() + 1)
    return (sp.diags(out) @ total @ sp.diags(into)).tocsr()


def _ease(together: sp.csr_matrix, n_kept: int, ridge: float) -> sp.csr_matrix:
    """EASE's weights among the `n_kept` most frequent items; the other rows and columns are empty."""
    kept = np.sort(np.argsort(-together.diagonal(), kind="stable")[:n_kept])
    gram = together[kept][:, kept].toarray() + ridge * np.eye(len(kept), dtype=np.float32)
    precision = np.linalg.inv(gram)
    weights = -precision / np.diag(precision)[None]
    np.fill_diagonal(weights, 0)
    small = sp.coo_matrix(np.where(weights > 0, weights, 0))
    return sp.csr_matrix((small.data, (kept[small.row], kept[small.col])), shape=together.shape, dtype=np.float32)


def _decay(recency: IntArray, half_life: float) -> Float32Array:
    return np.exp2(-recency / half_life).astype(np.float32)


def _weighted(histories: Histories, weights: Float32Array, n_items: int, *, once: bool = False) -> sp.csr_matrix:
    """float32[query, item]: the summed weight of each item in each history; 1 per item with `once`."""
    rows = histories.items
    matrix = sp.csr_matrix((weights, rows.values, rows.offsets), shape=(rows.n_rows, n_items))
    matrix.sum_duplicates()
    if once:
        matrix.data[:] = 1
    return matrix
