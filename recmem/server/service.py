"""What stands behind the endpoints: the model in use, and a batcher for each endpoint whose requests are batched."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

from pydantic import BaseModel

from recmem.dataset.unmatched_rows import UnmatchedRows
from recmem.server.answers import match_answers, match_text_answers, rank_answers, recommend_answers
from recmem.server.batcher import Batcher
from recmem.server.current_model import CurrentModel, LoadedModel
from recmem.server.metrics import Metrics
from recmem.server.request_bodies import ScoreRequest

MAX_BATCH_ROWS = 20_000
"""Candidates of one batch, at most; a larger request is a batch of its own."""
MAX_BATCH_TEXTS = 1_000
"""Texts of one batch, at most: they are encoded before they are matched."""
MAX_BATCH_USERS = 64
"""Users of one batch of recommendations, at most."""
READS_PER_ROW = 50
"""Items of a history that take as much as one candidate, in a batch."""

RequestT = TypeVar("RequestT", bound=BaseModel)
AnswerT = TypeVar("AnswerT", bound=BaseModel)


class Service:
    """The model in use and the batchers before it, from the application's start to its end."""

    def __init__(self, current: CurrentModel, metrics: Metrics, follow_every_s: float | None, max_waiting: int) -> None:
        self.current = current
        self.metrics = metrics
        self._follow_every_s = follow_every_s
        self._max_waiting = max_waiting

    def start(self) -> None:
        """Starts the batchers, and following the alias."""
        self.rank = self._batcher("/rank", rank_answers, size=_n_rows, max_size=MAX_BATCH_ROWS)
        self.match = self._batcher("/match", match_answers, size=_n_rows, max_size=MAX_BATCH_ROWS)
        self.match_texts = self._batcher(
            "/match_texts", match_text_answers, size=lambda request: len(request.texts), max_size=MAX_BATCH_TEXTS
        )
        self.recommend = self._batcher(
            "/recommend", recommend_answers, size=lambda request: len(request.user_ids), max_size=MAX_BATCH_USERS
        )
        self.metrics.loaded(self.current.loaded)
        self.current.on_load = self.metrics.loaded
        if self._follow_every_s is not None:
            self.current.start_following(self._follow_every_s)

    def close(self) -> None:
        """Answers what waits, and stops following the alias."""
        for batcher in (self.rank, self.match, self.match_texts, self.recommend):
            batcher.close()
        self.current.stop_following()

    def _batcher(
        self,
        path: str,
        answers: Callable[[LoadedModel, Sequence[RequestT], Callable[[UnmatchedRows], None]], Sequence[AnswerT]],
        *,
        size: Callable[[RequestT], int],
        max_size: int,
    ) -> Batcher[RequestT, AnswerT]:
        return Batcher(
            lambda requests: answers(self.current.loaded, requests, self.metrics.unmatched),
            size=size,
            max_size=max_size,
            max_waiting=self._max_waiting,
            on_batch=self.metrics.batch_size.labels(path).observe,
        )


def _n_rows(request: ScoreRequest) -> int:
    """The request's size in a batch: its items, and what they read of a history."""
    return len(request.items) + request.n_read // READS_PER_ROW
