"""Retrieval from a catalogue too large to be scored whole, on one that is small enough to do both."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from feature_store.ragged import Ragged
from five_item_dataset import dataset_of, matcher, unit_vectors
from recmem.dataset.dataset import Dataset
from recmem.dataset.query_batch import QueryBatch
from recmem.dataset.user_profiles import UserProfiles
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
@given(logs(min_size=1), st.sampled_from(["exact", "faiss", "faiss-graph"]))
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
@given(logs(min_size=1), st.integers(1, 3), st.sampled_from(["exact", "faiss", "faiss-graph"]))
def test_a_shortlist_holds_the_nearest_and_the_connected_items(
    log: list[Event], n: int, backend: SearchBackend
) -> None:
    dataset = dataset_of(log)
    config = replace(SHORT, candidates=n, search=backend)
    batch = everyone(dataset)
    unit = unit_vectors()
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


def declared(item: int) -> Dataset:
    """A log in which only the first item was chosen; the second user has declared what the text of `item` says."""
    table = pl.DataFrame({"user_id": [USERS[1]], "timestamp": [None], "available_at": [None], "interests": ["own"]})
    times = {name: pl.Datetime("us", "UTC") for name in ("timestamp", "available_at")}
    vector = unit_vectors()[[item]].numpy()
    profiles = UserProfiles.of(table.cast(times)).encoded("interests", lambda texts: vector)
    dataset = dataset_of([Event(0, 0, 1)])
    config = replace(dataset.config, interests="interests")
    return Dataset.of(dataset.catalogue, dataset.events, dataset.impressions, config, profiles=profiles)


@pytest.mark.parametrize("backend", ["exact", "faiss", "faiss-graph"])
def test_what_fits_declared_interests_is_retrieved_first_from_small_and_large_catalogues(
    backend: SearchBackend,
) -> None:
    config = RetrievalConfig(candidates=1, exclude_seen=False, search=backend)
    for item in range(N_ITEMS):
        dataset = declared(item)
        # The second user has no event, the third one is unknown.
        queries = everyone(dataset)
        seen = seen_items(dataset, queries)
        assert item in shortlist(dataset, matcher(), queries, seen, config).row(1)
        wide = replace(config, candidates=N_ITEMS)
        for whole_up_to in (1, 100):
            pairs = retrieved_features(dataset, matcher(), queries, replace(wide, whole_up_to=whole_up_to))
            similarity = pairs.values["interests_similarity"]
            begin, end = pairs.candidates.offsets[1:3]
            assert pairs.candidates.row(1)[similarity[begin:end].argmax()] == item
            assert np.isnan(similarity[end:]).all()


def test_interests_bring_in_what_no_other_source_has_and_nothing_for_who_has_declared_none() -> None:
    for item in range(N_ITEMS):
        dataset = declared(item)
        queries = everyone(dataset)
        few = replace(WHOLE, candidates=3)
        pairs = retrieved_features(dataset, matcher(), queries, few)
        assert item in pairs.candidates.row(1)
        without = retrieved_features(
            replace(dataset, config=replace(dataset.config, interests="")), matcher(), queries, few
        )
        for user in (0, 2):
            assert pairs.candidates.row(user).tolist() == without.candidates.row(user).tolist()
