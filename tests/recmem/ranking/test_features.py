"""From a dataset to the columns of pairs: what they hold, and that nothing at or after a query changes them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import slow_reference
from feature_store.point_in_time.covisitation import FEATURES as COVISITATION_FEATURES
from feature_store.ragged import Ragged
from five_item_dataset import CONFIG, N_TEXTS, dataset_of, matcher
from recmem.dataset import query_batch as query_batch_module
from recmem.dataset.dataset import Dataset
from recmem.dataset.query_batch import QueryBatch
from recmem.matching.matcher import MATCH_FEATURES
from recmem.ranking import features as columns_module
from recmem.ranking.features import PairFeatures, by_pairs, candidate_features, retrieved_features, seen_items
from recmem.retrieval.retrieve import RetrievalConfig
from slow_reference import Event, Showing
from strategies import LAST_TIME, N_ITEMS, N_USERS, USERS, logs, showings, times
from tolerances import close

FEWER = settings(max_examples=20)  # each builds several datasets
T = LAST_TIME
RETRIEVAL = RetrievalConfig(candidates=3)
QUERIES = st.lists(st.tuples(st.integers(0, N_USERS - 1), times()), min_size=1, max_size=4)


def batch_of(dataset: Dataset, queries: list[tuple[int, int]]) -> QueryBatch:
    """Queries by the number of the user, whichever row the dataset gives it."""
    users = dataset.user_rows(USERS.gather([user for user, _ in queries]))
    return QueryBatch.of(dataset, users, np.array([time for _, time in queries], dtype=np.int64))


def given_to(dataset: Dataset, queries: list[tuple[int, int]], candidates: list[list[int]]) -> PairFeatures:
    return candidate_features(dataset, matcher(), batch_of(dataset, queries), Ragged.from_lists(candidates))


def retrieved_by(dataset: Dataset, queries: list[tuple[int, int]], config: RetrievalConfig = RETRIEVAL) -> PairFeatures:
    return retrieved_features(dataset, matcher(), batch_of(dataset, queries), config)


def same(actual: PairFeatures, expected: PairFeatures, tolerance: str = "exact") -> None:
    assert actual.candidates.to_lists() == expected.candidates.to_lists()
    assert list(actual.values) == list(expected.values)
    for name, column in expected.values.items():
        close(actual.values[name], column, tolerance)


def everyone_at(time: int) -> list[tuple[int, int]]:
    return [(user, time) for user in range(N_USERS)]


@FEWER
@given(
    logs(),
    logs(from_time=T, min_size=1),
    showings(),
    showings(from_time=T, first_impression=9),
    st.integers(1, 9),
)
def test_nothing_at_or_after_a_query_changes_a_column(
    past: list[Event], future: list[Event], shown: list[Showing], later: list[Showing], shift: int
) -> None:
    shifted = [replace(event, time=event.time + shift, available=None) for event in future]
    known = [event for event in past if slow_reference.is_known(event, T)]
    datasets = [
        dataset_of(past + future, shown + later),
        dataset_of(past + shifted, shown + [replace(row, label=1 - row.label) for row in later]),
        dataset_of(past, shown),
        dataset_of(known, [row for row in shown if row.time < T]),
    ]
    candidates = [list(range(N_TEXTS))] * N_USERS
    first, *others = (given_to(dataset, everyone_at(T), candidates) for dataset in datasets)
    for other in others:
        same(other, first)
    first, *others = (retrieved_by(dataset, everyone_at(T)) for dataset in datasets)
    for other in others:
        same(other, first)


@FEWER
@given(logs(late=False), st.integers(1, 3), times())
def test_rows_of_one_session_never_see_each_other(log: list[Event], size: int, time: int) -> None:
    session = [Event(0, item, time, "purchase") for item in range(size)]
    alone = dataset_of([event for event in log if event.time < time])
    both = dataset_of([event for event in log if event.time < time] + session)
    candidates = [list(range(N_ITEMS))] * N_USERS
    same(given_to(both, everyone_at(time), candidates), given_to(alone, everyone_at(time), candidates))
    same(retrieved_by(both, everyone_at(time)), retrieved_by(alone, everyone_at(time)))


@FEWER
@given(logs(), showings(), QUERIES)
def test_queries_of_a_batch_have_the_columns_of_single_ones(
    log: list[Event], shown: list[Showing], queries: list[tuple[int, int]]
) -> None:
    dataset = dataset_of(log, shown)
    candidates = [[(place + step) % N_TEXTS for step in range(place % 3 + 1)] for place in range(len(queries))]
    whole = given_to(dataset, queries, candidates)
    for place, query in enumerate(queries):
        single = given_to(dataset, [query], [candidates[place]])
        same(whole.take(np.array([place])), single, "float32")


@FEWER
@given(logs(), times(), st.permutations(range(N_TEXTS)))
def test_permuting_candidates_permutes_columns(log: list[Event], time: int, order: list[int]) -> None:
    dataset = dataset_of(log)
    in_order, turned = (given_to(dataset, [(0, time)], [rows]) for rows in (list(range(N_TEXTS)), order))
    for name, column in in_order.values.items():
        close(turned.values[name], column[order], "float32")


@FEWER
@given(logs(), showings(), QUERIES)
def test_retrieved_candidates_have_the_columns_of_given_ones(
    log: list[Event], shown: list[Showing], queries: list[tuple[int, int]]
) -> None:
    dataset = dataset_of(log, shown)
    found = retrieved_by(dataset, queries)
    given_ = candidate_features(dataset, matcher(), batch_of(dataset, queries), found.candidates)
    assert found.values.keys() == given_.values.keys()
    for name, column in given_.values.items():
        close(found.values[name], column, "float32")


@FEWER
@given(logs(), QUERIES, st.integers(1, N_ITEMS))
def test_retrieved_are_new_items_each_once_and_as_many_as_asked(
    log: list[Event], queries: list[tuple[int, int]], n_candidates: int
) -> None:
    dataset = dataset_of(log)
    candidates = retrieved_by(dataset, queries, RetrievalConfig(candidates=n_candidates)).candidates
    for (user, time), rows in zip(queries, candidates.to_lists(), strict=True):
        seen = {event.item for event in log if event.user == user and slow_reference.is_known(event, time)}
        assert len(set(rows)) == len(rows) == min(n_candidates, N_ITEMS - len(seen))
        assert not seen & set(rows)


def test_seen_items_come_back_where_they_are_asked_for() -> None:
    dataset = dataset_of([Event(0, item, 1) for item in range(N_ITEMS)])
    assert retrieved_by(dataset, [(0, 5)]).candidates.to_lists() == [[]]
    found = retrieved_by(dataset, [(0, 5)], RetrievalConfig(candidates=9, exclude_seen=False)).candidates.to_lists()
    assert sorted(found[0]) == list(range(N_ITEMS))


def test_an_old_event_beyond_the_histories_is_still_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(query_batch_module, "HISTORY", 1)
    dataset = dataset_of([Event(0, 3, 1), Event(0, 2, 2)])
    batch = batch_of(dataset, [(0, 5)])
    assert batch.histories.items.to_lists() == [[2]]
    assert seen_items(dataset, batch).to_lists() == [[3, 2]]


@FEWER
@given(logs(), showings().filter(bool), times())
def test_columns_are_those_of_the_oracle(log: list[Event], shown: list[Showing], time: int) -> None:
    pairs = given_to(dataset_of(log, shown), [(1, time)], [list(range(N_TEXTS))])
    windows = {"short": 2, "medium": 4, "long": 8}
    history = slow_reference.history(log, 1, time, 200)
    expected = slow_reference.user_counters(log, 1, time, 2) | {"memory_size": np.log1p(len(history))}
    unit = matcher().tables.unit.double().numpy()
    newest = history[-4:]
    for item in range(N_TEXTS):
        expected |= slow_reference.item_counters(log, item, time, windows, 20) | slow_reference.click_counters(
            shown, item, time
        )
        expected["item_price"] = [1, 2, np.nan, 4, 5, np.nan, np.nan][item]
        expected |= slow_reference.similarities(
            unit, [entry.item for entry in newest], [entry.sign for entry in newest], item
        )
        for name, value in expected.items():
            close(pairs.values[name][item], value, "float32")
    assert set(pairs.values) == set(expected) | set(COVISITATION_FEATURES) | set(MATCH_FEATURES)
    assert all(column.dtype == np.float32 for column in pairs.values.values())


def test_item_item_columns_are_those_of_the_last_refresh() -> None:
    # Refreshes at 2, 5, 8: the query at 7 is served by what was known at 5, and has a history up to 7.
    log = [Event(1, 0, 1), Event(1, 1, 2), Event(2, 0, 4), Event(2, 3, 5), Event(0, 0, 6)]
    found = given_to(dataset_of(log), [(0, 7)], [list(range(N_ITEMS))]).values
    known = [event for event in log if event.time < 5]
    covisitation = CONFIG.covisitation
    close(found["together"], slow_reference.together(known, N_ITEMS, covisitation.shrinkage)[0], "float32")
    close(found["follow"], slow_reference.follow(known, N_ITEMS, covisitation.lags)[0], "float32")
    close(found["ease"], slow_reference.ease(known, N_ITEMS, covisitation.ease_ridge)[0], "float32")


def test_texts_that_are_no_items_have_match_columns_alone() -> None:
    log = [Event(1, 0, 1), Event(1, 1, 2), Event(0, 0, 4)]
    found = given_to(dataset_of(log), [(0, 7)], [[N_ITEMS]]).values
    assert all(found[name][0] == 0 for name in COVISITATION_FEATURES)
    assert found["match_raw"][0] != 0
    assert found["item_age"][0] == -1


def test_history_of_texts_that_are_no_items_is_matched_and_not_counted() -> None:
    log = [Event(1, 0, 1), Event(1, 1, 2), Event(0, 0, 4)]
    dataset = dataset_of(log)
    batch = batch_of(dataset, [(0, 7)])
    history = replace(batch.histories, items=Ragged.from_lists([[N_ITEMS]]))
    found = candidate_features(dataset, matcher(), replace(batch, histories=history), Ragged.from_lists([[1]])).values
    assert all(found[name][0] == 0 for name in COVISITATION_FEATURES)
    unit = matcher().tables.unit
    close(found["similarity_max"], [float(unit[1] @ unit[N_ITEMS])], "float32")


@pytest.mark.parametrize("queries_at_once", [1, 2])
def test_chunks_of_queries_give_what_all_at_once_gives(monkeypatch: pytest.MonkeyPatch, queries_at_once: int) -> None:
    log = [Event(user, (user + step) % N_ITEMS, 2 * step + user) for user in range(N_USERS) for step in range(3)]
    dataset, queries = dataset_of(log), [(user, time) for user in range(N_USERS) for time in (3, 9)]
    candidates = [[place % N_ITEMS] for place in range(len(queries))]
    whole = given_to(dataset, queries, candidates), retrieved_by(dataset, queries)
    monkeypatch.setattr(columns_module, "CHUNK_CELLS", queries_at_once * N_ITEMS)
    monkeypatch.setattr(columns_module, "CHUNK_PAIRS", queries_at_once)
    told: list[int] = []
    parts = candidate_features(
        dataset, matcher(), batch_of(dataset, queries), Ragged.from_lists(candidates), told.append
    )
    same(parts, whole[0], "float32")
    assert told == [queries_at_once] * (len(queries) // queries_at_once)
    same(retrieved_by(dataset, queries), whole[1], "float32")


@given(lengths=st.lists(st.integers(0, 9), max_size=12), n_pairs=st.integers(1, 20))
def test_queries_are_taken_together_up_to_so_many_pairs(lengths: list[int], n_pairs: int) -> None:
    candidates = Ragged.from_lengths(np.zeros(sum(lengths), np.int64), np.array(lengths, np.int64))
    parts = list(by_pairs(candidates, n_pairs))
    assert np.concatenate(parts).tolist() == list(range(len(lengths)))
    assert len(parts) >= 1
    assert all(len(part) == 1 or candidates.lengths[part].sum() <= n_pairs for part in parts if len(part))


def test_counters_are_the_same_whether_queries_share_their_time_and_items_or_not() -> None:
    log = [Event(user, (user + step) % N_ITEMS, 2 * step + user) for user in range(N_USERS) for step in range(3)]
    dataset, items = dataset_of(log), [list(range(N_ITEMS))] * (2 * N_USERS)
    queries = [(user, time) for time in (3, 9) for user in range(N_USERS)]
    shared = given_to(dataset, queries, items).values
    for place, query in enumerate(queries):
        for item in range(N_ITEMS):
            alone = given_to(dataset, [query], [[item]]).values
            for name in ("popularity", "popularity_short", "trend", "item_age"):
                close(alone[name], shared[name][[place * N_ITEMS + item]], "exact")


def test_grid_of_scores_is_shown_chunk_by_chunk(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(columns_module, "CHUNK_CELLS", 2 * N_ITEMS)
    dataset, queries = dataset_of([Event(0, 1, 1), Event(1, 2, 2)]), [(0, 5), (1, 5), (2, 5)]
    shown: list[tuple[int, dict[str, np.ndarray]]] = []
    found = retrieved_features(
        dataset,
        matcher(),
        batch_of(dataset, queries),
        RETRIEVAL,
        on_grid=lambda batch, grid: shown.append((len(batch), grid)),
    )
    assert [n for n, _ in shown] == [2, 1]
    for name in (*MATCH_FEATURES, *COVISITATION_FEATURES):
        whole = np.concatenate([grid[name] for _, grid in shown])
        close(whole[found.candidates.row_index, found.candidates.values], found.values[name], "exact")


def test_no_query_gives_no_pair_with_all_columns() -> None:
    dataset = dataset_of([Event(0, 1, 1)])
    asked = given_to(dataset, [(0, 5)], [[1]])
    for found in (given_to(dataset, [], []), retrieved_by(dataset, [])):
        assert len(found.candidates) == 0
        assert found.values.keys() == asked.values.keys()
        assert all(len(column) == 0 for column in found.values.values())


def test_pairs_are_taken_by_query_and_put_together_again() -> None:
    pairs = given_to(dataset_of([Event(0, 1, 1)]), everyone_at(5), [[0, 1], [], [2, 3, 4]])
    parts = [pairs.take(np.array([row])) for row in range(3)]
    same(PairFeatures.concat(parts), pairs)
    turned = pairs.take(np.array([2, 0]))
    assert turned.candidates.to_lists() == [[2, 3, 4], [0, 1]]
    close(turned.values["match_raw"], np.roll(pairs.values["match_raw"], 3), "exact")
