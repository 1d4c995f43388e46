"""Answers to batches of requests: one call of the model for all of them, and each request's own rows of the result."""

from __future__ import annotations

import json
from collections.abc import Callable, Hashable, Sequence
from itertools import groupby
from typing import Any, TypeVar

import polars as pl
from pydantic import BaseModel

from feature_store import Receipt
from recmem.dataset.unmatched_rows import UnmatchedRows
from recmem.server.answer_bodies import (
    ExplainAnswer,
    MatchAnswer,
    MatchedItem,
    MatchedText,
    MatchTextsAnswer,
    ObservedAnswer,
    RankAnswer,
    RankedItem,
    ReasonSlot,
    RecommendAnswer,
    Recommendations,
    RecommendedItem,
)
from recmem.server.candidate_rows import call_key, candidates_frame, columns_read, texts_frame, with_first_rows
from recmem.server.current_model import LoadedModel
from recmem.server.request_bodies import ExplainRequest, MatchTextsRequest, RankRequest, RecommendRequest, ScoreRequest
from recmem.serving.row_reasons import REASONS
from recmem.serving.served_answer import flags

RequestT = TypeVar("RequestT")
AnswerT = TypeVar("AnswerT")
Observed = TypeVar("Observed", bound=ObservedAnswer)
OnUnmatched = Callable[[UnmatchedRows], None]
"""Called with what one call of the model could not match."""


def rank_answers(
    loaded: LoadedModel, requests: Sequence[RankRequest], on_unmatched: OnUnmatched = lambda _: None
) -> list[RankAnswer]:
    """The candidates of each request, the best first; requests with the same columns and `explain` are one call."""
    read = columns_read(loaded.model)
    return _in_groups(
        requests, lambda request: call_key(request, read), lambda alike: _rank_alike(loaded, alike, on_unmatched)
    )


def match_answers(
    loaded: LoadedModel, requests: Sequence[ScoreRequest], on_unmatched: OnUnmatched = lambda _: None
) -> list[MatchAnswer]:
    """The match of each request's candidates, in the order of the request; as `rank_answers`."""
    read = columns_read(loaded.model)
    return _in_groups(
        requests, lambda request: call_key(request, read), lambda alike: _match_alike(loaded, alike, on_unmatched)
    )


def match_text_answers(
    loaded: LoadedModel, requests: Sequence[MatchTextsRequest], on_unmatched: OnUnmatched = lambda _: None
) -> list[MatchTextsAnswer]:
    """The match of each request's texts, in their order; requests with the same `explain` are one call."""
    return _in_groups(
        requests, lambda request: request.explain, lambda alike: _match_texts_alike(loaded, alike, on_unmatched)
    )


def recommend_answers(
    loaded: LoadedModel, requests: Sequence[RecommendRequest], on_unmatched: OnUnmatched = lambda _: None
) -> list[RecommendAnswer]:
    """The best items for the users of each request; requests with the same `k` and time are one call."""
    return _in_groups(
        requests,
        lambda request: (request.k, request.timestamp),
        lambda alike: _recommend_alike(loaded, alike, on_unmatched),
    )


def observed_answer(kind: type[Observed], receipt: Receipt) -> Observed:
    """What became of posted rows."""
    return kind(
        n_new=receipt.n_new,
        n_duplicate=receipt.n_duplicate,
        n_rejected=receipt.n_rejected,
        reasons=receipt.reasons,
        warnings=list(receipt.warnings),
    )


def explain_answer(loaded: LoadedModel, request: ExplainRequest) -> ExplainAnswer:
    """What the scores of one item are made of. Raises DataError if the store lacks the item."""
    explanation = loaded.model.explain(
        request.user_id, request.item_id, timestamp=request.timestamp, features=request.features
    )
    return ExplainAnswer(
        user_id=request.user_id,
        item_id=request.item_id,
        model=loaded.name,
        sentence=explanation.sentence(),
        match_raw=explanation.match_raw,
        base_score=explanation.base_score,
        slots=[
            ReasonSlot(
                item_id=None if slot.item_id is None else str(slot.item_id),
                title=slot.title,
                kind=slot.kind,
                visits_ago=slot.age,
                contribution=slot.contribution,
            )
            for slot in explanation.slots
        ],
        score=explanation.score,
        features=explanation.features,
    )


