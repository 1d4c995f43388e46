"""`Model.rank` on a device: the scores and ranks of the CPU, for rows of every kind."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import numpy as np
import polars as pl
import pytest
import torch

from debian_model import model_of, trained_model, with_cancellations
from described_users import describe_users
from own_feature import FEATURES, model_with
from ranked_on_device import same_ranks_on_device
from recmem.serving import scoring
from recmem.serving.model import Model
from recmem.serving.scoring import DEVICE_FROM_PAIRS, ranks_on_device

SHARES = [1.0, 0.2]


@pytest.fixture(scope="module")
def model() -> Model:
    return trained_model().model()


@pytest.fixture(scope="module")
def on_device(device: torch.device) -> Model:
    return Model.load(trained_model().bundle, store=trained_model().store, device=str(device))


@pytest.fixture(scope="module")
def rows() -> pl.DataFrame:
    """Known users at three times, an unknown one, guests with histories, one of which is empty, and a new item."""
    trained = trained_model()
    users = trained.events["user_id"].unique().sort().head(12).to_list()
    items = trained.items["item_id"].to_list()
    last = trained.events["timestamp"].max()
    first = trained.events["timestamp"].min()
    assert last is not None
    times = [last - timedelta(days=days) for days in (200, 90, 0)]  # type: ignore[operator]
    queries = [(user, time, None) for user in [*users, "nobody"] for time in [*times, first]]
    queries += [("a guest", times[-1], items[3:6]), ("a guest", times[0], []), ("a guest", times[0], ["unknown"])]
    texts = {item: None for item in items} | {"new": "a library for images"}
    found = [(user, item, time, text, history) for user, time, history in queries for item, text in texts.items()]
    frame = pl.DataFrame(
        found, ["user_id", "item_id", "timestamp", "title", "history"], orient="row", infer_schema_length=None
    )
    return frame.sample(fraction=0.9, shuffle=True, seed=1)


@pytest.mark.parametrize("share", SHARES)
def test_scores_and_ranks_are_those_of_the_cpu(
    model: Model, on_device: Model, rows: pl.DataFrame, share: float
) -> None:
    ranked = same_ranks_on_device(model, rows, on_device=on_device, trees_share=share)
    assert ranked["score"].n_unique() > len(ranked) // 2


def test_chunks_change_nothing(
    model: Model, on_device: Model, rows: pl.DataFrame, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scoring, "DEVICE_CHUNK_PAIRS", 100)
    same_ranks_on_device(model, rows, on_device=on_device)


def test_rows_without_times_or_histories_and_no_row(model: Model, on_device: Model, rows: pl.DataFrame) -> None:
    same_ranks_on_device(model, rows.select("user_id", "item_id"), on_device=on_device)
    same_ranks_on_device(model, rows.clear(), on_device=on_device)


def test_rows_that_are_there_twice_share_their_rank(model: Model, on_device: Model, rows: pl.DataFrame) -> None:
    twice = pl.concat([rows, rows.head(50)])
    ranked = same_ranks_on_device(model, twice, on_device=on_device)
    assert ranked.tail(50)["rank"].equals(ranked.head(50)["rank"])


def test_impressions_are_queries_and_impressions_of_the_log_count(rows: pl.DataFrame) -> None:
    random = np.random.default_rng(4)
    shown = rows.select("user_id", "item_id", "timestamp").filter(pl.col("item_id") != "new")
    shown = shown.with_columns(
        impression_id=(pl.int_range(pl.len()) // 9).cast(pl.String),
        label=pl.Series(random.integers(0, 2, len(shown))),
    ).with_columns(pl.col("user_id", "timestamp").first().over("impression_id"))
    model = model_of(trained_model().events, shown)
    model.dataset = replace(model.dataset, config=replace(model.dataset.config, has_impressions=True, repeats=True))
    same_ranks_on_device(model, rows.with_columns(impression_id=pl.int_range(pl.len()) % 40))


def test_cancelled_and_observed_events_count_as_on_the_cpu(rows: pl.DataFrame) -> None:
    events = trained_model().events
    same_ranks_on_device(model_of(with_cancellations(events)), rows)
    model = model_of(events)
    model.observe(events.head(20).with_columns(user_id=pl.lit("nobody"), event=pl.lit("depends")))
    same_ranks_on_device(model, rows)


def test_columns_of_candidates_and_of_users(rows: pl.DataFrame) -> None:
    random = np.random.default_rng(3)
    own = rows.with_columns(
        ctr=pl.when(pl.Series(random.random(len(rows)) < 0.7)).then(pl.Series(random.random(len(rows)))),
        device=pl.Series(random.choice(["app", "web", "tv", None], len(rows)).tolist(), dtype=pl.String),
    )
    model = model_with(*FEATURES)
    describe_users(model, trained_model().events)
    same_ranks_on_device(model, own)


def test_reasons_come_with_the_scores_of_the_cpu(
    model: Model, rows: pl.DataFrame, monkeypatch: pytest.MonkeyPatch
) -> None:
    few = rows.head(30)
    expected = model.rank(few, explain=1)
    monkeypatch.setattr(scoring, "ranks_on_device", lambda matcher, n_pairs: True)
    assert model.rank(few, explain=1).equals(expected)


def test_a_device_is_used_where_it_is_a_gpu_and_the_pairs_are_many(on_device: Model, device: torch.device) -> None:
    assert ranks_on_device(on_device.matcher, DEVICE_FROM_PAIRS) == (device.type == "cuda")
    assert not ranks_on_device(on_device.matcher, DEVICE_FROM_PAIRS - 1)
