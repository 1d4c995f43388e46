"""The HTTP application and its endpoints."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from concurrent.futures import Future
from contextlib import asynccontextmanager
from functools import partial
from typing import TypeVar

from fastapi import FastAPI, Response
from pydantic import BaseModel

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
    observed_answer,
)
from recmem.server.body_limits import BodyLimits
from recmem.server.current_model import CurrentModel
from recmem.server.metrics import CountRequests, Metrics
from recmem.server.posted_rows import rows_frame
from recmem.server.refusals import add_refusals
from recmem.server.request_bodies import (
    EventsRequest,
    ExplainRequest,
    MatchTextsRequest,
    RankRequest,
    RecommendRequest,
    ScoreRequest,
    UsersRequest,
)
from recmem.server.service import Service

AnswerT = TypeVar("AnswerT", bound=BaseModel)


def create_app(current: CurrentModel, *, follow_every_s: float | None = None, max_waiting: int = 1000) -> FastAPI:
    """The application, which answers with the current model.

    `follow_every_s` are seconds between two looks at the model's alias; None: never. At most `max_waiting` requests of
    an endpoint wait for a batch; more are answered with status 503.
    """
    metrics = Metrics()
    service = Service(current, metrics, follow_every_s, max_waiting)

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
    # The one that is added last comes first: refused bodies are counted too.
    app.add_middleware(BodyLimits)
    app.add_middleware(CountRequests, metrics=metrics, paths=paths)
    return app


def _add_endpoints(app: FastAPI, service: Service) -> None:
    # Without a response model, answers are not validated a second time: they are made by our own classes.
    post = partial(app.post, response_model=None)

    @post("/rank", responses={200: {"model": RankAnswer}}, summary="Rank a user's candidates")
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

    # The next three are plain functions: FastAPI runs them in threads, so they do not hold up the others.
    @app.post("/explain", summary="What an item's scores are made of")
    def explain(request: ExplainRequest) -> ExplainAnswer:
        return explain_answer(service.current.loaded, request)

    @app.post("/events", summary="Add events to users' memories in this service; append them to the store as well")
    def events(request: EventsRequest) -> EventsAnswer:
        return observed_answer(EventsAnswer, service.current.observe(rows_frame(request.events, "events")))

    @app.post(
        "/users", summary="Update attributes and interests of users in this service; append them to the store as well"
    )
    def users(request: UsersRequest) -> UsersAnswer:
        return observed_answer(UsersAnswer, service.current.observe_users(rows_frame(request.users, "users")))

    # These two are not: they take no time, and have to answer while all of those threads are busy.
    @app.get("/healthz", summary="Whether the service answers, and with which model")
    async def healthz() -> Health:
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
    async def metrics() -> Response:
        service.metrics.follow_failed.set(service.current.problem is not None)
        return Response(service.metrics.text(), media_type="text/plain; version=0.0.4; charset=utf-8")


async def _json(future: Future[AnswerT]) -> Response:
    answer = await asyncio.wrap_future(future)
    # Fields that were not asked for, such as reasons, are left out.
    return Response(answer.model_dump_json(exclude_unset=True), media_type="application/json")
