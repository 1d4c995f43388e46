"""Trainings on logs whose right answer depends on weights and positions: what each of them changes in what ships."""

from __future__ import annotations

import functools
import tempfile
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import polars as pl
import pytest
from mlflow import MlflowClient

import recmem
from conftest import IsolatedMlflow
from feature_store import DataError
from recmem.serving.model import Model
from training.api import train
from training.run import TrainingResult

SMALL = {"tree_members": 1, "match.max_steps": 100, "match.min_steps": 1, "refit": False}
START = datetime(2026, 1, 1, tzinfo=UTC)
N_ITEMS = 60
N_USERS = 40


@pytest.fixture(autouse=True)
def tracked(isolated_mlflow: IsolatedMlflow) -> None:
    """Trainings of this file are tracked in a database of their own."""


def items() -> pl.DataFrame:
    """Handbooks, which are read, and tools, which are bought."""
    kinds = ["handbook, a printed guide to read", "power tool, an electric machine"]
    titles = [f"{['saw', 'drill', 'lathe', 'plane', 'vise'][row % 5]} number {row}" for row in range(N_ITEMS)]
    columns = {"item_id": [f"i{row:02}" for row in range(N_ITEMS)], "title": titles}
    return pl.DataFrame(columns).with_columns(description=pl.Series([kinds[row % 2] for row in range(N_ITEMS)]))


def trained(**given: Any) -> TrainingResult:
    """A small training that tunes no encoder, on the items of this file."""
    out = tempfile.mkdtemp(prefix="recmem-planted-weights-")
    return train(items(), out=out, config=SMALL, tune_encoder="off", **given)


# Weights of events


def events() -> pl.DataFrame:
    """At each visit a user views a handbook, four times in five, or else buys a tool."""
    random = np.random.default_rng(0)
    rows = []
    for user in range(N_USERS):
        handbooks, tools = (random.permutation(np.arange(start, N_ITEMS, 2)).tolist() for start in (0, 1))
        for visit in range(15):
            buys = random.random() < 0.2
            item = (tools if buys else handbooks).pop()
            time = START + timedelta(days=visit, minutes=user)
            rows.append((f"u{user}", f"i{item:02}", time, "purchase" if buys else "view"))
    return pl.DataFrame(rows, schema=["user_id", "item_id", "timestamp", "event"], orient="row")


@functools.cache
def without_weights() -> TrainingResult:
    """A training on these events, made once per process."""
    return trained(events=events())


def is_tool(items: pl.Series) -> pl.Series:
    """bool[item], of ids."""
    return items.str.slice(1).cast(pl.Int64) % 2 == 1


def share_of_tools(model: Model) -> float:
    """Among the first five that each user is recommended."""
    return float(is_tool(model.recommend([f"u{user}" for user in range(N_USERS)], k=5)["item_id"]).mean())


def test_what_views_weigh_decides_whether_what_is_viewed_or_what_is_bought_comes_first() -> None:
    plain = without_weights()
    weighted = trained(events=events(), weight={"view": 0.02, "purchas": 2})
    assert share_of_tools(recmem.load(plain.bundle)) < 0.3
    assert share_of_tools(recmem.load(weighted.bundle)) > 0.7
    assert weighted.intake.used == (
        "events.event: as training targets, 'view' weighs 0.02 (445 targets of 479 events); other events weigh 1 "
        "(115 targets).",
    )
    (warning,) = weighted.intake.warnings
    assert warning.startswith("events.event: no event is named 'purchas', so its weight has no effect.")
    # Memories, counters and the figures of what reads only these are the same.
    memories = [recmem.load(result.bundle).memory("u0") for result in (plain, weighted)]
    assert memories[0].equals(memories[1])
    assert plain.ledger.row("popularity") == weighted.ledger.row("popularity")


def test_a_column_of_weights_turns_the_match_alone_too() -> None:
    weight = pl.when(pl.col("event") == "view").then(0.02).otherwise(1.0)
    weighted = trained(events=events().with_columns(weight=weight))
    users = pl.DataFrame({"user_id": [f"u{user}" for user in range(N_USERS)]})
    pairs = users.join(items().select("item_id"), how="cross")
    gaps = []
    for result in (without_weights(), weighted):
        scored = recmem.load(result.bundle).match(pairs)
        of_tools = scored.filter(is_tool(scored["item_id"]))["match_raw"]
        of_others = scored.filter(~is_tool(scored["item_id"]))["match_raw"]
        gaps.append(float(of_tools.to_numpy().mean() - of_others.to_numpy().mean()))
    assert gaps[0] < -0.5
    assert gaps[1] > 0.5
    assert weighted.intake.used == ("events.weight: 600 of 600 rows weigh 0.02 to 1 in training; others 1.",)


