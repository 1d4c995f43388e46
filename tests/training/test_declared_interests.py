"""Declared interests, end to end: a user without any event is ranked by what they have declared."""

from __future__ import annotations

import functools
import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import polars as pl
import pytest

import recmem
import small_training
from conftest import IsolatedMlflow
from feature_store import Store
from recmem.forgetting.forget import forget_user
from recmem.langchain import MemoryChatHistory, MemoryRetriever
from recmem.serving.model import Model
from recmem.text.vector_cache import VECTORS_FOLDER, cached_texts
from tolerances import close
from training.api import train
from training.run import TrainingResult

DECLARED = {
    "network": "network protocols, HTTP and TLS",
    "drawing": "drawing, graphics and user interfaces",
    "sound": "sound, music and audio codecs",
}
"""What the users of each theme of the log have declared."""
NEW = {"network": "secure internet connections", "drawing": "vector images", "sound": "audio playback"}
"""What new users declare, in words that nobody else has used."""


N_USERS_PER_THEME = 20
N_EVENTS = 6
"""Of a user, each at a time of its own."""
N_HOURS = 1440


def theme_of_item() -> dict[str, str]:
    return {item: theme for theme, libraries in small_training.THEMES.items() for item, _ in libraries}


@functools.cache
def users() -> pl.DataFrame:
    """Users with the interests of the theme that they stay with; one has declared none."""
    rows = [(f"{theme} {n}", DECLARED[theme]) for theme in DECLARED for n in range(N_USERS_PER_THEME)]
    return pl.DataFrame([*rows[:-1], (rows[-1][0], None)], schema=["user_id", "interests"], orient="row")


@functools.cache
def events() -> pl.DataFrame:
    """Each user takes libraries of one theme in an order of chance: none is new, and none is more popular."""
    random = np.random.default_rng(4)
    begin = datetime(2026, 1, 1, tzinfo=UTC)
    rows = []
    for user in users()["user_id"]:
        libraries = [item for item, _ in small_training.THEMES[user.split()[0]]]
        hours = sorted(random.choice(N_HOURS, N_EVENTS, replace=False).tolist())
        for item, hour in zip(random.permutation(libraries).tolist(), hours, strict=False):
            rows.append((user, item, begin + timedelta(hours=hour)))
    return pl.DataFrame(rows, schema=["user_id", "item_id", "timestamp"], orient="row")


@functools.cache
def trained() -> TrainingResult:
    """A training with the table, made once per process."""
    out = tempfile.mkdtemp(prefix="recmem-interests-")
    return train(small_training.items(), events(), users=users(), out=out, tune_encoder="off")


@pytest.fixture(autouse=True)
def tracked(isolated_mlflow: IsolatedMlflow) -> None:
    """Trainings of this file are tracked in a database of their own."""


def model() -> Model:
    return recmem.load(trained().bundle)


def share_of_theme(best: pl.DataFrame, theme: str) -> float:
    themes = theme_of_item()
    return sum(themes[item] == theme for item in best["item_id"]) / len(best)


def test_a_new_user_without_any_event_gets_the_items_of_the_declared_interests() -> None:
    one = model()
    assert one.dataset.config.interests == "interests"
    assert "interests_similarity" in one.bundle.ranker.features
    receipt = one.observe_users(pl.DataFrame({"user_id": list(NEW), "interests": list(NEW.values())}))
    assert receipt.n_new == 3
    stranger = one.recommend(["stranger"], k=5)
    for theme in NEW:
        best = one.recommend([theme], k=5)
        assert share_of_theme(best, theme) >= 0.8, theme
        assert share_of_theme(stranger, theme) < 0.8
        quoted = f'because it builds on the declared interest "{NEW[theme]}"'
        assert best["reason"][0] == quoted
        assert (best["reason"] == quoted).mean() >= 0.6
        assert one.memory(theme).select("title", "kind").rows() == [
            (f'the declared interest "{NEW[theme]}"', "declared")
        ]
    assert stranger["reason"].unique().to_list() == ["no reason from memory: the user's memory is empty"]


def test_interests_of_the_store_are_read_as_those_that_are_observed() -> None:
    one = model()
    user = users()["user_id"][0]
    text = users()["interests"][0]
    pairs = small_training.items().select(pl.lit(user).alias("user_id"), "item_id")
    one.observe_users(pl.DataFrame({"user_id": ["twin"], "interests": [text]}))
    history = events().filter(pl.col("user_id") == user).sort("timestamp")
    twin = history.with_columns(user_id=pl.lit("twin"))
    one.observe(twin)
    ranked = one.rank(pairs)["score"]
    assert ranked.equals(one.rank(pairs.with_columns(user_id=pl.lit("twin")))["score"])


