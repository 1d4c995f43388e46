"""Retrieval from a catalogue too large to be scored whole, on one that is small enough to do both."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from feature_store.ragged import Ragged
from five_item_dataset import dataset_of, matcher
from recmem.dataset.dataset import Dataset
from recmem.dataset.query_batch import QueryBatch
from recmem.matching.text_search import SearchBackend
from recmem.ranking.retrieved_features import retrieved_features
from recmem.retrieval import retrieve
from recmem.retrieval.interleave import RetrievalConfig
from recmem.retrieval.retrieve import seen_items
from recmem.retrieval.shortlist import shortlist
from slow_reference import Event
from strategies import LAST_TIME, N_ITEMS, N_USERS, USERS, logs
from tolerances import close

FEWER = settings(max_examples=25)  # each builds several datasets
WHOLE = RetrievalConfig(candidates=N_ITEMS)
SHORT = replace(WHOLE, whole_up_to=1)


def everyone(dataset: Dataset, time: int = LAST_TIME) -> QueryBatch:
    return QueryBatch.of(dataset, dataset.user_rows(USERS), np.full(N_USERS, time))


@FEWER
@given(logs(min_size=1), st.sampled_from(["exact", "faiss"]))
def test_with_room_for_all_items_it_retrieves_what_scoring_the_whole_catalogue_does(
    log: list[Event], backend: SearchBackend
) -> None:
    dataset = dataset_of(log)
    whole = retrieved_features(dataset, matcher(), everyone(dataset), WHOLE)
    short = retrieved_features(dataset, matcher(), everyone(dataset), replace(SHORT, search=backend))
    assert short.candidates.to_lists() == whole.candidates.to_lists()
    for name, column in whole.values.items():
        close(short.values[name], column, "float32")


@FEWER
@given(logs(min_size=1), st.integers(1, 3))
def test_a_query_retrieves_the_same_alone_and_in_a_batch(log: list[Event], n: int) -> None:
    dataset = dataset_of(log)
    config = replace(SHORT, candidates=n)
    batch = everyone(dataset)
    whole = retrieved_features(dataset, matcher(), batch, config)
    for row in range(N_USERS):
        alone = retrieved_features(dataset, matcher(), batch.take(np.array([row])), config)
        assert alone.candidates.to_lists() == whole.candidates.take([row]).to_lists()


@FEWER
@given(logs(min_size=1), st.integers(1, 3), st.sampled_from(["exact", "faiss"]))
def test_a_shortlist_holds_the_nearest_and_the_connected_items(
    log: list[Event], n: int, backend: SearchBackend
) -> None:
    dataset = dataset_of(log)
    config = replace(SHORT, candidates=n, search=backend)
    batch = everyone(dataset)
    unit = matcher().tables.unit
    remembered = batch.histories.newest(matcher().memory.recent).items
    follow = dataset.timeline.at(int(dataset.timeline.periods(batch.times[:1])[0])).follow
    for row, items in enumerate(shortlist(dataset, matcher(), batch, seen_items(dataset, batch), config).to_lists()):
        assert items == sorted(set(items))
        for slot in remembered.row(row):
            nearest = (unit @ unit[slot]).topk(n).indices.tolist()
            assert {item for item in nearest if item < N_ITEMS} <= set(items)
        for seen in batch.histories.items.row(row):
            assert set(follow[seen].indices) <= set(items)


@FEWER
@given(logs(min_size=1), st.integers(1, N_ITEMS))
def test_as_many_candidates_are_found_as_wanted_whatever_the_user_has(log: list[Event], n: int) -> None:
    dataset = dataset_of(log)
    batch = everyone(dataset)
    found = retrieved_features(dataset, matcher(), batch, replace(SHORT, candidates=n)).candidates
    for row, seen in enumerate(seen_items(dataset, batch).to_lists()):
        assert len(found.row(row)) == min(n, N_ITEMS - len(set(seen)))


@FEWER
@given(logs(min_size=1), st.integers(1, 30))
def test_the_size_of_a_chunk_changes_nothing(log: list[Event], cells: int) -> None:
    dataset = dataset_of(log)
    batch = everyone(dataset)
    config = replace(SHORT, candidates=2)
    whole = retrieved_features(dataset, matcher(), batch, config)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(retrieve, "CHUNK_CELLS", cells)
        parts = retrieved_features(dataset, matcher(), batch, config)
    assert parts.candidates.to_lists() == whole.candidates.to_lists()
    for name, column in whole.values.items():
        close(parts.values[name], column, "float32")


def test_what_the_user_has_is_left_out() -> None:
    dataset = dataset_of([Event(0, 1, 1), Event(0, 2, 2), Event(1, 3, 2)])
    batch = everyone(dataset, 5)
    found = retrieved_features(dataset, matcher(), batch, SHORT).candidates
    assert not {1, 2} & set(found.row(0))
    kept = retrieved_features(dataset, matcher(), batch, replace(SHORT, exclude_seen=False)).candidates
    assert {1, 2} <= set(kept.row(0))


@pytest.mark.parametrize("time", [3, LAST_TIME])
def test_events_at_or_after_the_query_change_nothing(time: int) -> None:
    log = [Event(0, 1, 1), Event(1, 2, 2), Event(2, 3, 2)]
    later = [*log, Event(1, 4, time), Event(2, 0, time + 1)]
    config = replace(SHORT, candidates=2)
    nothing = Ragged.from_lists([()] * N_USERS)
    before, after = (
        shortlist(dataset, matcher(), everyone(dataset, time), nothing, config)
        for dataset in (dataset_of(log), dataset_of(later))
    )
    assert before.to_lists() == after.to_lists()
