"""The chat history: messages change no memory, and what is observed or declared by a call does."""

from __future__ import annotations

import asyncio
from datetime import UTC, date, datetime

import numpy as np
import pytest
from langchain_core.messages import AIMessage, HumanMessage

from debian_model import trained_model
from described_users import describe_users
from feature_store import DataError
from recmem.langchain import MemoryChatHistory
from recmem.serving.model import Model

USER = "ann"
LATER = "2027-03-01T12:00"


@pytest.fixture
def model() -> Model:
    """A model of its own, which may observe."""
    return trained_model().model()


@pytest.fixture(scope="module")
def item() -> str:
    return str(trained_model().items["item_id"].sort()[0])


def test_messages_are_kept_and_change_no_memory(model: Model, item: str) -> None:
    history = MemoryChatHistory(model, USER)
    dataset = model.dataset
    history.add_user_message(f"I have bought {item} and love it")
    history.add_messages([AIMessage("Noted."), HumanMessage("Thanks")])
    asyncio.run(history.aadd_messages([AIMessage("Welcome.")]))
    said = [f"I have bought {item} and love it", "Noted.", "Thanks", "Welcome."]
    assert [message.content for message in history.messages] == said
    assert model.dataset is dataset
    assert model.memory(USER).is_empty()


def test_what_is_observed_is_remembered_as_of_its_time_and_outlives_the_messages(model: Model, item: str) -> None:
    history = MemoryChatHistory(model, USER, [HumanMessage("Hello")])
    receipt = history.observe(item, timestamp=LATER, event="depends")
    assert receipt.n_new == 1
    assert history.observe(item, timestamp=LATER, event="depends").n_duplicate == 1
    assert asyncio.run(history.aobserve(item, timestamp="2027-04-01", event="skip")).n_new == 1
    assert model.memory(USER)["kind"].to_list() == ["negative", "positive"]
    assert model.memory(USER, LATER).is_empty()
    history.clear()
    assert history.messages == []
    assert len(model.memory(USER)) == 2


def test_an_event_that_is_rejected_raises_with_its_reason(model: Model, item: str) -> None:
    history = MemoryChatHistory(model, USER)
    with pytest.raises(DataError, match=r"events.value: expected a finite number, got .*Correct it and tell the model"):
        history.observe(item, timestamp=LATER, value=float("nan"))
    assert model.memory(USER).is_empty()
    assert "the items that were loaded lack theirs" in " ".join(history.observe("never seen", timestamp=LATER).warnings)


def test_interests_that_were_declared_hold_from_their_time_on(model: Model) -> None:
    describe_users(model, trained_model().events)
    history = MemoryChatHistory(model, USER)
    assert history.declare("sound and audio", timestamp=LATER).n_new == 1
    assert asyncio.run(history.adeclare("network", timestamp="2027-05-01")).n_new == 1
    rows = model.dataset.profiles.table.filter(user_id=USER).sort("timestamp")
    assert rows["interests"].to_list() == ["sound and audio", "network"]
    assert [str(time.date()) for time in rows["timestamp"]] == ["2027-03-01", "2027-05-01"]


def test_every_form_of_a_time_is_read_and_what_is_none_is_refused(model: Model, item: str) -> None:
    describe_users(model, trained_model().events)
    history = MemoryChatHistory(model, USER)
    for day in (date(2027, 3, 1), datetime(2027, 3, 1), 1_803_859_200, np.datetime64("2027-03-01")):
        history.observe(item, timestamp=day)  # type: ignore[arg-type]
    assert model.memory(USER)["timestamp"].to_list() == [datetime(2027, 3, 1, tzinfo=UTC)]
    for wrong in ("soon", None):  # without a time, interests would hold always
        with pytest.raises(DataError, match="timestamp: expected a time, got"):
            history.observe(item, timestamp=wrong)  # type: ignore[arg-type]
        with pytest.raises(DataError, match="timestamp: expected a time, got"):
            history.declare("video", timestamp=wrong)  # type: ignore[arg-type]


def test_a_model_without_interests_refuses_them_with_what_to_do(model: Model) -> None:
    with pytest.raises(
        DataError, match=r"interests: expected a model that reads declared interests, got one .* --users"
    ):
        MemoryChatHistory(model, USER).declare("sound", timestamp=LATER)


def test_the_oldest_messages_are_dropped_first(model: Model) -> None:
    history = MemoryChatHistory(model, USER, [HumanMessage(str(number)) for number in range(5)], most=3)
    history.add_messages([HumanMessage("5"), HumanMessage("6")])
    assert [message.content for message in history.messages] == ["4", "5", "6"]
    with pytest.raises(DataError, match="most: expected at least 1, got 0"):
        MemoryChatHistory(model, USER, most=0)
