"""Training steps of the match module from impressions: what was clicked, among what was shown beside it.

A click in the log is compared with items drawn from the catalogue, most of which the user never saw. In an impression
the other items are known to have been seen and left: negatives that are as new and as prominent as the clicked one. The
news recommenders learn from these alone (NAML: Wu et al., IJCAI 2019; NRMS: Wu et al., EMNLP 2019).
"""

from __future__ import annotations

import numpy as np
import torch

from feature_store.arrays import BoolArray
from feature_store.point_in_time.histories import Histories
from feature_store.point_in_time.read_protocol import AsOf
from recmem.matching.user_memory import MemoryConfig, Slots
from training.fitting.match_batches import Batch, Beside
from training.queries import ImpressionQueries


class ImpressionBatches:
    """Draws impressions up to a time, each of them with a click and with an item that was not clicked.

    An impression is known to have ended in clicks right after its time, as counters take it. Only the ratios of weights
    matter. `beside` adds to the memories what is no event.
    """

    def __init__(
        self,
        shown: ImpressionQueries,
        reads: AsOf,
        *,
        until: int,
        memory: MemoryConfig,
        queries: int,
        seed: int,
        beside: Beside | None = None,
    ) -> None:
        before = shown.take(np.flatnonzero(shown.times <= until))
        self._shown = before.take(np.flatnonzero(_is_comparison(before)))
        self._mean_weight = _mean_weight(self._shown)
        self._reads = reads
        self._memory = memory
        self._queries = queries
        self._rng = np.random.default_rng(seed)
        self._beside = beside

    @property
    def n_examples(self) -> int:
        """The impressions that steps are drawn from."""
        return len(self._shown.users)

    def draw(self) -> Batch:
        """The impressions of one step: all that one of them does not show is excluded from its softmax."""
        drawn = self._shown.take(self._rng.integers(self.n_examples, size=self._queries))
        past = self._reads.past(drawn.users, drawn.times, self._memory.n_read())
        candidates = np.unique(drawn.candidates.values)
        is_shown = drawn.candidates.contains(candidates)  # [query, cand]
        clicked = drawn.queries().positives
        positives = clicked.contains(candidates)
        remembered = Histories.of(past)
        if self._beside is not None:
            remembered = self._beside(drawn.users, drawn.times, remembered, clicked)
        weights = None
        if drawn.weights is not None:
            weights = torch.zeros(positives.shape)
            columns = np.searchsorted(candidates, drawn.candidates.values)
            weights[drawn.candidates.row_index, columns] = torch.from_numpy(drawn.weights / self._mean_weight)
        return Batch(
            slots=Slots.of(remembered, self._memory),
            candidates=torch.from_numpy(candidates),
            positives=torch.from_numpy(positives),
            excluded=torch.from_numpy(~is_shown),
            # Nothing is drawn: the softmax is over what was shown.
            log_draws=torch.zeros(len(candidates)),
            weights=weights,
        )


def _mean_weight(shown: ImpressionQueries) -> np.float32:
    """Of all clicks; 1 where none weighs anything."""
    of_clicks = np.empty(0) if shown.weights is None else shown.weights[shown.labels > 0]
    return np.float32(of_clicks.mean(dtype=np.float64) if of_clicks.any() else 1)


def _is_comparison(shown: ImpressionQueries) -> BoolArray:
    """bool[impression]: whether something was clicked, and something was not."""
    n_clicked = np.bincount(shown.candidates.row_index, shown.labels > 0, minlength=shown.candidates.n_rows)
    is_comparison: BoolArray = (n_clicked > 0) & (n_clicked < shown.candidates.lengths)
    return is_comparison
