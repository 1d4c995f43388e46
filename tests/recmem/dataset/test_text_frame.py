"""Frames of users and texts: which rows are one query, which texts are one, and what is refused."""

from __future__ import annotations

from datetime import UTC, datetime

import polars as pl
import pytest

from debian_model import trained_model
from feature_store import DataError
from feature_store.redis import RedisMemories
from recmem.dataset.dataset import Dataset
from recmem.dataset.shared_memories import publish
from recmem.dataset.text_frame import read_text_frame
from recmem.serving.model import Model


@pytest.fixture(scope="module")
def dataset() -> Dataset:
    return trained_model().model().dataset


@pytest.fixture(scope="module")
def users() -> list[str]:
    return trained_model().events["user_id"].unique().sort().to_list()


def test_each_row_finds_its_user_time_and_text_again(dataset: Dataset, users: list[str]) -> None:
    early = datetime(2025, 1, 1, tzinfo=UTC)
    rows = [
        (users[1], "sound", None),
        (users[0], "network", None),
        (users[1], "network", early),
        (users[1], " network. ", None),
        ("nobody", "sound", early),
        (users[0], "network", None),
    ]
    frame = pl.DataFrame(rows, schema=["user_id", "text", "timestamp"], orient="row")
    read = read_text_frame(frame, dataset, ())
    n_items = len(dataset.catalogue)
    found = [read.texts[item - n_items] for item in read.items.values[read.pair_of_row]]
    assert found == ["sound", "network", "network", "network", "sound", "network"]
    assert sorted(read.texts) == ["network", "sound"]
    queries = [(int(read.queries.users[query]), int(read.queries.times[query])) for query in read.query_of_row]
    of_user = dataset.user_rows(frame["user_id"]).tolist()
    early_us = int(early.timestamp()) * 1_000_000
    times = [dataset.clock, dataset.clock, early_us, dataset.clock, early_us, dataset.clock]
    assert queries == list(zip(of_user, times, strict=True))
    # Rows 1 and 5 are one pair; "network" twice for one user at one time as well.
    assert len(read.items.values) == 5
    assert read.user_is_known.tolist() == [True, True, True, True, False, True]
    assert not read.item_is_known.any()
    assert read.unmatched.unknown_users == 1


def test_all_faults_of_a_frame_are_told_together(dataset: Dataset) -> None:
    frame = pl.DataFrame(
        {"user_id": ["a", None], "text": ["ink", " . "], "timestamp": ["soon", None], "reason": [1, 2]}
    )
    with pytest.raises(DataError) as refused:
        read_text_frame(frame, dataset, ("reason",))
    lines = str(refused.value).splitlines()
    assert [line.partition(":")[0] for line in lines] == [
        "texts.reason",
        "texts.user_id",
        "texts.text",
        "texts.timestamp",
    ]
    assert "expected an id, got null (1 row, e.g. row 1" in lines[1]
    assert "expected a text, got null or no words (1 row, e.g. row 1" in lines[2]


@pytest.mark.parametrize(
    ("frame", "words"),
    [
        (pl.DataFrame({"text": ["a"]}), r"texts.user_id: expected the column, got none among text"),
        (pl.DataFrame({"user_id": ["a"]}), r"texts.text: expected the column, got none among user_id"),
        (pl.DataFrame({"user_id": ["a"], "text": [1]}), r"texts.text: expected texts, got a column of Int64"),
        (pl.DataFrame({"user_id": [[1]], "text": ["a"]}), r"texts.user_id: expected ids as text or integers"),
    ],
)
def test_a_frame_of_another_form_is_refused(dataset: Dataset, frame: pl.DataFrame, words: str) -> None:
    with pytest.raises(DataError, match=words):
        read_text_frame(frame, dataset, ())


def test_a_frame_without_rows_has_no_queries(dataset: Dataset) -> None:
    read = read_text_frame(pl.DataFrame({"user_id": [], "text": []}), dataset, ())
    assert (len(read.queries), len(read.items.values), read.texts) == (0, 0, [])


def test_shared_memories_answer_as_the_tables_do_and_with_what_was_observed(redis_url: str, users: list[str]) -> None:
    memories = RedisMemories(f"{redis_url}#texts", timeout=5)
    try:
        one = trained_model().model()
        publish(one.dataset, memories)
        two = Model.load(trained_model().bundle, store=trained_model().store, online=memories, device="cpu")
        texts = ["sound", "network"]
        assert two.match_texts(users[0], texts).equals(one.match_texts(users[0], texts))
        assert two.search_memory(users[0], "sound").equals(one.search_memory(users[0], "sound"))
        item = one.dataset.catalogue.ids[0]
        event = pl.DataFrame({"user_id": ["new"], "item_id": [item], "timestamp": ["2028-01-01"], "event": ["depends"]})
        assert two.match_texts("new", texts)["unknown_user"].all()
        for model in (one, two):
            assert model.observe(event).n_new == 1
        assert two.match_texts("new", texts).equals(one.match_texts("new", texts))
        assert two.search_memory("new", "sound")["item_id"].to_list() == [item]
    finally:
        memories.clear()
