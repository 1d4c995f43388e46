"""Attributes of users: which columns become features, and that one of them lifts the ranker, as of each query."""

from __future__ import annotations

import functools
import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path

import mlflow
import numpy as np
import pandas as pd
import polars as pl
import pytest

import recmem
import small_training
from conftest import IsolatedMlflow
from feature_store import DataError
from ranked_on_device import same_ranks_on_device
from recmem.dataset.candidate_features import CandidateFeature
from recmem.serving.model import Model
from tolerances import close
from training.api import train
from training.run import TrainingResult
from training.tracking.registry import save_pyfunc
from training.user_features import UsersConfig, interests_column, user_feature_names, user_features

BUDGETS = ("low", "high")
N_USERS = 60
N_LISTS = 20
"""Impression lists of a user."""
N_HOURS = 2000
BEGIN = datetime(2026, 1, 1, tzinfo=UTC)
END = BEGIN + timedelta(hours=N_HOURS)
USERS = [f"user {n:02}" for n in range(N_USERS)]


def items() -> pl.DataFrame:
    """The libraries, every other of which is dear."""
    return small_training.items().with_columns(price=1.0 + pl.int_range(pl.len()) % 2)


@functools.cache
def users() -> pl.DataFrame:
    """What each user can afford: at first by chance, from a time of chance on the opposite."""
    random = np.random.default_rng(2)
    first = (random.permutation(N_USERS) % 2).tolist()
    changes = [BEGIN + timedelta(hours=int(hour)) for hour in random.integers(500, N_HOURS - 100, N_USERS)]
    rows = [(user, None, BUDGETS[budget], 20 + budget) for user, budget in zip(USERS, first, strict=True)]
    rows += [
        (user, change, BUDGETS[1 - budget], 30 + budget)
        for user, change, budget in zip(USERS, changes, first, strict=True)
    ]
    schema = {"user_id": pl.String, "timestamp": pl.Datetime("us", "UTC"), "budget": pl.String, "age": pl.Int64}
    return pl.DataFrame(rows, schema=schema, orient="row").with_columns(signed_up=pl.lit(datetime(2020, 1, 1)))


def changes() -> dict[str, tuple[datetime, str]]:
    """By user: when the budget changed, and to what."""
    dated = users().filter(pl.col("timestamp").is_not_null()).sort("user_id")
    return {user: (time, budget) for user, time, budget in dated.select("user_id", "timestamp", "budget").iter_rows()}


@functools.cache
def impressions() -> pl.DataFrame:
    """What each user was shown: three cheap and three dear items, of which they chose one that they could afford."""
    random = np.random.default_rng(3)
    by_price = [items().filter(pl.col("price") == price)["item_id"].to_list() for price in (1.0, 2.0)]
    rows = []
    for user, (change, budget) in changes().items():
        for hour in random.choice(N_HOURS, N_LISTS, replace=False).tolist():
            time = BEGIN + timedelta(hours=hour, seconds=1)
            shown = [random.choice(some, 3, replace=False).tolist() for some in by_price]
            affordable = BUDGETS.index(budget) if time > change else 1 - BUDGETS.index(budget)
            chosen = shown[affordable][0]
            rows += [(f"{user} {time}", user, time, item, int(item == chosen)) for item in shown[0] + shown[1]]
    names = ["impression_id", "user_id", "timestamp", "item_id", "label"]
    return pl.DataFrame(rows, schema=names, orient="row")


@functools.cache
def events() -> pl.DataFrame:
    """What each user took for reasons of chance, before and after the budget changed: it tells nothing of prices."""
    random = np.random.default_rng(5)
    every = items()["item_id"].to_list()
    rows = [
        (user, str(random.choice(every)), BEGIN + timedelta(hours=int(hour)))
        for user in USERS
        for hour in random.choice(N_HOURS, 6, replace=False)
    ]
    return pl.DataFrame(rows, schema=["user_id", "item_id", "timestamp"], orient="row")


@functools.cache
def trained(*, with_users: bool) -> TrainingResult:
    """A training on the impressions, made once per process."""
    out = tempfile.mkdtemp(prefix="recmem-user-features-")
    return train(
        items(),
        events(),
        impressions=impressions(),
        users=users() if with_users else None,
        out=out,
        tune_encoder="off",
        config={"ranker.min_rows_in_leaf": 50},
    )


@pytest.fixture(autouse=True)
def tracked(isolated_mlflow: IsolatedMlflow) -> None:
    """Trainings of this file are tracked in a database of their own."""


