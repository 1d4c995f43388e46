"""Answers to batches of requests: one call of the model for all of them, and each request's own rows of the result."""

from __future__ import annotations

import json
from collections.abc import Callable, Hashable, Iterator, Sequence
from itertools import groupby
from typing import Any, TypeVar

import numpy as np
import polars as pl

from feature_store.timestamps import TIMESTAMP
from recmem.server.current_model import Loaded
from recmem.server.requests import (
    Candidate,
    ExplainAnswer,
    ExplainRequest,
    MatchAnswer,
    MatchedItem,
    RankAnswer,
    RankedItem,
    RankRequest,
    ReasonSlot,
    RecommendAnswer,
    Recommendations,
    RecommendedItem,
    RecommendRequest,
    ScoreRequest,
)
from recmem.serving.row_reasons import REASONS

OneUsers = TypeVar("OneUsers", bound=ScoreRequest)
Asked = TypeVar("Asked")
Answered = TypeVar("Answered")


def rank_answers(loaded: Loaded, requests: Sequence[RankRequest]) -> list[RankAnswer]:
    """The candidates of each request, the best first; requests with the same columns and `explain` are one call."""
    return _in_groups(requests, _call_of, lambda alike: _rank_alike(loaded, alike))


def match_answers(loaded: Loaded, requests: Sequence[ScoreRequest]) -> list[MatchAnswer]:
    """The match of each request's candidates, in the order of the request; as `rank_answers`."""
    return _in_groups(requests, _call_of, lambda alike: _match_alike(loaded, alike))


def recommend_answers(loaded: Loaded, requests: Sequence[RecommendRequest]) -> list[RecommendAnswer]:
    """The best items for the users of each request; requests with the same `k` and time are one call."""
    return _in_groups(
        requests, lambda request: (request.k, request.timestamp), lambda alike: _recommend_alike(loaded, alike)
    )


def explain_answer(loaded: Loaded, request: ExplainRequest) -> ExplainAnswer:
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
                item_id=str(slot.item_id),
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
    requests: Sequence[Asked], key: Callable[[Asked], Hashable], answer: Callable[[Sequence[Asked]], Sequence[Answered]]
) -> list[Answered]:
    """The answer to each request, where one call answers all requests of the same key."""
    answers: dict[int, Answered] = {}
    keys = [key(request) for request in requests]
    for one in dict.fromkeys(keys):
        numbers = [number for number, other in enumerate(keys) if other == one]
        answers |= zip(numbers, answer([requests[number] for number in numbers]), strict=True)
    return [answers[number] for number in range(len(requests))]


def _call_of(request: ScoreRequest) -> Hashable:
    """What the requests of one call have in common: the number of reasons, and the further columns of candidates.

    The columns with their types: what others bring must not change a request's answer.
    """
    given = [item.fields for item in request.items if isinstance(item, Candidate)]
    columns = frozenset((name, type(cell)) for fields in given for name, cell in fields.items())
    return request.explain, columns


def _rank_alike(loaded: Loaded, requests: Sequence[RankRequest]) -> list[RankAnswer]:
    scored = loaded.model.rank_with_report(_candidates(requests), explain=requests[0].explain)
    ranked = scored.frame.with_columns(unknown_item=~scored.item_is_known)
    answers = []
    for request, begin in _begins(requests):
        rows = ranked.slice(begin, len(request.items)).sort("rank", maintain_order=True)
        if request.k is not None:
            rows = rows.filter(pl.col("rank") <= request.k)
        answers.append(
            RankAnswer(
                user_id=request.user_id,
                unknown_user=not scored.user_is_known[begin],
                model=loaded.name,
                items=[RankedItem(**_fields(row, RankedItem)) for row in rows.iter_rows(named=True)],
            )
        )
    return answers


def _match_alike(loaded: Loaded, requests: Sequence[ScoreRequest]) -> list[MatchAnswer]:
    scored = loaded.model.match_with_report(_candidates(requests), explain=requests[0].explain)
    matched = scored.frame.with_columns(unknown_item=~scored.item_is_known)
    return [
        MatchAnswer(
            user_id=request.user_id,
            unknown_user=not scored.user_is_known[begin],
            model=loaded.name,
            items=[
                MatchedItem(**_fields(row, MatchedItem))
                for row in matched.slice(begin, len(request.items)).iter_rows(named=True)
            ],
        )
        for request, begin in _begins(requests)
    ]


def _fields(row: dict[str, Any], answered: type[MatchedItem]) -> dict[str, Any]:
    """The cells of a scored row that the answer has, the reasons read from their JSON."""
    cells = {name: row[name] for name in answered.model_fields if name != REASONS}
    return cells | ({REASONS: json.loads(row[REASONS])} if REASONS in row else {})


def _recommend_alike(loaded: Loaded, requests: Sequence[RecommendRequest]) -> list[RecommendAnswer]:
    users = [user for request in requests for user in request.user_ids]
    distinct = list(dict.fromkeys(users))
    first = requests[0]
    scored = loaded.model.recommend_with_report(distinct, k=first.k, timestamp=first.timestamp)
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


def _begins(requests: Sequence[OneUsers]) -> Iterator[tuple[OneUsers, int]]:
    """Each request, and the row of the frame of `_candidates` at which its own begin."""
    lengths = [len(request.items) for request in requests]
    return zip(requests, np.cumsum([0, *lengths[:-1]]).tolist(), strict=True)


def _candidates(requests: Sequence[ScoreRequest]) -> pl.DataFrame:
    """The candidates of all requests, one after the other."""
    given = [candidate for request in requests for candidate in request.items]
    lengths = [len(request.items) for request in requests]
    number = np.repeat(np.arange(len(requests)), lengths)
    frame = pl.DataFrame(
        {
            "item_id": [item.item_id if isinstance(item, Candidate) else item for item in given],
            # Requests are queries of their own, also if they are of the same user at the same time.
            "impression_id": number,
        }
    )
    users = pl.Series("user_id", [request.user_id for request in requests], dtype=pl.String)
    times = pl.Series("timestamp", [request.timestamp for request in requests], dtype=TIMESTAMP)
    columns = [users.gather(number), times.gather(number)]
    if any(request.history is not None for request in requests):
        histories = [request.history for request in requests]
        columns.append(pl.Series("history", histories, dtype=pl.List(pl.String)).gather(number))
    return frame.with_columns(
        *columns, *_given_columns(given, taken={*frame.columns, "user_id", "timestamp", "history"})
    )


def _given_columns(given: Sequence[str | Candidate], taken: set[str]) -> Iterator[pl.Series]:
    """The further columns that came with candidates, texts and features of their own; null where one has none."""
    fields = [item.fields if isinstance(item, Candidate) else {} for item in given]
    for name in dict.fromkeys(name for each in fields for name in each):
        if name in taken:
            continue
        cells = [each.get(name) for each in fields]
        try:
            yield pl.Series(name, cells, strict=True)
        except (TypeError, OverflowError, pl.exceptions.PolarsError):  # values of several types
            yield pl.Series(name, [None if cell is None else str(cell) for cell in cells], dtype=pl.String)
