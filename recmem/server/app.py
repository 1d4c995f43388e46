"""The HTTP application: endpoints, their batches, and errors in words."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import Future
from contextlib import asynccontextmanager
from functools import partial
from typing import TypeVar

from fastapi import FastAPI, Response
from pydantic import BaseModel

from recmem.dataset.unmatched_rows import UnmatchedRows
from recmem.server.answer_bodies import (
    EventsAnswer,
    ExplainAnswer,
    Health,
    MatchAnswer,
    MatchTextsAnswer,
    RankAnswer,
    RecommendAnswer,
    UsersAnswer,
)
from recmem.server.answers import (
    explain_answer,
    match_answers,
    match_text_answers,
    observed_answer,
    rank_answers,
    recommend_answers,
)
from recmem.server.batcher import Batcher
from recmem.server.current_model import CurrentModel, Loaded
from recmem.server.metrics import Counted, Metrics
from recmem.server.posted_rows import rows_frame
from recmem.server.refusals import add_refusals
from recmem.server.requests import (
    EventsRequest,
    ExplainRequest,
    MatchTextsRequest,
    RankRequest,
    RecommendRequest,
    ScoreRequest,
    UsersRequest,
)

BATCH_ROWS = 20_000
"""Candidates of one batch, at most; a larger request is a batch of its own."""
BATCH_TEXTS = 1_000
"""Texts of one batch, at most: they are encoded before they are matched."""
BATCH_USERS = 64
"""Users of one batch of recommendations, at most."""
MOST_BYTES = 8_000_000
"""Of a request's body."""
MOST_SECONDS = 30.0
"""Until a request's body is there; a client that sends it more slowly is refused."""
READ_PER_ROW = 50
"""Items of a history that take as much as one candidate, in a batch."""

Asked = TypeVar("Asked", bound=BaseModel)
Answered = TypeVar("Answered", bound=BaseModel)


def create_app(current: CurrentModel, *, follow_every: float | None = None, waiting: int = 1000) -> FastAPI:
    """The application, which answers with the current model.

    `follow_every` are seconds between two looks at the model's alias; None: never. At most `waiting` requests of an
    endpoint wait for a batch; more are answered with status 503.
    """
    metrics = Metrics()
    service = Service(current, metrics, follow_every, waiting)

    @asynccontextmanager
    async def running(_: FastAPI) -> AsyncIterator[None]:
        service.start()
        try:
            yield
        finally:
            service.close()

    app = FastAPI(
        title="recmem",
        description="Rankings, recommendations and reasons from a recmem model.",
        version="1",
        lifespan=running,
    )
    _add_endpoints(app, service)
    add_refusals(app)
    paths = frozenset(route.path for route in app.routes if hasattr(route, "path"))
    app.add_middleware(Counted, metrics=metrics, paths=paths, most_bytes=MOST_BYTES, most_seconds=MOST_SECONDS)
    return app


class Service:
    """The model in use and the batchers before it, from the application's start to its end."""

    def __init__(self, current: CurrentModel, metrics: Metrics, follow_every: float | None, waiting: int) -> None:
        self.current = current
        self.metrics = metrics
        self._follow_every = follow_every
        self._waiting = waiting

    def start(self) -> None:
        """Starts the batchers, and following the alias."""
        self.rank = self._batcher("/rank", rank_answers, size=_n_rows, most=BATCH_ROWS)
        self.match = self._batcher("/match", match_answers, size=_n_rows, most=BATCH_ROWS)
        self.match_texts = self._batcher(
            "/match_texts", match_text_answers, size=lambda request: len(request.texts), most=BATCH_TEXTS
        )
        self.recommend = self._batcher(
            "/recommend", recommend_answers, size=lambda request: len(request.user_ids), most=BATCH_USERS
        )
        self.metrics.loaded(self.current.loaded)
        self.current.on_load = self.metrics.loaded
        if self._follow_every is not None:
            self.current.start_following(self._follow_every)

    def close(self) -> None:
        """Answers what waits, and stops following the alias."""
        for batcher in (self.rank, self.match, self.match_texts, self.recommend):
            batcher.close()
        self.current.stop_following()

    def _batcher(
        self,
        path: str,
        answers: Callable[[Loaded, Sequence[Asked], Callable[[UnmatchedRows], None]], Sequence[Answered]],
        *,
        size: Callable[[Asked], int],
        most: int,
    ) -> Batcher[Asked, Answered]:
        return Batcher(
            lambda requests: answers(self.current.loaded, requests, self.metrics.unmatched),
            size=size,
            most=most,
            waiting=self._waiting,
            on_batch=self.metrics.batch_size.labels(path).observe,
        )


def _add_endpoints(app: FastAPI, service: Service) -> None:
    # Without a response model, answers are not validated a second time: they are made by our own classes.
    post = partial(app.post, response_model=None)

    @post("/rank", responses={200: {"model": RankAnswer}}, summary="Put a user's candidates in order")
    async def rank(request: RankRequest) -> Response:
        return await _json(service.rank.submit(request))

    @post("/match", responses={200: {"model": MatchAnswer}}, summary="Match candidates with a user's memory")
    async def match(request: ScoreRequest) -> Response:
        return await _json(service.match.submit(request))

    @post(
        "/match_texts",
        responses={200: {"model": MatchTextsAnswer}},
        summary="Match texts that are no items of the store with a user's memory",
    )
    async def match_texts(request: MatchTextsRequest) -> Response:
        return await _json(service.match_texts.submit(request))

    @post("/recommend", responses={200: {"model": RecommendAnswer}}, summary="The best items of the store, and why")
    async def recommend(request: RecommendRequest) -> Response:
        return await _json(service.recommend.submit(request))

    # Those below are plain functions: FastAPI runs them in a thread, so they do not hold up the others.
    @app.post("/explain", summary="What an item's scores are made of")
    def explain(request: ExplainRequest) -> ExplainAnswer:
        return explain_answer(service.current.loaded, request)

    @app.post("/events", summary="Remember events from now on; append them to the store as well")
    def events(request: EventsRequest) -> EventsAnswer:
        return observed_answer(EventsAnswer, service.current.observe(rows_frame(request.events, "events")))

    @app.post("/users", summary="Know attributes and interests of users from now on; append them to the store as well")
    def users(request: UsersRequest) -> UsersAnswer:
        return observed_answer(UsersAnswer, service.current.observe_users(rows_frame(request.users, "users")))

    @app.get("/healthz", summary="Whether the service answers, and with which model")
    def healthz() -> Health:
        current = service.current
        loaded = current.loaded
        return Health(
            status="ok",
            model=loaded.name,
            loaded_at=loaded.loaded_at,
            n_items=len(loaded.model.dataset.catalogue),
            problem=current.problem,
        )

    @app.get("/metrics", summary="Counters for Prometheus", response_class=Response)
    def metrics() -> Response:
        service.metrics.follow_failed.set(service.current.problem is not None)
        return Response(service.metrics.text(), media_type="text/plain; version=0.0.4; charset=utf-8")


def _n_rows(request: ScoreRequest) -> int:
    """What the request takes in a batch: its items, and what they read of a history."""
    return len(request.items) + request.n_read // READ_PER_ROW


async def _json(answer: Future[Answered]) -> Response:
    answered = await asyncio.wrap_future(answer)
    # Fields that were not asked for, such as reasons, are left out.
    return Response(answered.model_dump_json(exclude_unset=True), media_type="application/json")
