"""A LangChain chat history beside a user's memory: messages stay messages, and events are observed by explicit calls.

What is said in a conversation is no event. "I hate tents" names an item and is no purchase of it, and a model that
turned messages into events by itself could not be replayed, corrected or explained.
"""

from __future__ import annotations

from collections.abc import Sequence
from threading import Lock
from typing import Any

import polars as pl
from langchain_core.chat_history import BaseChatMessageHistory
from langchain_core.messages import BaseMessage
from langchain_core.runnables.config import run_in_executor

from feature_store import DataError, Receipt
from feature_store.timestamps import TIMESTAMP
from recmem.serving.model import Model
from recmem.serving.request_times import TimeLike, microseconds

MOST_MESSAGES = 1_000
"""Messages that are kept; the oldest are dropped first."""


class MemoryChatHistory(BaseChatMessageHistory):
    """The messages of one user's conversation, in this process, and calls that tell the model what happened in it.

    Adding a message changes no memory. `observe` tells of an event: the application knows when a user took something up
    or turned it down. `declare` tells what the user has stated to be interested in. Both ask for the time, so that all
    can be replayed, and count in this process (or through shared memories): append them to the store as well.

    LangChain has deprecated its chat histories and will remove them in langchain-core 2.0. Where yours are kept by
    something else, call `model.observe` and `model.observe_users` themselves, which is all that is done here.
    """

    def __init__(
        self, model: Model, user_id: object, messages: Sequence[BaseMessage] = (), *, most: int = MOST_MESSAGES
    ) -> None:
        super().__init__()
        if isinstance(most, bool) or not isinstance(most, int) or most < 1:
            raise DataError(f"most: expected at least 1, got {most!r}. Give the number of messages to keep.")
        self._model = model
        self._user_id = user_id
        self._most = most
        self._changing = Lock()
        self._messages = list(messages)[-most:]

    @property
    def messages(self) -> list[BaseMessage]:  # type: ignore[override]
        """The messages, oldest first; a copy."""
        return list(self._messages)

    def add_messages(self, messages: Sequence[BaseMessage]) -> None:
        """Keeps the messages. They are no events."""
        with self._changing:
            self._messages = [*self._messages, *messages][-self._most :]

    def clear(self) -> None:
        """Drops the messages. The user's memory stays: events are removed with `recmem forget`."""
        with self._changing:
            self._messages = []

    def observe(
        self, item_id: object, *, timestamp: TimeLike, event: str | None = None, value: float | None = None
    ) -> Receipt:
        """Tells the model of an event of the user, see `Model.observe`; `event` and `value` as in the events table.

        Raises DataError if the event is rejected, with the reason. The receipt warns of an item that the model lacks.
        """
        row = {"user_id": self._user_id, "item_id": item_id, "event": event, "value": value}
        return _taken(self._model.observe(_frame(row, timestamp)))

    def declare(self, interests: str, *, timestamp: TimeLike) -> Receipt:
        """Tells the model what the user has stated to be interested in, in place of what was stated before.

        Raises DataError if the row is rejected, or the model reads no interests: it was trained without --users, or the
        users had none.
        """
        column = self._model.dataset.config.interests
        if not column:
            raise DataError(
                "interests: expected a model that reads declared interests, got one that was trained without. Train "
                "with a users table that has them (recmem train --users)."
            )
        row = {"user_id": self._user_id, column: interests}
        return _taken(self._model.observe_users(_frame(row, timestamp)))

    async def aobserve(
        self, item_id: object, *, timestamp: TimeLike, event: str | None = None, value: float | None = None
    ) -> Receipt:
        """As `observe`, in a thread."""
        return await run_in_executor(None, self.observe, item_id, timestamp=timestamp, event=event, value=value)

    async def adeclare(self, interests: str, *, timestamp: TimeLike) -> Receipt:
        """As `declare`, in a thread."""
        return await run_in_executor(None, self.declare, interests, timestamp=timestamp)


def _frame(row: dict[str, Any], timestamp: TimeLike) -> pl.DataFrame:
    """A table of one row, with the cells that are given. Raises DataError for what is no time."""
    time = pl.Series("timestamp", [microseconds(timestamp)]).cast(TIMESTAMP)
    cells = {name: [cell] for name, cell in row.items() if cell is not None}
    return pl.DataFrame(cells, strict=False).with_columns(time)


def _taken(receipt: Receipt) -> Receipt:
    """The receipt, unless the row was rejected: nobody may take it for observed."""
    if receipt.n_rejected:
        reason = next(iter(receipt.reasons))
        raise DataError(f"{receipt.table}.{reason}. Correct it and tell the model again.")
    return receipt
