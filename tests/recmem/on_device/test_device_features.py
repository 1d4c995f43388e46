"""Features on a device are those of the CPU to the bit, whatever the log, the queries and the candidates."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from cancelled_logs import Cancellation, cancellations, frame_of
from feature_store.arrays import Float32Array
from feature_store.point_in_time.online_log import OnlineLog
from feature_store.ragged import Ragged
from five_item_dataset import CONFIG, N_TEXTS, catalogue, dataset_of, matcher
from five_item_features import batch_of
from recmem.dataset.candidate_features import CandidateFeature
from recmem.dataset.dataset import Dataset
from recmem.dataset.query_batch import QueryBatch
from recmem.on_device import covisitation, device_features, similarities
from recmem.ranking import feature_table
from recmem.ranking.feature import Feature, Group
from recmem.ranking.feature_computation import FeatureContext
from recmem.ranking.pair_features import compute_features
from slow_reference import Event, Showing
from strategies import N_ITEMS, N_USERS, event_frame, impression_frame, logs, showings, times
from tolerances import close

FEWER = settings(max_examples=20)  # each builds several datasets
QUERIES = st.lists(st.tuples(st.integers(0, N_USERS - 1), times()), min_size=1, max_size=4)
LOG = [Event(user, (user * step) % N_ITEMS, 2 * step + user) for user in range(N_USERS) for step in range(5)]
EVERYONE = [(user, time) for user in range(N_USERS) for time in (0, 3, 7, 10)]


def same_on(
    device: torch.device,
    dataset: Dataset,
    queries: QueryBatch,
    candidates: Ragged,
    brought: Mapping[str, Float32Array] | None = None,
) -> dict[str, torch.Tensor]:
    """Asserts that the device gives what the CPU does, and returns it."""
    context = FeatureContext(dataset, matcher(device=device), queries, candidates, brought or {})
    expected = compute_features(context).values
    found = device_features.device_features(context)
    assert list(found) == list(expected)
    for name, column in expected.items():
        assert found[name].device.type == device.type
        # Logarithms may differ in the last bit of float64, and so, rarely, in that of float32.
        close(found[name], column, "exact" if device.type == "cpu" else "float32")
    return found


def of_everyone(device: torch.device, dataset: Dataset) -> dict[str, torch.Tensor]:
    """The same for each user at several times, with candidates of all texts."""
    queries = batch_of(dataset, EVERYONE)
    return same_on(device, dataset, queries, Ragged.from_lists([range(N_TEXTS)] * len(EVERYONE)))


@FEWER
@given(logs(), showings(), QUERIES, st.booleans())
def test_features_are_those_of_the_cpu(
    device: torch.device, log: list[Event], shown: list[Showing], queries: list[tuple[int, int]], has_more: bool
) -> None:
    dataset = dataset_of(log, shown)
    config = replace(dataset.config, has_impressions=has_more, repeats=has_more)
    candidates = [[(place + step) % N_TEXTS for step in range(place % 4)] for place in range(len(queries))]
    same_on(device, replace(dataset, config=config), batch_of(dataset, queries), Ragged.from_lists(candidates))


@FEWER
@given(logs(), cancellations(), logs(max_size=3))
def test_features_of_logs_with_cancelled_and_with_observed_events_are_too(
    device: torch.device, log: list[Event], cancelled: list[Cancellation], later: list[Event]
) -> None:
    shown = impression_frame([])
    of_everyone(device, Dataset.of(catalogue(), frame_of(log, cancelled), shown, CONFIG))
    of_everyone(device, Dataset.of(catalogue(), event_frame(log), shown, CONFIG).with_events(event_frame(later)))


def test_what_was_observed_counts(device: torch.device) -> None:
    before = dataset_of(LOG)
    after = before.with_events(event_frame([Event(0, 3, 1)]))
    assert isinstance(after.reads, OnlineLog)
    assert of_everyone(device, after)["popularity"].sum() > of_everyone(device, before)["popularity"].sum()


def test_small_blocks_change_nothing(device: torch.device, monkeypatch: pytest.MonkeyPatch) -> None:
    dataset = replace(dataset_of(LOG), config=replace(CONFIG, has_impressions=True))
    whole = of_everyone(device, dataset)
    monkeypatch.setattr(covisitation, "BLOCK_CELLS", 5)  # less than a query has
    monkeypatch.setattr(similarities, "BLOCK_CELLS", 50)
    for name, column in of_everyone(device, dataset).items():
        close(column, whole[name], "exact")
    assert (whole["together"] > 0).any()
    assert (whole["similarity_shown"] > 0).any()


def test_an_item_that_was_had_often_counts_with_the_latest_event(device: torch.device) -> None:
    log = [Event(0, 1, time) for time in range(9)] + [Event(0, 2, 4), Event(1, 1, 3), Event(1, 2, 5)]
    found = of_everyone(device, replace(dataset_of(log), config=replace(CONFIG, repeats=True)))
    assert (found["times_had"] > 2).any()
    assert len(found["together_recent"].unique()) > 5


def test_columns_of_candidates_with_categories_and_missing_values(device: torch.device) -> None:
    own = (CandidateFeature("ctr", typical=0.5), CandidateFeature("shop", ("a", "b"), typical=1.0))
    dataset = replace(dataset_of(LOG), config=replace(CONFIG, candidate_features=own))
    queries = batch_of(dataset, EVERYONE[:2])
    brought = {
        "ctr": np.array([0.1, np.nan, 0.3, 0.4], np.float32),
        "shop": np.array([0, 1, np.nan, 1], np.float32),
    }
    found = same_on(device, dataset, queries, Ragged.from_lists([[0, 1], [1, N_ITEMS]]), brought)
    close(found["categories.shop"], brought["shop"], "exact")
    # Of retrieved candidates, which bring nothing along.
    same_on(device, dataset, queries, Ragged.from_lists([[0, 1], [1, N_ITEMS]]))


def test_a_feature_of_your_own_is_computed_on_the_cpu_and_copied(
    device: torch.device, monkeypatch: pytest.MonkeyPatch
) -> None:
    def of_pair(context: FeatureContext) -> Float32Array:
        return (context.candidates.values * 2).astype(np.float32)

    def of_query(context: FeatureContext) -> Float32Array:
        return context.queries.times.astype(np.float32)

    own = (
        Feature("twice", Group.POPULARITY, "Twice the row.", of_pair),
        Feature("when", Group.USER, "The time.", of_query, per_query=True, raw=True),
    )
    monkeypatch.setattr(feature_table, "FEATURES", (*feature_table.FEATURES, *own))
    found = of_everyone(device, dataset_of(LOG))
    assert found["twice"][:3].tolist() == [0, 2, 4]
    assert found["when"][:: 2 * N_TEXTS].tolist() == [float(time) for _, time in EVERYONE[::2]]


def test_no_event_no_item_and_no_query(device: torch.device) -> None:
    of_everyone(device, dataset_of([]))
    dataset = dataset_of(LOG)
    nobody = QueryBatch.of(dataset, np.array([-1]), np.array([5]))
    same_on(device, dataset, nobody, Ragged.from_lists([range(N_TEXTS)]))
    same_on(device, dataset, nobody, Ragged.from_lists([[]]))
    none = QueryBatch.of(dataset, np.empty(0, np.int64), np.empty(0, np.int64))
    same_on(device, dataset, none, Ragged.from_lists([]))
    without_items = Dataset.of(
        replace(catalogue(), items=catalogue().items.clear(), texts=[]), event_frame([]), impression_frame([]), CONFIG
    )
    same_on(
        device, without_items, QueryBatch.of(without_items, np.array([-1]), np.array([5])), Ragged.from_lists([[0]])
    )


def test_a_history_of_texts_that_are_not_in_the_catalogue(device: torch.device) -> None:
    dataset = dataset_of(LOG)
    batch = batch_of(dataset, [(0, 7)])
    items = Ragged.from_lengths(np.full(len(batch.histories.times), N_ITEMS), batch.histories.items.lengths)
    same_on(device, dataset, replace(batch, histories=replace(batch.histories, items=items)), Ragged.from_lists([[1]]))


def test_an_item_beyond_the_catalogue_has_no_numbers(device: torch.device) -> None:
    found = of_everyone(device, dataset_of(LOG))["items.price"]
    assert torch.isnan(found[:N_TEXTS]).tolist() == [False, False, True, False, False, True, True]


def test_what_is_kept_of_a_dataset_goes_with_it(device: torch.device) -> None:
    dataset = dataset_of(LOG)
    log = weakref.ref(dataset.reads)
    models = weakref.ref(dataset.timeline.at(0))
    clicks = weakref.ref(dataset.clicks)
    of_everyone(device, dataset)
    del dataset
    gc.collect()
    assert (log(), models(), clicks()) == (None, None, None)
