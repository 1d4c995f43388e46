"""Recommendations: the best items of the catalogue for each user, each with its reason."""

from __future__ import annotations

import polars as pl
import pytest

from debian_model import trained_model
from feature_store import DataError
from recmem.serving import recommend as recommend_module
from recmem.serving.model import Model
from tolerances import close


def test_recommend_ranks_the_catalogue_without_what_the_user_has(model: Model) -> None:
    users = trained_model().events["user_id"].unique().sort().head(5).to_list()
    best = model.recommend([*users, "nobody"], k=4)
    assert best.columns == ["user_id", "item_id", "score", "rank", "match_score", "reason"]
    assert best["user_id"].to_list() == [user for user in [*users, "nobody"] for _ in range(4)]
    assert best["rank"].to_list() == [1, 2, 3, 4] * 6
    has = trained_model().events.select("user_id", "item_id").unique()
    assert best.join(has, on=["user_id", "item_id"]).is_empty()
    for _, mine in best.group_by("user_id"):
        assert mine["score"].is_sorted(descending=True)
    is_unknown = best["user_id"] == "nobody"
    assert best.filter(~is_unknown)["reason"].str.starts_with("because").all()
    assert set(best.filter(is_unknown)["reason"]) == {"no reason from memory: the user's memory is empty"}


def test_recommending_to_many_is_recommending_to_each(model: Model) -> None:
    users = trained_model().events["user_id"].unique().sort().head(4)
    together = model.recommend(users, k=3)
    for user in users:
        alone = model.recommend([user], k=3)
        mine = together.filter(pl.col("user_id") == user)
        assert alone["item_id"].to_list() == mine["item_id"].to_list()
        close(alone["score"].to_numpy(), mine["score"].to_numpy(), "float32")


def test_recommending_more_than_there_is_gives_what_there_is(model: Model) -> None:
    best = model.recommend(["nobody"], k=1000)
    assert sorted(best["item_id"]) == sorted(trained_model().items["item_id"])
    assert model.recommend(["nobody"], k=10**9).equals(best)
    assert model.recommend([], k=3).schema == best.schema


@pytest.mark.parametrize(
    ("users", "words"),
    [("abc", "Put it in a list"), ([None], "1 null"), ([1, "a"], "one type"), (["\ud800"], "in UTF-8")],
)
def test_invalid_users_are_refused(model: Model, users: object, words: str) -> None:
    with pytest.raises(DataError, match=words):
        model.recommend(users)  # type: ignore[arg-type]


def test_an_invalid_length_is_refused(model: Model) -> None:
    with pytest.raises(DataError, match="k: expected at least 1"):
        model.recommend(["a"], k=0)


def test_recommending_in_chunks_of_users_changes_nothing(model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    users = trained_model().events["user_id"].unique().sort().head(5)
    whole = model.recommend(users, k=3)
    monkeypatch.setattr(recommend_module, "CHUNK_QUERIES", 2)
    chunked = model.recommend(users, k=3)
    assert chunked.drop("score", "match_score").equals(whole.drop("score", "match_score"))
    close(chunked["score"].to_numpy(), whole["score"].to_numpy(), "float32")
