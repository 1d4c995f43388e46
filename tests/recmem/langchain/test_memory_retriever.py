"""The retriever in LangChain's chains: it gives what the model remembers, as of a time, and nothing is written."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from langchain_core.documents import Document
from langchain_core.language_models import GenericFakeChatModel
from langchain_core.load import dumps
from langchain_core.messages import AIMessage, BaseMessage
from langchain_core.output_parsers import StrOutputParser
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.runnables import Runnable, RunnableLambda, RunnablePassthrough

from debian_model import trained_model
from feature_store import DataError
from feature_store.file_digest import file_digest
from recmem.langchain import MemoryRetriever
from recmem.serving.model import Model

QUESTION = "How do I open an encrypted network connection?"
EARLY = "2025-01-01"


@pytest.fixture(scope="module")
def model() -> Model:
    """Shared: no test here may let it observe anything."""
    return trained_model().model()


@pytest.fixture(scope="module")
def user() -> str:
    return str(trained_model().events["user_id"].mode().sort()[0])


def files() -> dict[str, str]:
    """The digest of every file of the store and the bundle."""
    return {str(path): file_digest(path) for path in sorted(trained_model().folder.rglob("*")) if path.is_file()}


def state(model: Model) -> tuple[int, int, int, int]:
    dataset = model.dataset
    return len(dataset.events), len(dataset.users), len(dataset.catalogue), dataset.clock


def joined(documents: list[Document]) -> str:
    return "\n".join(f"- {document.page_content}" for document in documents)


def answering(retriever: MemoryRetriever, seen: list[BaseMessage]) -> Runnable[str, str]:
    """The chain of a chat bot; `seen` gets what its chat model is asked."""
    prompt = ChatPromptTemplate.from_messages([("system", "The user likes:\n{liked}"), ("human", "{question}")])

    def note(value: object) -> object:
        seen.extend(value.to_messages())  # type: ignore[attr-defined]
        return value

    def words() -> Iterator[AIMessage]:
        while True:
            yield AIMessage("Take libssl.")

    read = {"liked": retriever | joined, "question": RunnablePassthrough()}
    return read | prompt | RunnableLambda(note) | GenericFakeChatModel(messages=words()) | StrOutputParser()


def test_a_chat_model_reads_what_the_user_likes_and_nothing_is_written(model: Model, user: str) -> None:
    before = files()
    counts = state(model)
    seen: list[BaseMessage] = []
    chain = answering(MemoryRetriever(model=model, k=3), seen)
    asked = {"configurable": {"user_id": user}}
    assert chain.invoke(QUESTION, asked) == "Take libssl."
    assert "".join(chain.stream(QUESTION, asked)) == "Take libssl."
    assert asyncio.run(chain.ainvoke(QUESTION, asked)) == "Take libssl."
    found = model.search_memory(user, QUESTION, k=3)
    for system, human in zip(seen[::2], seen[1::2], strict=True):
        assert system.content == "The user likes:\n" + "\n".join(f"- {text}" for text in found["text"])
        assert human.content == QUESTION
    assert len(seen) == 6
    assert files() == before
    assert state(model) == counts


def test_a_document_says_what_it_is_of(model: Model, user: str) -> None:
    found = model.search_memory(user, QUESTION, k=50, negatives=True)
    documents = MemoryRetriever(model=model, user_id=user, k=50, negatives=True).invoke(QUESTION)
    for document, row in zip(documents, found.iter_rows(named=True), strict=True):
        assert document.page_content == row["text"]
        assert document.id == row["item_id"]
        metadata = document.metadata
        same = ("item_id", "title", "kind", "visits_ago", "n_events", "similarity")
        assert {name: metadata[name] for name in same} == {name: row[name] for name in same}
        assert metadata["score"] == row["contribution"]
        assert metadata["timestamp"] == row["timestamp"].isoformat()
        assert metadata["user_id"] == user
    assert {document.metadata["kind"] for document in documents} == {"positive", "negative"}
    assert json.loads(dumps(documents))[0]["kwargs"]["metadata"] == documents[0].metadata


def test_the_same_question_at_an_earlier_time_gives_what_was_known_then(user: str) -> None:
    model = trained_model().model()
    retriever = MemoryRetriever(model=model, user_id=user, k=50)
    then = retriever.invoke(QUESTION, {"configurable": {"timestamp": EARLY}})
    now = retriever.invoke(QUESTION)
    assert 0 < len(then) < len(now)
    assert all(document.metadata["timestamp"] < EARLY for document in then)
    assert {document.metadata["as_of"] for document in then} == {"2025-01-01T00:00:00+00:00"}
    as_of = now[0].metadata["as_of"]
    other = next(item for item in model.dataset.catalogue.ids if item not in {document.id for document in now})
    model.observe(_event(user, other))
    assert MemoryRetriever(model=model, user_id=user, timestamp=as_of, k=50).invoke(QUESTION) == now
    assert retriever.invoke(QUESTION, {"configurable": {"timestamp": EARLY}}) == then
    assert other in {document.id for document in retriever.invoke(QUESTION)}


def _event(user: str, item: str) -> object:
    import polars as pl

    return pl.DataFrame({"user_id": [user], "item_id": [item], "timestamp": ["2028-01-01"], "event": ["depends"]})


def test_async_and_batch_give_the_same(model: Model, user: str) -> None:
    retriever = MemoryRetriever(model=model, user_id=user)
    expected = retriever.invoke(QUESTION)
    assert asyncio.run(retriever.ainvoke(QUESTION)) == expected
    assert retriever.batch([QUESTION, QUESTION]) == [expected, expected]
    configured = MemoryRetriever(model=model)
    configs = [{"configurable": {"user_id": user}}, {"configurable": {"user_id": "nobody"}}]
    assert asyncio.run(configured.abatch([QUESTION, QUESTION], configs)) == [expected, []]


def test_a_retriever_answers_for_its_user_only(model: Model, user: str) -> None:
    with pytest.raises(DataError, match="user_id: expected the user in the retriever or in the config, got none"):
        MemoryRetriever(model=model).invoke(QUESTION)
    own = MemoryRetriever(model=model, user_id=user)
    assert own.invoke(QUESTION, {"configurable": {"user_id": user}}) == own.invoke(QUESTION)
    for call in (own.invoke, lambda *asked: asyncio.run(own.ainvoke(*asked))):
        with pytest.raises(DataError, match=f"config.user_id: expected none or '{user}', .* got 'another'"):
            call(QUESTION, {"configurable": {"user_id": "another"}})


def test_the_least_similarity_leaves_out_what_does_not_bear_on_the_question(model: Model, user: str) -> None:
    documents = MemoryRetriever(model=model, user_id=user, k=50, min_similarity=0.3).invoke(QUESTION)
    assert documents
    assert all(document.metadata["similarity"] >= 0.3 for document in documents)
    assert len(documents) < len(MemoryRetriever(model=model, user_id=user, k=50).invoke(QUESTION))


def test_a_missing_extra_is_told_with_what_to_install() -> None:
    code = "import sys; sys.modules['langchain_core'] = None\nimport recmem.langchain"
    root = Path(__file__).parents[3]
    ended = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True)
    assert ended.returncode == 1
    assert (
        "langchain: expected the package langchain-core, got none. Run pip install 'recmem[langchain]'" in ended.stderr
    )