def test_an_explanation_quotes_an_interest_once_with_what_it_adds() -> None:
    one = model()
    one.observe_users(pl.DataFrame({"user_id": ["new"], "interests": [NEW["sound"]]}))
    explained = one.explain("new", "libmp3lame-dev")
    (slot,) = explained.slots
    assert (slot.item_id, slot.age, slot.kind) == (None, None, "declared")
    assert slot.contribution > 0
    assert explained.reason() == (
        f'because it builds on the declared interest "{NEW["sound"]}" ({slot.contribution:+.2f}) in the raw match score'
    )
    assert explained.interests is not None
    assert explained.features["interests_similarity"] > 0
    assert one.explain("new", "libcairo2-dev").interests is None


def test_several_interests_and_events_are_one_memory() -> None:
    one = model()
    user = users()["user_id"][0]
    n_events = len(events().filter(pl.col("user_id") == user))
    memory = one.memory(user)
    assert memory["kind"].to_list() == ["positive"] * n_events + ["declared"] * 2
    assert memory["title"].to_list()[-2:] == [
        'the declared interest "network protocols"',
        'the declared interest "HTTP and TLS"',
    ]
    assert memory["item_id"].null_count() == memory["visits_ago"].null_count() == 2
    explained = one.explain(user, events().filter(pl.col("user_id") == user)["item_id"][0])
    assert [slot.title for slot in explained.slots] == memory["title"].to_list()


def test_a_question_finds_the_interests_of_a_user_without_events_as_of_a_time() -> None:
    one = model()
    newcomer = MemoryChatHistory(one, "newcomer")
    newcomer.declare(f"{NEW['sound']}; {NEW['drawing']}", timestamp="2026-06-01")
    for question, first, second in (("Play some music", "sound", "drawing"), ("Draw a picture", "drawing", "sound")):
        found = one.search_memory("newcomer", question, timestamp="2026-07-01")
        assert found["text"].to_list() == [f'the declared interest "{NEW[theme]}"' for theme in (first, second)]
        assert found.select("item_id", "kind", "visits_ago", "n_events").unique().rows() == [
            (None, "declared", None, 0)
        ]
        assert found["timestamp"].unique().to_list() == [datetime(2026, 6, 1, tzinfo=UTC)]
        read = MemoryRetriever(model=one, user_id="newcomer", timestamp="2026-07-01", k=1)
        assert [document.page_content for document in read.invoke(question)] == found["text"].head(1).to_list()
    (document,) = read.invoke("Draw a picture")
    assert (document.id, document.metadata["item_id"], document.metadata["kind"]) == (None, None, "declared")
    assert document.metadata["timestamp"] == "2026-06-01T00:00:00+00:00"
    assert one.search_memory("newcomer", "Play some music", timestamp="2026-06-01").is_empty()
    newcomer.declare(NEW["network"], timestamp="2026-08-01")
    assert read.invoke("Draw a picture") == [document]


def test_parts_of_a_question_are_those_of_events_and_interests() -> None:
    one = model()
    user = users()["user_id"][0]
    found = one.search_memory(user, "Encrypt a connection", k=50)
    assert len(found) == len(one.memory(user))
    assert found["similarity"].is_sorted(descending=True)
    scored = one.match_texts(user, ["Encrypt a connection"], explain=1)
    base = float(scored["reasons"].str.json_path_match("$.match_raw[0].contribution")[0])
    close(found["contribution"].sum() + base, scored["match_raw"][0], "explanation")
    items = found.filter(pl.col("item_id").is_not_null())
    assert set(items["kind"]) == {"positive"}
    assert len(items) == N_EVENTS


def test_a_forgotten_user_is_a_stranger_and_the_vector_of_the_interests_is_gone(tmp_path: Path) -> None:
    store = Store.open_or_create(tmp_path / "store")
    store.append_items(small_training.items())
    store.append_events(events())
    store.append_users(pl.DataFrame({"user_id": ["newcomer"], "interests": [NEW["sound"]]}))
    before = recmem.load(trained().bundle, store=store)
    assert share_of_theme(before.recommend(["newcomer"], k=5), "sound") >= 0.8
    vectors = Path(store.path) / VECTORS_FOLDER
    assert cached_texts(vectors, [NEW["sound"]]) == [NEW["sound"]]
    receipt = forget_user(store, "newcomer")
    assert receipt.vectors == 1
    assert cached_texts(vectors, [NEW["sound"]]) == []
    after = recmem.load(trained().bundle, store=store)
    forgotten = after.recommend(["newcomer"], k=5).drop("user_id")
    assert forgotten.equals(after.recommend(["stranger"], k=5).drop("user_id"))
