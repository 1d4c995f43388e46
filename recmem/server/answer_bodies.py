"""What the service's endpoints answer, as JSON; the OpenAPI page is made of it."""

from __future__ import annotations

from datetime import datetime

from pydantic import BaseModel, Field


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
        description="With `explain`: the largest contributions to `match_raw` and to `score`. Each list also has the "
        "score's starting value and the sum of all other contributions, so it adds up to the score.",
    )


class MatchedText(BaseModel):
    """Match of one text that is no item of the store."""

    text: str
    match_score: float = Field(
        description="0 to 1, as calibrated for items of the store: for order and scale, not the frequency of anything."
    )
    match_raw: float = Field(description="The raw match score, a logit.")
    match_prior: float = Field(description="Part of `match_raw` that depends on the text alone.")
    similarity_max: float = Field(description="Cosine with the most similar remembered event, 0 without events.")
    reason: str
    reasons: dict[str, list[Reason]] | None = Field(None, description="With `explain`, as for items.")


class RankedItem(MatchedItem):
    """Place of one candidate."""

    score: float = Field(description="Relative to the other candidates of the request.")
    rank: int
    missing_features: bool | None = Field(
        None,
        description="Of a model with features of your own: whether one of them counts as missing, because it was left "
        "out, null, or a text that training did not have.",
    )


class MatchAnswer(BaseModel):
    """The candidates in the order of the request."""

    user_id: str
    unknown_user: bool = Field(description="Whether the user has no events in the store, and brought no history.")
    model: str
    items: list[MatchedItem]


class MatchTextsAnswer(BaseModel):
    """The texts in the order of the request."""

    user_id: str
    unknown_user: bool = Field(description="Whether the user has no events in the store.")
    model: str
    texts: list[MatchedText]


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
    """What one slot of the memory adds to the raw match score; one that is no event has no `item_id` and no age."""

    item_id: str | None
    title: str
    kind: str
    visits_ago: int | None
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


class ObservedAnswer(BaseModel):
    """What became of the rows of a table."""

    n_new: int
    n_duplicate: int
    n_rejected: int
    reasons: dict[str, int] = Field(description="Why rows were rejected, with their numbers.")
    warnings: list[str]


class EventsAnswer(ObservedAnswer):
    """What became of the events."""


class UsersAnswer(ObservedAnswer):
    """What became of the rows of the users table."""


class Health(BaseModel):
    """State of the service."""

    status: str
    model: str
    loaded_at: datetime
    n_items: int
    problem: str | None = Field(description="Why a newer version of the model is not in use, if it is not.")
