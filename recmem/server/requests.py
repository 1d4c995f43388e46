"""What the service's endpoints take and give, as JSON; the OpenAPI page is made of it."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

import polars as pl
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from feature_store.timestamps import parse_timestamps
from recmem.serving.row_reasons import MOST_REASONS

MOST_ITEMS = 10_000
"""Candidates of one request, at most."""
MOST_USERS = 1_000
"""Users of one request for recommendations, at most."""
MOST_EVENTS = 10_000
"""Events of one request, at most."""


def read_time(value: object) -> datetime | None:
    """The time of a request: ISO 8601 (UTC without a zone) or epoch seconds. Raises ValueError if it is neither."""
    if value is None:
        return None
    is_time = isinstance(value, str | int | float | datetime) and not isinstance(value, bool)
    times, faults = parse_timestamps(pl.Series("timestamp", [value if is_time else "none"]))
    if faults or times[0] is None:
        raise ValueError(f"expected ISO 8601 text or epoch seconds, got {value!r}")
    time: datetime = times[0]
    return time


def _id_as_text(value: object) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    raise ValueError(f"expected an id as text or a whole number, got {value!r}")


Id = Annotated[str, BeforeValidator(_id_as_text, json_schema_input_type=str | int)]
"""An id as the store has it. Text and whole numbers are the same here: 7 and "7" name one item."""
Time = Annotated[
    datetime | None,
    BeforeValidator(read_time),
    Field(
        description="Use only events before this time: ISO 8601 (UTC without a zone) or epoch seconds. By default just "
        "after the last event."
    ),
]


class Body(BaseModel):
    """A request; a field that it does not know is refused, because it would be a typing error."""

    model_config = ConfigDict(extra="forbid")


class Candidate(BaseModel):
    """A candidate with further columns: its text, for an item that the store lacks, and features of your own."""

    model_config = ConfigDict(extra="allow")
    item_id: Id

    @property
    def fields(self) -> dict[str, Any]:
        """The further columns, such as `title`."""
        return self.model_extra or {}


class ScoreRequest(Body):
    """One user's candidates at one time."""

    user_id: Id
    items: list[Id | Candidate] = Field(
        min_length=1,
        max_length=MOST_ITEMS,
        description="Ids, or objects with `item_id` and further columns: texts, features.",
    )
    timestamp: Time = None
    history: list[Id] | None = Field(
        None, description="Item ids, oldest first, that are read instead of the user's events."
    )
    explain: int = Field(0, ge=0, le=MOST_REASONS, description="The number of reasons to add to each item.")


class RankRequest(ScoreRequest):
    """Candidates to put in order."""

    k: int | None = Field(None, ge=1, description="Leave out items of a rank beyond k; equal scores share a rank.")


class RecommendRequest(Body):
    """Users who want the best items of the store."""

    user_ids: list[Id] = Field(min_length=1, max_length=MOST_USERS)
    k: int = Field(10, ge=1, le=MOST_ITEMS)
    timestamp: Time = None


class ExplainRequest(Body):
    """One item for one user."""

    user_id: Id
    item_id: Id
    timestamp: Time = None
    features: dict[str, Any] | None = Field(None, description="Features of your own of the item, by their columns.")


class EventsRequest(Body):
    """Events to remember, each with `user_id`, `item_id`, `timestamp` and the other columns of the events table."""

    events: list[dict[str, Any]] = Field(min_length=1, max_length=MOST_EVENTS)


class Reason(BaseModel):
    """What one part adds to a score: an item of the memory, a feature, or the sum of several."""

    part: str
    contribution: float
    item_id: str | int | None = Field(None, description="Of an item of the memory.")


class MatchedItem(BaseModel):
    """Match of one candidate."""

    item_id: str
    match_score: float = Field(description="Calibrated, 0 to 1.")
    match_raw: float = Field(description="The raw match score, a logit.")
    unknown_item: bool = Field(description="Whether the store lacks the item: only its text in the request counts.")
    reasons: dict[str, list[Reason]] | None = Field(
        None,
        description="With `explain`: what adds most to `match_raw` and `score` or takes most from them, each with what "
        "it begins with and the sum of all else, so that each list adds up to its score.",
    )


class RankedItem(MatchedItem):
    """Place of one candidate."""

    score: float = Field(description="Relative to the other candidates of the request.")
    rank: int


class MatchAnswer(BaseModel):
    """The candidates in the order of the request."""

    user_id: str
    unknown_user: bool = Field(description="Whether the user has no events in the store, and brought no history.")
    model: str
    items: list[MatchedItem]


class RankAnswer(BaseModel):
    """The candidates, the best first."""

    user_id: str
    unknown_user: bool = Field(description="Whether the user has no events in the store, and brought no history.")
    model: str
    items: list[RankedItem]


class RecommendedItem(BaseModel):
    """An item of the store, and why."""

    item_id: str
    score: float
    rank: int
    match_score: float
    reason: str


class Recommendations(BaseModel):
    """The best items for one user."""

    user_id: str
    unknown_user: bool
    items: list[RecommendedItem]


class RecommendAnswer(BaseModel):
    """The best items for each user, in the order of the request."""

    model: str
    users: list[Recommendations]


class ReasonSlot(BaseModel):
    """What one event of the memory adds to the raw match score."""

    item_id: str
    title: str
    kind: str
    visits_ago: int
    contribution: float


class ExplainAnswer(BaseModel):
    """What an item's scores are made of. Slots and `base_score` add up to `match_raw`, features to `score`."""

    user_id: str
    item_id: str
    model: str
    sentence: str
    match_raw: float
    base_score: float
    slots: list[ReasonSlot]
    score: float
    features: dict[str, float]


class EventsAnswer(BaseModel):
    """What became of the events."""

    n_new: int
    n_duplicate: int
    n_rejected: int
    reasons: dict[str, int] = Field(description="Why events were rejected, with their numbers.")
    warnings: list[str]


class Health(BaseModel):
    """State of the service."""

    status: str
    model: str
    loaded_at: datetime
    n_items: int
    problem: str | None = Field(description="Why a newer version of the model is not in use, if it is not.")