def _in_groups(
    requests: Sequence[RequestT],
    key: Callable[[RequestT], Hashable],
    answer: Callable[[Sequence[RequestT]], Sequence[AnswerT]],
) -> list[AnswerT]:
    """The answer to each request, where one call answers all requests of the same key."""
    answers: dict[int, AnswerT] = {}
    keys = [key(request) for request in requests]
    for group in dict.fromkeys(keys):
        numbers = [number for number, other in enumerate(keys) if other == group]
        answers |= zip(numbers, answer([requests[number] for number in numbers]), strict=True)
    return [answers[number] for number in range(len(requests))]


def _rank_alike(loaded: LoadedModel, requests: Sequence[RankRequest], on_unmatched: OnUnmatched) -> list[RankAnswer]:
    candidates = candidates_frame(requests, columns_read(loaded.model))
    scored = loaded.model.rank_with_report(candidates, explain=requests[0].explain)
    on_unmatched(scored.unmatched)
    ranked = scored.frame.with_columns(pl.Series(name, values) for name, values in flags(scored).items())
    answers = []
    for request, begin in with_first_rows(requests):
        rows = ranked.slice(begin, len(request.items)).sort("rank", maintain_order=True)
        if request.k is not None and request.k < len(rows):  # it may be larger than polars' numbers
            rows = rows.filter(pl.col("rank") <= request.k)
        answers.append(
            RankAnswer(
                user_id=request.user_id,
                unknown_user=not scored.user_is_known[begin],
                model=loaded.name,
                items=[RankedItem(**_fields(row, RankedItem, request)) for row in rows.iter_rows(named=True)],
            )
        )
    return answers


def _match_alike(loaded: LoadedModel, requests: Sequence[ScoreRequest], on_unmatched: OnUnmatched) -> list[MatchAnswer]:
    candidates = candidates_frame(requests, columns_read(loaded.model))
    scored = loaded.model.match_with_report(candidates, explain=requests[0].explain)
    on_unmatched(scored.unmatched)
    matched = scored.frame.with_columns(pl.Series(name, values) for name, values in flags(scored).items())
    return [
        MatchAnswer(
            user_id=request.user_id,
            unknown_user=not scored.user_is_known[begin],
            model=loaded.name,
            items=[
                MatchedItem(**_fields(row, MatchedItem, request))
                for row in matched.slice(begin, len(request.items)).iter_rows(named=True)
            ],
        )
        for request, begin in with_first_rows(requests)
    ]


def _match_texts_alike(
    loaded: LoadedModel, requests: Sequence[MatchTextsRequest], on_unmatched: OnUnmatched
) -> list[MatchTextsAnswer]:
    scored = loaded.model.match_text_frame(texts_frame(requests), explain=requests[0].explain)
    on_unmatched(scored.unmatched)
    rows = iter(scored.frame.iter_rows(named=True))
    is_known = iter(scored.user_is_known.tolist())
    answers = []
    for request in requests:
        known = [next(is_known) for _ in request.texts]
        texts = [MatchedText(**_fields(next(rows), MatchedText, request)) for _ in request.texts]
        answers.append(
            MatchTextsAnswer(user_id=request.user_id, unknown_user=not known[0], model=loaded.name, texts=texts)
        )
    return answers


def _fields(
    row: dict[str, Any], answered: type[BaseModel], request: ScoreRequest | MatchTextsRequest
) -> dict[str, Any]:
    """The cells of a scored row that the answer has, the reasons read from their JSON."""
    cells = {name: row[name] for name in answered.model_fields if name in row and name != REASONS}
    # Unless the request asks for reasons, a column of this name is the client's own.
    return cells | ({REASONS: json.loads(row[REASONS])} if request.explain else {})


def _recommend_alike(
    loaded: LoadedModel, requests: Sequence[RecommendRequest], on_unmatched: OnUnmatched
) -> list[RecommendAnswer]:
    users = [user for request in requests for user in request.user_ids]
    distinct = list(dict.fromkeys(users))
    first = requests[0]
    scored = loaded.model.recommend_with_report(distinct, k=first.k, timestamp=first.timestamp)
    on_unmatched(scored.unmatched)
    is_known = dict(zip(distinct, scored.user_is_known.tolist(), strict=True))
    items: dict[str, list[RecommendedItem]] = {
        user: [RecommendedItem(**row | {"item_id": str(row["item_id"])}) for row in rows]
        for user, rows in groupby(scored.frame.iter_rows(named=True), key=lambda row: row["user_id"])
    }
    return [
        RecommendAnswer(
            model=loaded.name,
            users=[
                Recommendations(user_id=user, unknown_user=not is_known[user], items=items.get(user, []))
                for user in request.user_ids
            ],
        )
        for request in requests
    ]