def model() -> Model:
    return recmem.load(trained(with_users=True).bundle)


def shown_last() -> pl.DataFrame:
    rows = impressions()
    return rows.filter(pl.col("timestamp") == rows["timestamp"].max())


def test_attributes_that_decide_with_items_lift_both_rankers_alike() -> None:
    figures = {}
    for with_users in (False, True):
        ledger = trained(with_users=with_users).ledger
        figures[with_users] = {row.name: row.metrics["ndcg@10"] for row in ledger.rows}
    for name in ("ranker_with_match", "ranker_without_match"):
        assert figures[True][name] > figures[False][name] + 0.05, name
    for name in ("popularity", "match_score"):
        assert figures[True][name] == figures[False][name], name


def test_the_bundle_carries_the_features_and_the_vocabulary() -> None:
    one = model()
    assert one.dataset.config.user_features == (
        CandidateFeature("age"),
        CandidateFeature("budget", ("high", "low")),
    )
    assert {"users.age", "user_categories.budget"} <= set(one.bundle.ranker.features)
    assert not {"users.age_z", "user_categories.budget_z"} & set(one.bundle.ranker.inputs)


def test_trees_that_split_at_categories_rank_the_same_on_a_device() -> None:
    assert (model().bundle.ranker.trees.arrays.words_begin >= 0).any()
    same_ranks_on_device(model(), shown_last())


def dear_first(ranked: pl.DataFrame) -> pl.Series:
    """By user: how much higher the dear items are scored than the cheap ones, on average."""
    priced = ranked.join(items().select("item_id", "price"), on="item_id", maintain_order="left")
    dear = pl.col("score").filter(pl.col("price") == 2).mean()
    cheap = pl.col("score").filter(pl.col("price") == 1).mean()
    return priced.group_by("user_id").agg((dear - cheap).alias("gap")).sort("user_id")["gap"]


def every_item(user_ids: list[str], **columns: object) -> pl.DataFrame:
    """Each of the users with each item."""
    pairs = pl.DataFrame({"user_id": user_ids}).join(items().select("item_id"), how="cross")
    return pairs.with_columns(pl.lit(value).alias(name) for name, value in columns.items())


def test_the_newest_row_known_at_the_time_of_a_query_is_read() -> None:
    one = model()
    wants_dear = pl.Series([budget == "high" for _, budget in changes().values()])
    now = dear_first(one.rank(every_item(USERS))) > 0
    assert (now == wants_dear).mean() > 0.9
    times = pl.DataFrame({"user_id": USERS, "timestamp": [time for time, _ in changes().values()]})
    at_the_change = dear_first(one.rank(every_item(USERS).join(times, on="user_id"))) > 0
    assert (at_the_change != wants_dear).mean() > 0.9
    later = times.with_columns(pl.col("timestamp") + timedelta(microseconds=1))
    just_after = dear_first(one.rank(every_item(USERS).join(later, on="user_id"))) > 0
    assert (just_after == wants_dear).mean() > 0.9


def test_a_user_without_events_is_ranked_by_the_attributes_and_one_without_a_row_by_none() -> None:
    one = model()
    receipt = one.observe_users(
        pl.DataFrame({"user_id": ["rich", "poor", "odd"], "budget": ["high", "low", "never seen"], "age": [None] * 3})
    )
    assert (receipt.n_new, receipt.n_duplicate, receipt.n_rejected) == (3, 0, 0)
    poor, rich = dear_first(one.rank(every_item(["rich", "poor"])))
    assert rich > 0.2 > -0.2 > poor
    odd = one.rank(every_item(["odd"]))["score"]
    stranger = one.rank(every_item(["stranger"]))["score"]
    assert odd.equals(stranger)
    best = one.recommend(["rich"], k=5).join(items().select("item_id", "price"), on="item_id")
    assert (best["price"] == 2).mean() > 0.5


def test_a_change_that_is_observed_holds_from_its_time_on_and_the_same_again_is_a_duplicate() -> None:
    one = model()
    user = USERS[0]
    before = one.rank(every_item([user]))["score"]
    now = changes()[user][1]
    other = BUDGETS[1 - BUDGETS.index(now)]
    # After the last event: what is ranked without a time is ranked as of now, which knows it.
    change = pl.DataFrame({"user_id": [user], "timestamp": [END + timedelta(days=9)], "budget": [other]})
    assert one.observe_users(change).n_new == 1
    assert one.observe_users(change.to_pandas()).n_duplicate == 1
    changed = one.rank(every_item([user]))
    assert (dear_first(changed)[0] > 0) == (other == "high")
    earlier = one.rank(every_item([user], timestamp=END))
    assert (dear_first(earlier)[0] > 0) == (now == "high")
    assert one.observe_users(pl.DataFrame({"user_id": [user], "timestamp": ["soon"]})).n_rejected == 1
    close(recmem.load(trained(with_users=True).bundle).rank(every_item([user]))["score"].to_numpy(), before, "exact")


