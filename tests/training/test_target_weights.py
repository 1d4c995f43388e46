"""The weights of positives: found by user, time and item, and given to the candidates of a query."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl
import pytest

from feature_store import EVENTS, IMPRESSIONS, DataError
from feature_store.ragged import Ragged
from feature_store.table_checks import check_table
from five_item_dataset import CONFIG, catalogue
from recmem.dataset.dataset import Dataset
from tolerances import close
from training.queries import Queries, queries_between
from training.target_weights import TargetWeights, weights_of_candidates

START = datetime(2024, 1, 1, tzinfo=UTC)


def dataset_of(rows: list[tuple[str, int, int, str, float | None]]) -> Dataset:
    """Events: user, item (its row), day, name, weight."""
    ids = catalogue().ids
    frame = pl.DataFrame(
        {
            "user_id": [user for user, *_ in rows],
            "item_id": [ids[item] for _, item, *_ in rows],
            "timestamp": [START + timedelta(days=day) for _, _, day, *_ in rows],
            "event": [name for *_, name, _ in rows],
            "weight": pl.Series([weight for *_, weight in rows], dtype=pl.Float64),
        }
    )
    checked = check_table(frame, EVENTS, stored={"item_id": ids.dtype}).kept
    config = replace(CONFIG, signals=replace(CONFIG.signals, unnamed="auto").decided(checked))
    return Dataset.of(catalogue(), checked, pl.DataFrame(schema=IMPRESSIONS.schema()), config)


def weights_of(dataset: Dataset, *texts: str) -> tuple[Queries, np.ndarray]:
    """All queries of users with a history, and the weights of their positives."""
    queries = queries_between(dataset.log, -1, dataset.clock)
    weights = TargetWeights.of(dataset, texts)
    assert weights is not None
    return queries, weights.of_positives(queries.users, queries.times, queries.positives)


def test_a_positive_weighs_what_its_event_does() -> None:
    dataset = dataset_of(
        [
            ("a", 0, 0, "click", None),
            ("a", 1, 1, "click", None),
            ("a", 2, 1, "buy", None),
            ("b", 3, 0, "click", None),
            ("b", 1, 1, "buy", 0.5),
            ("b", 2, 2, "view", None),
        ]
    )
    queries, weights = weights_of(dataset, "click=0.2", "buy=3")
    assert queries.positives.to_lists() == [[1, 2], [1], [2]]
    close(weights, [0.2, 3, 1.5, 1], "float32")


def test_of_several_events_of_a_user_time_and_item_the_largest_weight_counts_and_negative_ones_never() -> None:
    dataset = dataset_of(
        [
            ("a", 0, 0, "click", None),
            ("a", 1, 1, "click", None),
            ("a", 1, 1, "buy", None),
            ("a", 1, 1, "return", 9),
            ("a", 2, 2, "click", 0.5),
            ("a", 2, 2, "view", 0.3),
        ]
    )
    queries, weights = weights_of(dataset, "click=0.2", "return=7")
    assert queries.positives.to_lists() == [[1], [2]]
    close(weights, [1, 0.3], "float32")


def test_without_weights_other_than_1_there_is_nothing_to_look_up() -> None:
    dataset = dataset_of([("a", 0, 0, "click", None), ("a", 1, 1, "click", 1)])
    assert TargetWeights.of(dataset, []) is None
    assert TargetWeights.of(dataset, ["buy=3"]) is None


def test_weights_of_0_throughout_are_refused() -> None:
    dataset = dataset_of([("a", 0, 0, "click", 0), ("a", 1, 1, "click", 0)])
    with pytest.raises(DataError, match=r"events.weight: expected a weight above 0 for some positive event, got 0 for"):
        TargetWeights.of(dataset, [])


def test_other_candidates_weigh_as_much_as_their_querys_positives_on_average() -> None:
    positives = Ragged.from_lists([[4, 2], [1], []])
    candidates = Ragged.from_lists([[1, 2, 3, 4], [0, 3], [2]])
    labels = np.array([0, 1, 0, 1, 0, 0, 0], np.int8)
    found = weights_of_candidates(np.array([3, 1, 0.5], np.float32), positives, candidates, labels)
    close(found, [2, 1, 2, 3, 0.5, 0.5, 0], "float32")
