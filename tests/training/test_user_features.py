"""Attributes of users: which columns become features, and that one of them lifts the ranker, as of each query."""

from __future__ import annotations

import functools
import tempfile
from datetime import datetime, timedelta
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
from recmem.dataset.candidate_features import CandidateFeature
from recmem.serving.model import Model
from tolerances import close
from training.api import train
from training.run import TrainingResult
from training.tracking.registry import save_pyfunc
from training.user_features import UsersConfig, interests_column, user_feature_names, user_features

BUDGETS = ("low", "high")


def items() -> pl.DataFrame:
    """The libraries, every other of which is dear."""
    return small_training.items().with_columns(price=1.0 + pl.int_range(pl.len()) % 2)


def dates() -> list[datetime]:
    return small_training.events()["timestamp"].unique().sort().to_list()


@functools.cache
def users() -> pl.DataFrame:
    """What each project can afford: at first by chance, from the day before the fourth date on the opposite."""
    random = np.random.default_rng(2)
    ids = small_training.events()["user_id"].unique().sort().to_list()
    first = (random.permutation(len(ids)) % 2).tolist()
    change = dates()[3] - timedelta(days=1)
    rows = [(user, None, BUDGETS[budget], 20 + budget) for user, budget in zip(ids, first, strict=True)]
    rows += [(user, change, BUDGETS[1 - budget], 30 + budget) for user, budget in zip(ids, first, strict=True)]
    schema = {"user_id": pl.String, "timestamp": pl.Datetime("us", "UTC"), "budget": pl.String, "age": pl.Int64}
    return pl.DataFrame(rows, schema=schema, orient="row").with_columns(signed_up=pl.lit(datetime(2020, 1, 1)))


@functools.cache
def impressions() -> pl.DataFrame:
    """What each project was shown at each date: three cheap and three dear items; it chose one that it could afford."""
    random = np.random.default_rng(3)
    by_price = [items().filter(pl.col("price") == price)["item_id"].to_list() for price in (1.0, 2.0)]
    afford = {(user, time is not None): BUDGETS.index(budget) for user, time, budget, *_ in users().iter_rows()}
    visits = small_training.events().select("user_id", "timestamp").unique().sort("timestamp", "user_id")
    rows = []
    for user, time in visits.iter_rows():
        shown = [random.choice(some, 3, replace=False).tolist() for some in by_price]
        chosen = shown[afford[user, time >= dates()[3]]][0]
        rows += [(f"{user} {time}", user, time, item, int(item == chosen)) for item in shown[0] + shown[1]]
    names = ["impression_id", "user_id", "timestamp", "item_id", "label"]
    return pl.DataFrame(rows, schema=names, orient="row")


@functools.cache
def trained(*, with_users: bool) -> TrainingResult:
    """A training on the impressions, made once per process."""
    out = tempfile.mkdtemp(prefix="recmem-user-features-")
    return train(
        items(),
        small_training.events(),
        impressions=impressions(),
        users=users() if with_users else None,
        out=out,
        tune_encoder="off",
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
    ids = sorted(set(users()["user_id"]))
    wants_dear = users().filter(pl.col("timestamp").is_not_null()).sort("user_id")["budget"] == "high"
    change = dates()[3] - timedelta(days=1)
    after = dear_first(one.rank(every_item(ids))) > 0
    assert (after == wants_dear).mean() > 0.9
    at_the_change = dear_first(one.rank(every_item(ids, timestamp=change))) > 0
    assert (at_the_change != wants_dear).mean() > 0.9
    just_after = dear_first(one.rank(every_item(ids, timestamp=change + timedelta(microseconds=1)))) > 0
    assert (just_after == wants_dear).mean() > 0.9


def test_a_user_without_events_is_ranked_by_the_attributes_and_one_without_a_row_by_none() -> None:
    one = model()
    receipt = one.observe_users(
        pl.DataFrame(
            {"user_id": ["rich", "poor", "odd"], "budget": ["high", "low", "never seen"], "age": [25, 25, None]}
        )
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
    before = one.rank(every_item(["curl"]))["score"]
    now = users().filter(pl.col("user_id") == "curl", pl.col("timestamp").is_not_null())["budget"][0]
    other = BUDGETS[1 - BUDGETS.index(now)]
    # After the last event: what is ranked without a time is ranked as of now, which knows it.
    change = pl.DataFrame({"user_id": ["curl"], "timestamp": [dates()[-1] + timedelta(days=40)], "budget": [other]})
    assert one.observe_users(change).n_new == 1
    assert one.observe_users(change.to_pandas()).n_duplicate == 1
    changed = one.rank(every_item(["curl"]))
    assert (dear_first(changed)[0] > 0) == (other == "high")
    earlier = one.rank(every_item(["curl"], timestamp=dates()[-1] + timedelta(days=30)))
    assert (dear_first(earlier)[0] > 0) == (now == "high")
    assert one.observe_users(pl.DataFrame({"user_id": ["curl"], "timestamp": ["soon"]})).n_rejected == 1
    close(recmem.load(trained(with_users=True).bundle).rank(every_item(["curl"]))["score"].to_numpy(), before, "exact")


def test_the_store_serves_what_a_model_observes_and_a_given_history_leaves_the_attributes() -> None:
    one = model()
    one.observe_users(pl.DataFrame({"user_id": ["rich"], "budget": ["high"]}))
    with_history = every_item(["rich"]).with_columns(history=pl.lit(["libcurl4-openssl-dev"], pl.List(pl.String)))
    assert dear_first(one.rank(with_history))[0] > 0.2


def test_frames_files_and_the_pyfunc_give_the_same_scores(tmp_path: Path) -> None:
    from recmem.cli.score import score

    bundle = trained(with_users=True).bundle
    candidates = every_item(sorted(set(users()["user_id"]))[:5])
    ranked = model().rank(candidates)["score"].to_numpy()
    candidates.write_parquet(tmp_path / "candidates.parquet")
    score(model=str(bundle), candidates=str(tmp_path / "candidates.parquet"), out=str(tmp_path / "scores.parquet"))
    close(pl.read_parquet(tmp_path / "scores.parquet")["score"].to_numpy(), ranked, "exact")
    save_pyfunc(bundle, tmp_path / "model", candidates)
    served = mlflow.pyfunc.load_model(str(tmp_path / "model"))
    assert served.metadata.signature.inputs.input_names() == ["user_id", "item_id"]
    result: pd.DataFrame = served.predict(candidates.to_pandas())
    close(result["score"].to_numpy(), ranked, "exact")


def test_what_was_read_of_the_table_and_what_was_not_is_told() -> None:
    result = trained(with_users=True)
    (receipt,) = [receipt for receipt in result.receipts if receipt.table == "users"]
    assert (receipt.n_new, receipt.n_rejected) == (len(users()), 0)
    assert [name for name in result.intake.unused if name.startswith("users.")] == ["users.signed_up"]
    page = result.report.read_text()
    assert "attributes of users" in page
    assert "age, budget" in page
    assert "--users USERS" in page


def test_explanations_have_a_part_for_each_attribute() -> None:
    explained = model().explain("curl", "libldap-dev")
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
