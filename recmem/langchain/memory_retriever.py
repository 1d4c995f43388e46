"""A LangChain retriever over a user's memory as of a time: what this user likes that bears on a question."""

from __future__ import annotations

from typing import Any

from langchain_core.callbacks import AsyncCallbackManagerForRetrieverRun, CallbackManagerForRetrieverRun
from langchain_core.documents import Document
from langchain_core.retrievers import BaseRetriever
from langchain_core.runnables import RunnableConfig, ensure_config
from langchain_core.runnables.config import run_in_executor

from feature_store import DataError
from recmem.serving.model import Model

USER = "user_id"
TIME = "timestamp"
"""Names in the `configurable` part of a runnable's config."""


class MemoryRetriever(BaseRetriever):
    """Retrieves what of a user's memory is most similar to the question: items, declared interests, facts.

    User and time are given here or, where that leaves them open, in the config of a call: `{"configurable": {"user_id":
    "ann", "timestamp": "2026-06-01"}}`. Without a time, the memory is read as of just after the last event. A document
    is an item's text, or what is remembered beside events in words, such as an interest. In `metadata`: item_id and
    visits_ago (None beside events), title, timestamp (of its newest event, ISO 8601; None if it has none), kind,
    n_events, similarity (the cosine), score (what it adds to the raw match score of the question), user_id, and as_of:
    with that as `timestamp`, the same call gives the same documents later.

    Reading writes nothing: a question is no event, and its vector is kept in memory only. An unknown user has no
    documents. Raises DataError if no user is given, or the config gives another one than was given here.

    >>> chain = {"liked": MemoryRetriever(model=model), "question": RunnablePassthrough()} | prompt | chat_model
    ... # doctest: +SKIP
    >>> chain.invoke("Which library for TLS?", {"configurable": {"user_id": "curl"}})  # doctest: +SKIP
    """

    model: Model
    """The trained model, from `recmem.load`."""
    user_id: Any = None
    timestamp: Any = None
    k: int = 5
    """At most so many documents."""
    min_similarity: float = -1.0
    """Leaves out what is less similar to the question, -1 to 1."""
    negatives: bool = False
    """Whether items that the user turned down are documents too; their `kind` is "negative" or "not_clicked". Needs a
    model trained with `memory.negatives` or `memory.not_clicked`."""

    def invoke(self, input: str, config: RunnableConfig | None = None, **kwargs: Any) -> list[Document]:
        """The documents for a question, the most similar first."""
        return super().invoke(input, config, **self._asked(config), **kwargs)

    async def ainvoke(self, input: str, config: RunnableConfig | None = None, **kwargs: Any) -> list[Document]:
        """As `invoke`, in a thread."""
        return await super().ainvoke(input, config, **self._asked(config), **kwargs)

    def _get_relevant_documents(
        self, query: str, *, run_manager: CallbackManagerForRetrieverRun, user_id: Any = None, timestamp: Any = None
    ) -> list[Document]:
        del run_manager  # there is nothing to report between start and end
        if user_id is None:
            raise DataError(
                "user_id: expected the user in the retriever or in the config, got none. Make it with user_id=..., or "
                'call it with {"configurable": {"user_id": ...}}.'
            )
        found = self.model.search_memory(
            user_id,
            query,
            k=self.k,
            timestamp=timestamp,
            min_similarity=self.min_similarity,
            negatives=self.negatives,
        )
        return [_document(row, user_id) for row in found.iter_rows(named=True)]

    async def _aget_relevant_documents(
        self,
        query: str,
        *,
        run_manager: AsyncCallbackManagerForRetrieverRun,
        user_id: Any = None,
        timestamp: Any = None,
    ) -> list[Document]:
        return await run_in_executor(
            None,
            self._get_relevant_documents,
            query,
            run_manager=run_manager.get_sync(),
            user_id=user_id,
            timestamp=timestamp,
        )

    def _asked(self, config: RunnableConfig | None) -> dict[str, Any]:
        """The user and time of a call."""
        configurable = ensure_config(config).get("configurable", {})
        return {name: _one_of(name, getattr(self, name), configurable.get(name)) for name in (USER, TIME)}


def _one_of(name: str, own: Any, configured: Any) -> Any:
    """What was given in one of the two places. A retriever that was made for one user never answers for another."""
    # As everywhere, the id 7 is the id "7".
    is_same = str(own) == str(configured) if name == USER else own == configured
    if own is None or configured is None or is_same:
        return configured if own is None else own
    raise DataError(
        f"config.{name}: expected none or {own!r}, for which the retriever was made, got {configured!r}. Make a "
        f"retriever without {name} to give it with each call."
    )


def _document(row: dict[str, Any], user_id: Any) -> Document:
    metadata = {name: row[name] for name in ("item_id", "title", "kind", "visits_ago", "n_events", "similarity")}
    metadata |= {name: row[name] and row[name].isoformat() for name in ("timestamp", "as_of")}
    metadata |= {"score": row["contribution"], "user_id": user_id}
    document_id = None if row["item_id"] is None else str(row["item_id"])
    return Document(page_content=row["text"], id=document_id, metadata=metadata)
