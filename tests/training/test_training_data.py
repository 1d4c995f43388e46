from __future__ import annotations

from collections.abc import Generator, Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch

from feature_store import DataError, SignalConfig, Store
from feature_store.ragged import Ragged
from five_item_dataset import catalogue, matcher
from recmem.matching.user_memory import MemoryConfig
from recmem.ranking.pair_features import PairFeatures
from recmem.retrieval.interleave import RetrievalConfig
from slow_reference import Event, Showing
from strategies import N_ITEMS, event_frame, impression_frame
from tolerances import close
from training.config import TrainingConfig
from training.queries import ImpressionQueries, Queries
from training.training_data import TrainingData, labels_of, ranking_data, read_training_data

CONFIG = replace(TrainingConfig(), retrieval=RetrievalConfig(candidates=3))
LOG = [Event(user, (user + step) % N_ITEMS, 10 * step + user) for user in range(3) for step in range(4)]
SHOWN = [
    Showing(0, 0, 3, 5, 0),
    Showing(0, 0, 1, 5, 1),
    Showing(1, 1, 2, 12, 1),
    Showing(2, 2, 4, 20, 0),
    Showing(2, 2, 0, 20, 1),
    Showing(3, 0, 4, 31, 1),
]


class LengthEncoder:
    """A text's vector has its length and its first letter."""

    fingerprint = "lengths"
    dim = 8

    def encode_each(self, parts: Iterable[Sequence[str]], **_: Any) -> Generator[torch.Tensor, None, None]:
        for texts in parts:
            lengths = [[float(len(text)), float(ord(text[0]) if text else 0), *[1.0] * 6] for text in texts]
            yield torch.tensor(lengths)


def store_of(folder: Path, events: pl.DataFrame, impressions: pl.DataFrame | None = None) -> Store:
    store = Store.create(folder / "store")
    store.append_items(catalogue().items)
    store.append_events(events.select("user_id", "item_id", "timestamp", "event", "value", "available_at"))
    if impressions is not None:
        store.append_impressions(impressions)
    return store


def build(store: Store) -> TrainingData:
    return read_training_data(store, CONFIG, encoder=LengthEncoder())  # type: ignore[arg-type]


@pytest.fixture
def training_data(tmp_path: Path) -> TrainingData:
    return build(store_of(tmp_path, event_frame(LOG)))


@pytest.fixture
def with_impressions(tmp_path: Path) -> TrainingData:
    return build(store_of(tmp_path, event_frame(LOG), impression_frame(SHOWN)))


def test_a_log_without_a_positive_event_is_refused_before_texts_are_encoded(tmp_path: Path) -> None:
    ratings = event_frame(LOG).with_columns(event=pl.lit("rating"), value=(pl.int_range(pl.len()) % 2).cast(pl.Float64))
    store = store_of(tmp_path, ratings)
    refused = r"events\.value: expected positive events, got none: 12 ratings lie between 0 and 1.* --positive-from 1 "
    with pytest.raises(DataError, match=refused):
        read_training_data(store, CONFIG, encoder=None)
    fitting = replace(CONFIG, signals=SignalConfig(positive_from=1, negative_to=0))
    data = read_training_data(store, fitting, encoder=LengthEncoder())  # type: ignore[arg-type]
    assert sorted(set(data.dataset.log.signs.tolist())) == [-1, 1]


def test_the_bundle_gets_rules_that_judge_events_without_the_log(tmp_path: Path) -> None:
    built = event_frame(LOG).with_columns(event=pl.lit("build"), value=None)
    signals = build(store_of(tmp_path / "one", built)).dataset.config.signals
    assert (signals.positive_events, signals.unnamed) == (("build",), "neutral")
    mixed = built.with_columns(
        event=pl.when(pl.int_range(pl.len()) % 2 == 0).then(pl.lit("click")).otherwise(pl.lit("event_x"))
    )
    data = build(store_of(tmp_path / "two", mixed))
    assert data.dataset.config.signals.positive_events == ()
    assert sorted(set(data.dataset.log.signs.tolist())) == [0, 1]


def test_slots_for_items_not_clicked_without_impressions_are_a_warning(tmp_path: Path) -> None:
    config = replace(CONFIG, memory=MemoryConfig(not_clicked=3))
    store = store_of(tmp_path, event_frame(LOG))
    data = read_training_data(store, config, encoder=LengthEncoder())  # type: ignore[arg-type]
    assert any(warning.startswith("memory.not_clicked: expected impressions") for warning in data.warnings)