# Weights and positions of impressions


def impressions() -> pl.DataFrame:
    """What an old ranker showed: `quality` makes items relevant, its own score `old` places them and nothing else.

    Users click relevant items, the less the further down. Crawlers, half of the log, click what they should not.
    """
    random = np.random.default_rng(1)
    n_queries, n_shown = 3200, 8
    quality = random.normal(size=(n_queries, n_shown))
    old = random.normal(size=quality.shape)
    position = (-old + 0.3 * random.normal(size=old.shape)).argsort(1).argsort(1)
    relevance = 1 / (1 + np.exp(-2 * quality))
    is_crawler = (np.arange(n_queries) % 2 == 0)[:, None]
    chance = np.where(is_crawler, 1 - relevance, relevance / (1 + position))
    item = np.stack([random.choice(N_ITEMS, n_shown, replace=False) for _ in range(n_queries)])
    query = np.repeat(np.arange(n_queries), n_shown)
    return pl.DataFrame(
        {
            "impression_id": query,
            "user_id": [f"u{number % N_USERS}" for number in query],
            "timestamp": [START + timedelta(minutes=6 * int(number)) for number in query],
            "item_id": [f"i{row:02}" for row in item.ravel()],
            "label": (random.random(quality.shape) < chance).astype(int).ravel(),
            "position": position.ravel(),
            "quality": quality.ravel(),
            "old": old.ravel(),
            "weight": np.broadcast_to(np.where(is_crawler, 0.0, 1.0), quality.shape).ravel(),
        }
    )


def followed(result: TrainingResult) -> dict[str, float]:
    """How closely the scores of some items follow each of the two features: correlations."""
    random = np.random.default_rng(2)
    rows = pl.DataFrame(
        {
            "user_id": "u0",
            "item_id": random.permutation(items()["item_id"].to_list()),
            "quality": random.normal(size=N_ITEMS),
            "old": random.normal(size=N_ITEMS),
        }
    )
    scores = recmem.load(result.bundle).rank(rows)
    return {name: float(np.corrcoef(scores["score"], scores[name])[0, 1]) for name in ("quality", "old")}


def test_weights_of_rows_and_positions_each_take_a_bias_out_of_what_impressions_teach() -> None:
    features = ["quality", "old"]
    whole = impressions()
    plain = trained(events=events(), impressions=whole.drop("weight"), features=features)
    weighted = trained(events=events(), impressions=whole, features=features)
    debiased = trained(events=events(), impressions=whole, features=features, position_debiasing=True)
    found = [followed(result) for result in (plain, weighted, debiased)]
    assert found[0]["quality"] < -0.3
    assert found[1]["quality"] > 0.3
    assert found[1]["old"] > 0.4
    assert found[2]["quality"] > 0.8
    assert abs(found[2]["old"]) < 0.3
    of_weights = "impressions.weight: 25,600 of 25,600 rows weigh 0 to 1 in training; others 1."
    assert weighted.intake.used == (of_weights,)
    assert "impressions.position" in weighted.intake.unused
    assert debiased.intake.used[0] == of_weights
    assert debiased.intake.used[1].startswith("impressions.position: 8 positions, whose part in the clicks")
    assert "impressions.position" not in debiased.intake.unused
    assert (plain.ledger.positions, weighted.ledger.positions) == ((), ())
    learned = debiased.ledger.positions
    assert [each.first for each in learned] == list(range(8))
    assert all(0.5 < each.times * (1 + position) < 2 for position, each in enumerate(learned)), learned
    assert "What positions add to clicks" in debiased.report.read_text()
    assert "What positions add to clicks" not in weighted.report.read_text()
    run = MlflowClient().search_runs(["1"], "tags.`recmem.run` = 'training'", max_results=1)[0]
    logged = MlflowClient().get_metric_history(run.info.run_id, "click_times/position")
    assert {point.step: point.value for point in logged} == {each.first: each.times for each in learned}


def test_debiasing_without_positions_is_refused_before_anything_is_learned() -> None:
    without = impressions().head(800).drop("position")
    with pytest.raises(DataError, match=r"impressions\.position: expected the positions .*, got fewer than two in the"):
        trained(events=events(), impressions=without, position_debiasing=True)