def test_the_store_serves_what_a_model_observes_and_a_given_history_leaves_the_attributes() -> None:
    one = model()
    one.observe_users(pl.DataFrame({"user_id": ["rich"], "budget": ["high"]}))
    with_history = every_item(["rich"]).with_columns(history=pl.lit(["libcurl4-openssl-dev"], pl.List(pl.String)))
    assert dear_first(one.rank(with_history))[0] > 0.2


def test_frames_files_and_the_pyfunc_give_the_same_scores(tmp_path: Path) -> None:
    from recmem.cli.score import score

    bundle = trained(with_users=True).bundle
    candidates = every_item(USERS[:5])
    ranked = model().rank(candidates)["score"].to_numpy()
    candidates.write_parquet(tmp_path / "candidates.parquet")
    score(model=str(bundle), candidates=str(tmp_path / "candidates.parquet"), out=str(tmp_path / "scores.parquet"))
    close(pl.read_parquet(tmp_path / "scores.parquet")["score"].to_numpy(), ranked, "exact")
    save_pyfunc(bundle, tmp_path / "model", candidates)
    served = mlflow.pyfunc.load_model(str(tmp_path / "model"))
    assert not {"budget", "age"} & set(served.metadata.signature.inputs.input_names())
    result: pd.DataFrame = served.predict(candidates.to_pandas())
    close(result["score"].to_numpy(), ranked, "exact")


def test_what_was_read_of_the_table_and_what_was_not_is_told() -> None:
    result = trained(with_users=True)
    (receipt,) = [receipt for receipt in result.receipts if receipt.table == "users"]
    assert (receipt.n_new, receipt.n_rejected) == (2 * N_USERS, 0)
    assert [name for name in result.intake.unused if name.startswith("users.")] == ["users.signed_up"]
    page = result.report.read_text()
    assert "attributes of users" in page
    assert "age, budget" in page
    assert "--users USERS" in page


def test_explanations_have_a_part_for_each_attribute() -> None:
    explained = model().explain(USERS[0], "libldap-dev")
    assert {"users.age", "user_categories.budget"} <= set(explained.features)


def test_columns_that_are_features_without_being_named_are_numbers_and_texts_of_few_values() -> None:
    table = pl.DataFrame(
        {
            "user_id": list("abcd"),
            "timestamp": [None] * 4,
            "plan": ["x", "x", "y", "y"],
            "email": ["a@b.de", "b@b.de", "c@b.de", "d@b.de"],
            "born": [datetime(2000, 1, 1)] * 4,
            "age": [1, 2, 3, None],
        }
    )
    assert user_feature_names(table, "") == ("age", "plan")
    assert user_feature_names(table, "plan") == ("age",)
    assert user_features(table, UsersConfig()) == (CandidateFeature("age"), CandidateFeature("plan", ("x", "y")))
    assert user_features(table.head(0).select("user_id"), UsersConfig()) == ()
    assert interests_column(table, UsersConfig()) == ""
    assert interests_column(table, UsersConfig(interests="email")) == "email"
    with pytest.raises(DataError, match=r"users.hobbies: expected a column of text, .*, got none in the store"):
        interests_column(table, UsersConfig(interests="hobbies"))
    with pytest.raises(DataError, match=r"users.age: expected a column of text, .*, got a column of Int64"):
        interests_column(table, UsersConfig(interests="age"))
    (email,) = user_features(table, UsersConfig(features=("email",)))
    assert email.categories == ("a@b.de", "b@b.de", "c@b.de", "d@b.de")
    with pytest.raises(DataError, match=r"users.born: expected numbers or text for a feature, got Datetime"):
        user_features(table, UsersConfig(features=("born",)))
    with pytest.raises(DataError, match=r"users.height: expected a column with values, .*, got none in the store"):
        user_features(table, UsersConfig(features=("height",)))
    with pytest.raises(ValueError, match="features: expected attributes of users, got 'timestamp', which is none"):
        UsersConfig(features=("timestamp",))
    with pytest.raises(ValueError, match="features: expected each column once, got age, age"):
        UsersConfig(features=("age", "age"))
