"""Explanations: the parts add up to the score, and the words name the largest."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import polars as pl
import pytest

from debian_model import model_of, trained_model
from feature_store import DataError
from recmem.matching.user_memory import MemoryConfig
from recmem.serving.explain import Explanation, SharedFact, SlotReason, in_words
from recmem.serving.model import Model
from tolerances import close

MEMORIES = [MemoryConfig(recent=20), MemoryConfig(recent=2, retrieved=2, retrieved_from=9)]


@pytest.fixture(scope="module", params=MEMORIES)
def model(request: pytest.FixtureRequest) -> Model:
    """The trained model, also as if its module had been trained with retrieved slots."""
    return model_of(trained_model().events, memory=request.param)


def some_pairs(n: int) -> list[tuple[str, str]]:
    random = np.random.default_rng(3)
    users = trained_model().events["user_id"].unique().sort()
    items = trained_model().items["item_id"].sort()
    return [(users[int(random.integers(len(users)))], items[int(random.integers(len(items)))]) for _ in range(n)]


def test_slots_prior_and_null_add_up_to_the_served_match_score(model: Model) -> None:
    pairs = some_pairs(60)
    served = model.match(pl.DataFrame(pairs, schema=["user_id", "item_id"], orient="row"))["match_raw"]
    for (user, item), raw in zip(pairs, served, strict=True):
        explanation = model.explain(user, item)
        close(
            explanation.prior + explanation.null + sum(slot.contribution for slot in explanation.slots),
            raw,
            "explanation",
        )
        assert explanation.slots


def test_features_add_up_to_the_score_that_recommend_ranks_by(model: Model) -> None:
    best = model.recommend(trained_model().events["user_id"].unique().sort().head(10), k=4)
    for user, item, score in best.select("user_id", "item_id", "score").iter_rows():
        explanation = model.explain(user, item)
        close(sum(explanation.features.values()), explanation.score, "explanation")
        close(explanation.score, score, "explanation")
    assert {"constant", "match_raw", "popularity", "items.size_kb"} <= set(explanation.features)


def test_explanation_is_as_of_its_time(model: Model) -> None:
    events = trained_model().events.sort("timestamp")
    user = events["user_id"].mode()[0]
    time = events["timestamp"].quantile(0.5)
    explanation = model.explain(
        user,
        "zlib1g-dev" if "zlib1g-dev" in model.dataset.catalogue.ids else model.dataset.catalogue.ids[0],
        timestamp=time,
    )
    remembered = model.memory(user, time)
    assert [slot.item_id for slot in explanation.slots] == remembered["item_id"].to_list()
    assert [slot.age for slot in explanation.slots] == remembered["visits_ago"].to_list()
    assert [slot.kind for slot in explanation.slots] == remembered["kind"].to_list()
    assert len(remembered) < len(model.memory(user))


def test_unknown_user_is_explained_by_the_item_itself(model: Model) -> None:
    item = model.dataset.catalogue.ids[0]
    explanation = model.explain("nobody", item)
    assert explanation.slots == ()
    close(explanation.prior + explanation.null, explanation.match_raw, "explanation")
    assert "the user's memory is empty" in explanation.sentence()


def test_an_item_that_the_user_has_is_explained_too(model: Model) -> None:
    user = trained_model().events["user_id"].mode()[0]
    remembered = model.memory(user)["item_id"][0]
    explanation = model.explain(user, remembered)
    assert explanation.title.startswith(remembered)
    assert explanation.already_in_memory
    assert "the user has already interacted with it" in explanation.sentence()
    new = model.recommend([user], k=1)["item_id"][0]
    assert not model.explain(user, new).already_in_memory


def test_unknown_item_is_refused_in_words(model: Model) -> None:
    with pytest.raises(DataError, match="item_id: expected an item of the store, got 'unheard-of'"):
        model.explain("nobody", "unheard-of")


def test_frame_holds_every_part(model: Model) -> None:
    user, item = some_pairs(1)[0]
    explanation = model.explain(user, item)
    sums = dict(explanation.to_frame().group_by("of").agg(pl.col("contribution").sum()).iter_rows())
    close(sums["match_raw"], explanation.match_raw, "explanation")
    base = explanation.to_frame().filter(pl.col("part") == "base score (not from any memory slot)")
    assert base["contribution"].to_list() == [explanation.prior + explanation.null] == [explanation.base_score]
    close(sums["score"], explanation.score, "explanation")


def an_explanation() -> Explanation:
    slots = (
        SlotReason("a", "A", 0, "positive", 0.25),
        SlotReason("b", "B", 1, "positive", 0.5),
        SlotReason("c", "C", 1, "negative", -0.5),
        SlotReason("a", "A", 2, "positive", 0.5),
    )
    return Explanation(
        title="X",
        match_raw=1.0,
        prior=0.125,
        null=0.125,
        slots=slots,
        already_in_memory=False,
        features={"constant": 1.0, "match_raw": 0.5},
        score=1.5,
    )


def test_sentence_names_the_two_largest_and_adds_up_an_item_that_came_twice() -> None:
    assert an_explanation().sentence() == "X: because it builds on A (+0.75) and B (+0.50) in the raw match score"


def test_a_ranker_without_text_features_takes_no_reason_from_memory() -> None:
    explanation = replace(an_explanation(), features={"constant": 1.0, "popularity_long": 0.5})
    assert explanation.reason() == (
        "no reason from memory: its text matches A (+0.75) and B (+0.50) in the raw match score, "
        "but the ranker reads no texts"
    )


def test_sentence_says_that_the_user_already_has_the_item() -> None:
    explanation = replace(an_explanation(), already_in_memory=True)
    assert explanation.sentence().startswith("X (the user has already interacted with it): because it builds on A")
    assert explanation.reason() == an_explanation().reason()


def test_parts_that_do_not_add_up_are_refused() -> None:
    with pytest.raises(ArithmeticError, match=r"match_raw: expected parts that add up to 1.1, got 1.0"):
        replace(an_explanation(), match_raw=1.1)
    with pytest.raises(ArithmeticError, match=r"score: expected parts that add up to 1.4"):
        replace(an_explanation(), score=1.4)
    with pytest.raises(ArithmeticError, match="score"):
        replace(an_explanation(), score=float("nan"))


def test_words_without_a_memory_that_matches_the_item() -> None:
    assert in_words([], []) == "no reason from memory: the user's memory is empty"
    assert in_words(["A"], [-0.1]) == "no reason from memory: no memory slot raises its match score"
    assert in_words(["A", "B"], [0.1, -0.1]) == "because it builds on A"
    shared = SharedFact("topic: jazz", 3, None)
    assert in_words(["A"], [0.1], fact=shared).endswith(", and shares topic: jazz with 3 of the user's items")
    assert in_words(["topic: jazz"], [0.1], fact=shared) == "because it builds on topic: jazz"
