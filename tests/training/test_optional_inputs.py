"""What optional inputs a training says that it uses, and the positions that debiasing needs."""

from __future__ import annotations

import polars as pl
import pytest

from feature_store import DataError
from training.fitting.fit_ranker import RankerConfig
from training.optional_inputs import require_positions, require_weights, used_inputs, used_users
from training.target_counts import TargetCount, TargetCounts
from training.user_features import UsersConfig

EVENTS = pl.DataFrame({"weight": [None, 0.5, 2.0]}, schema={"weight": pl.Float64})
IMPRESSIONS = pl.DataFrame({"weight": [None, None], "position": [1, 3]}, schema_overrides={"weight": pl.Float64})


def test_each_input_that_is_used_has_a_sentence() -> None:
    counts = TargetCounts((TargetCount("click", 0.2, 2000, 1500), TargetCount("buy", 3, 90, 1)), n_others=4)
    assert list(used_inputs(EVENTS, IMPRESSIONS, counts, debiases=True)) == [
        "events.event: as training targets, 'click' weighs 0.2 (1,500 targets of 2,000 events), 'buy' weighs 3 (1 "
        "target of 90 events); other events weigh 1 (4 targets).",
        "events.weight: 2 of 3 rows weigh 0.5 to 2 in training; others 1.",
        "impressions.position: 2 positions, whose part in the clicks is learned beside the ranker and left out of its "
        "scores. Metrics still count clicks as they are.",
    ]


def test_what_is_not_given_is_not_mentioned() -> None:
    assert list(used_inputs(EVENTS.clear(), IMPRESSIONS, TargetCounts(), debiases=False)) == []


def test_columns_of_users_are_named_by_how_they_are_taken() -> None:
    users = pl.DataFrame({"user_id": ["a", "b", "c", "d"], "age": [30, 40, 50, 60], "plan": ["free", "pro"] * 2})
    assert list(used_users(users, UsersConfig(), has_encoder=True)) == ["users: age as numbers; plan as categories."]
    hobbies = users.with_columns(interests=pl.Series(["tea", "ink", None, None]), born=pl.date(1980, 1, 1))
    (sentence,) = used_users(hobbies, UsersConfig(features=("plan",)), has_encoder=True)
    assert sentence == ("users: plan as categories; interests as declared interests, compared with the items' texts.")
    (sentence,) = used_users(hobbies, UsersConfig(features=("plan",)), has_encoder=False)
    assert "interests" not in sentence
    assert list(used_users(users.select("user_id"), UsersConfig(), has_encoder=True)) == []


def test_clicks_of_which_none_weighs_anything_are_refused() -> None:
    impressions = pl.DataFrame({"label": [1, 0, 1], "weight": [0.0, 3.0, None]})
    require_weights(impressions)
    require_weights(impressions.filter(pl.col("label") == 0))
    with pytest.raises(DataError, match=r"impressions\.weight: expected a weight above 0 for some clicked item, got 0"):
        require_weights(impressions.head(2))


@pytest.mark.parametrize(
    ("positions", "got"),
    [([], "no impressions"), ([None, None], "fewer than two in the store"), ([2, 2], "fewer than two in the store")],
)
def test_debiasing_without_positions_is_refused(positions: list[int | None], got: str) -> None:
    impressions = pl.DataFrame({"position": pl.Series(positions, dtype=pl.Int32)})
    require_positions(impressions, RankerConfig())
    with pytest.raises(DataError, match=rf"impressions.position: expected the positions .*, got {got}\."):
        require_positions(impressions, RankerConfig(position_debiasing=True))