def test_chosen_impressions_are_enough_to_train_on(tmp_path: Path) -> None:
    negative = event_frame(LOG).with_columns(event=pl.lit("skip"))
    assert build(store_of(tmp_path, negative, impression_frame(SHOWN))).shown is not None


def test_training_data_are_the_store_its_vectors_and_its_split(training_data: TrainingData) -> None:
    assert training_data.dataset.catalogue.texts == [f"item {number}" for number in range(N_ITEMS)]
    assert len(training_data.dataset.log) == len(LOG)
    close(training_data.unit.norm(dim=1), 1.0, "grid")
    assert training_data.fingerprint == "lengths"
    assert training_data.shown is None
    # 70 % of twelve events have happened by the ninth, 90 % by the eleventh.
    times = sorted(event.time for event in LOG)
    assert (training_data.split.ranker_from, training_data.split.test_from) == (times[8], times[10])
    assert training_data.dataset.config.refresh_origin == training_data.split.ranker_from
    assert training_data.dataset.config.counters.span == times[10] - times[0]


def test_windows_of_the_counters_do_not_depend_on_the_test_period(tmp_path: Path) -> None:
    later = [*LOG[:-1], replace(LOG[-1], time=10**9)]
    first, second = (build(store_of(tmp_path / name, event_frame(log))) for name, log in (("a", LOG), ("b", later)))
    assert first.split == second.split
    assert first.dataset.config == second.dataset.config


def test_queries_between_two_times_have_retrieved_candidates_and_labels(training_data: TrainingData) -> None:
    queries, data = ranking_data(training_data, matcher(), 10, 22, 99, CONFIG)
    assert queries.times.tolist() == [11, 12, 20, 21, 22]
    assert len(data.pairs.candidates) == 5
    assert data.pairs.candidates.lengths.max() <= 3
    for row, items in enumerate(data.pairs.candidates.to_lists()):
        begin, end = data.pairs.candidates.offsets[row : row + 2]
        assert data.labels[begin:end].tolist() == [int(item in queries.positives.row(row)) for item in items]
    assert len(ranking_data(training_data, matcher(), 10, 22, 2, CONFIG)[0]) == 2


def test_a_period_without_queries_gives_no_pair(training_data: TrainingData) -> None:
    queries, data = ranking_data(training_data, matcher(), 500, 600, 99, CONFIG)
    assert (len(queries), len(data.labels), len(data.pairs.candidates)) == (0, 0, 0)


def test_impressions_are_the_queries_if_there_are_any(with_impressions: TrainingData) -> None:
    queries, data = ranking_data(with_impressions, matcher(), 4, 20, 99, CONFIG)
    assert queries.times.tolist() == [5, 12, 20]
    assert with_impressions.dataset.users.gather(queries.users).to_list() == ["user0", "user1", "user2"]
    assert data.pairs.candidates.to_lists() == [[3, 1], [2], [4, 0]]
    assert data.labels.tolist() == [0, 1, 1, 0, 1]
    assert queries.positives.to_lists() == [[1], [2], [0]]
    assert "click_through" in data.pairs.values
    # The split is made among the impressions, too.
    assert (with_impressions.split.ranker_from, with_impressions.split.test_from) == (12, 20)


def test_impressions_are_cut_and_spread_by_time(with_impressions: TrainingData) -> None:
    shown = with_impressions.shown
    assert shown is not None
    assert shown.between(5, 20).times.tolist() == [12, 20]
    assert shown.spread(2).times.tolist() == [5, 31]
    taken = shown.take(np.array([3, 0]))
    assert (taken.candidates.to_lists(), taken.labels.tolist()) == ([[4], [3, 1]], [1, 0, 1])
    assert isinstance(taken, ImpressionQueries)


def test_labels_mark_the_positives_of_the_own_query() -> None:
    pairs = PairFeatures(Ragged.from_lists([[1, 2], [2, 9], []]), {})
    queries = Queries(np.arange(3), np.arange(3), Ragged.from_lists([[2], [9, 1], [4]]))
    assert labels_of(pairs, queries).tolist() == [0, 1, 0, 1]


@pytest.mark.parametrize("table", ["items", "events"])
def test_an_empty_store_is_refused(tmp_path: Path, table: str) -> None:
    store = Store.create(tmp_path / "store")
    if table == "events":
        store.append_items(catalogue().items)
    with pytest.raises(DataError, match=f"{table}: expected rows, got an empty table. Ingest {table} first."):
        build(store)
