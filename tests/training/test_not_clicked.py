"""Items shown and not clicked as memory slots, end to end: in memories and reasons, and in all ways of scoring."""

from __future__ import annotations

import functools
import tempfile

import numpy as np
import polars as pl
import pytest

import recmem
import small_training
from conftest import IsolatedMlflow
from feature_store import Store
from recmem.audit.parity import replay_audit
from recmem.audit.past_queries import PastQueries
from recmem.serving.model import Model
from tolerances import close
from training.api import train
from training.run import TrainingResult

CONFIG = {
    "memory.not_clicked": 3,
    "match.min_steps": 1,
    "match.max_steps": 5,
    "ranker.rounds": 5,
    "tree_members": 1,
    "refit": False,
    "tuning.kind": "off",
}
"""Settings that make a training short: nothing is to be learned here."""


@functools.cache
def impressions() -> pl.DataFrame:
    """What each project was shown at each date: six items, of which one was clicked."""
    random = np.random.default_rng(1)
    every = small_training.items()["item_id"].to_list()
    visits = small_training.events().select("user_id", "timestamp").unique().sort("timestamp", "user_id")
    rows = []
    for user, time in visits.iter_rows():
        for place, item in enumerate(random.choice(every, 6, replace=False).tolist()):
            rows.append((f"{user} {time}", user, time, item, int(place == 0)))
    return pl.DataFrame(rows, schema=["impression_id", "user_id", "timestamp", "item_id", "label"], orient="row")


@functools.cache
def trained() -> TrainingResult:
    """A training with the slots, made once per process."""
    out = tempfile.mkdtemp(prefix="recmem-not-clicked-")
    return train(small_training.items(), small_training.events(), impressions=impressions(), out=out, config=CONFIG)


@pytest.fixture(autouse=True)
def tracked(isolated_mlflow: IsolatedMlflow) -> None:
    """Trainings of this file are tracked in a database of their own."""


def model() -> Model:
    return recmem.load(trained().bundle)


def somebody() -> str:
    """A project that was shown something at several dates."""
    dates = impressions().group_by("user_id").agg(pl.col("timestamp").n_unique())
    return str(dates.sort("timestamp", "user_id")["user_id"][-1])


def test_a_memory_lists_what_was_shown_last_and_not_clicked() -> None:
    one = model()
    user = somebody()
    memory = one.memory(user)
    slots = memory.filter(pl.col("kind") == "not_clicked")
    mine = impressions().filter(pl.col("user_id") == user)
    clicked = mine.filter(pl.col("label") == 1)["item_id"]
    taken = memory.filter(pl.col("kind") == "positive")["item_id"]
    left = mine.filter(~pl.col("item_id").is_in(clicked.implode()), ~pl.col("item_id").is_in(taken.implode()))
    row = pl.Series("row", one.dataset.catalogue.rows(left["item_id"]))
    newest = left.with_columns(row).sort("timestamp", "row", descending=True)
    expected = newest.unique("item_id", keep="first", maintain_order=True).head(3)
    assert slots["item_id"].to_list() == expected["item_id"].to_list()
    assert slots["timestamp"].to_list() == expected["timestamp"].to_list()
    assert all(title.endswith(" (shown, not clicked)") for title in slots["title"])
    assert slots["visits_ago"].is_null().all()


def test_a_question_finds_what_was_not_clicked_only_if_asked_for_it() -> None:
    one = model()
    user = somebody()
    shown = set(one.memory(user).filter(pl.col("kind") == "not_clicked")["item_id"])
    found = one.search_memory(user, "network", k=100, negatives=True)
    assert set(found.filter(pl.col("kind") == "not_clicked")["item_id"]) == shown
    assert one.search_memory(user, "network", k=100).equals(found.filter(~pl.col("item_id").is_in(list(shown))))


def test_an_item_that_was_only_shown_is_not_said_to_be_in_the_memory() -> None:
    one = model()
    user = somebody()
    shown = one.memory(user).filter(pl.col("kind") == "not_clicked")["item_id"][0]
    explained = one.explain(user, shown)
    assert not explained.already_in_memory
    of_kind = [slot for slot in explained.slots if slot.kind == "not_clicked"]
    assert [slot.item_id for slot in of_kind].count(shown) == 1
    # Its parts add up, or the explanation would have raised; and these are parts.
    assert all(slot.contribution != 0 for slot in of_kind)


def test_batches_single_queries_and_given_times_read_the_same() -> None:
    one = model()
    assert replay_audit(one, PastQueries.sample(one.dataset, 8, np.random.default_rng(1))).is_empty()
    last = impressions().filter(pl.col("timestamp") == impressions()["timestamp"].max())
    rows = last.select("user_id", "item_id", "timestamp")
    together = one.rank(rows)
    for user in rows["user_id"].unique().to_list()[:3]:
        alone = one.rank(rows.filter(pl.col("user_id") == user))
        expected = together.filter(pl.col("user_id") == user)["match_raw"].to_numpy()
        close(alone["match_raw"].to_numpy(), expected, "same_rows")


def test_what_was_shown_later_changes_no_earlier_score() -> None:
    one = model()
    user = somebody()
    first = impressions().filter(pl.col("user_id") == user)["timestamp"].min()
    assert (one.memory(user, timestamp=first)["kind"] == "not_clicked").sum() == 0


def test_forgotten_users_leave_nothing_that_they_were_shown() -> None:
    user = somebody()
    store = Store.create(tempfile.mkdtemp(prefix="recmem-not-clicked-store-"))
    store.append_items(small_training.items())
    store.append_events(small_training.events())
    store.append_impressions(impressions())
    assert len(recmem.load(trained().bundle, store=store.path).memory(user))
    store.forget_user(user)
    assert recmem.load(trained().bundle, store=store.path).memory(user).is_empty()
