"""What the service's endpoints take, as JSON, and how much of it; the OpenAPI page is made of it."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Self

import polars as pl
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from feature_store.timestamps import parse_timestamps
from recmem.serving.row_reasons import MOST_REASONS

MAX_ITEMS = 10_000
"""Candidates of one request, at most."""
MAX_USERS = 1_000
"""Users of one request for recommendations, at most."""
MAX_RECOMMENDED = 100_000
"""Items of all users of one request for recommendations, at most."""
MAX_HISTORY_READS = 1_000_000
"""Items times the length of the history that came with them, at most: each item is scored against that history."""
MAX_TEXTS = 1_000
"""Texts of one request, at most: those that are new to the service are encoded, some hundred a second."""
MAX_CHARACTERS = 20_000
"""Of one text; an encoder reads the beginning only, by default 256 tokens."""
MAX_ROWS = 10_000
"""Events, or rows of the users table, of one request, at most."""


def read_time(value: object) -> datetime | None:
    """The time of a request: ISO 8601 (UTC without a zone) or epoch seconds. Raises ValueError if it is neither."""
    if value is None:
        return None
    is_time = isinstance(value, str | int | float | datetime) and not isinstance(value, bool)
    refused = ValueError(f"expected ISO 8601 text or epoch seconds, got {value!r}")
    try:
        times, faults = parse_timestamps(pl.Series("timestamp", [value if is_time else "none"]))
    except OverflowError as error:  # a whole number that no column can hold
        raise refused from error
    if faults or times[0] is None:
        raise refused
    time: datetime = times[0]
    return time


def _id_as_text(value: object) -> str:
    if isinstance(value, str):
        value.encode()  # JSON can spell half of a surrogate pair, of which there is no UTF-8: that is a ValueError
        return value
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    raise ValueError(f"expected an id as text or a whole number, got {value!r}")


Id = Annotated[str, BeforeValidator(_id_as_text, json_schema_input_type=str | int)]
"""An id as the store has it. Text and whole numbers are the same here: 7 and "7" name one item."""
Text = Annotated[str, Field(min_length=1, max_length=MAX_CHARACTERS)]
"""A text to match."""
Time = Annotated[
    datetime | None,
    BeforeValidator(read_time),
    Field(
        description="Use only events before this time: ISO 8601 (UTC without a zone) or epoch seconds. By default just "
        "after the last event."
    ),
]


class Body(BaseModel):
    """A request. A field that it does not know is refused: it is probably misspelt."""

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
        max_length=MAX_ITEMS,
        description="Ids, or objects with `item_id` and further columns: texts, features.",
    )
    timestamp: Time = None
    history: list[Id] | None = Field(
        None, description="Item ids, oldest first, that are read instead of the user's events."
    )
    explain: int = Field(0, ge=0, le=MOST_REASONS, description="The number of reasons to add to each item.")

    @property
    def n_read(self) -> int:
        """Items times the length of their history: what the request takes, beside its items."""
        return len(self.items) * len(self.history or ())

    @model_validator(mode="after")
    def _is_not_too_long(self) -> Self:
        if self.n_read > MAX_HISTORY_READS:
            got = f"{len(self.items):,} items and a history of {len(self.history or ()):,}"
            remedy = "Send the newest items of the history only."
            raise ValueError(f"expected items times history of at most {MAX_HISTORY_READS:,}, got {got}. {remedy}")
        return self


class RankRequest(ScoreRequest):
    """Candidates to put in order."""

    k: int | None = Field(None, ge=1, description="Leave out items of a rank beyond k; equal scores share a rank.")


class MatchTextsRequest(Body):
    """Texts that are no items of the store, for one user at one time."""

    user_id: Id
    texts: list[Text] = Field(min_length=1, max_length=MAX_TEXTS)
    timestamp: Time = None
    explain: int = Field(0, ge=0, le=MOST_REASONS, description="The number of reasons to add to each text.")


class RecommendRequest(Body):
    """Users who want the best items of the store."""

    user_ids: list[Id] = Field(min_length=1, max_length=MAX_USERS)
    k: int = Field(10, ge=1, le=MAX_ITEMS, description="Items per user.")
    timestamp: Time = None

    @model_validator(mode="after")
    def _is_not_too_long(self) -> Self:
        if len(self.user_ids) * self.k > MAX_RECOMMENDED:
            got = f"{len(self.user_ids):,} users and k {self.k:,}"
            raise ValueError(f"expected users times k of at most {MAX_RECOMMENDED:,}, got {got}. Send fewer users.")
        return self


class ExplainRequest(Body):
    """One item for one user."""

    user_id: Id
    item_id: Id
    timestamp: Time = None
    features: dict[str, Any] | None = Field(None, description="Features of your own of the item, by their columns.")


class EventsRequest(Body):
    """Events to remember, each with `user_id`, `item_id`, `timestamp` and the other columns of the events table."""

    events: list[dict[str, Any]] = Field(min_length=1, max_length=MAX_ROWS)


class UsersRequest(Body):
    """New rows of users, each with `user_id` and attributes; `timestamp` is the time from which on a row holds."""

    users: list[dict[str, Any]] = Field(min_length=1, max_length=MAX_ROWS)
