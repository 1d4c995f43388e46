"""Whether a challenger may take the champion's place, and the digest that says if test queries are the same."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tolerances import close
from training.evaluation.ledger import WITH_MATCH, WITHOUT_MATCH, Lift
from training.evaluation.promotion import (
    FEWEST_USERS,
    Differences,
    differences,
    digest_of_queries,
    first_verdict,
    incomparable,
    uncompared,
    verdict_against,
)
from training.evaluation.slices import PositiveSlice
from training.evaluation.verdict import Champion, Comparison, Verdict

USERS = np.arange(100)
BASE = np.linspace(0.0, 0.4, 100)
NOISE = np.where(USERS % 2, 0.30, -0.29)
FEW = USERS < 30
GAIN = Lift(0.2, 0.3, 0.1, (0.05, 0.15))
CHAMPION = Champion("7", "run")


def compared(gain: Any, slices: dict[str, Any] | None = None, users: Any = USERS) -> Differences:
    return differences(BASE, BASE + gain, slices or {}, users, generator=np.random.default_rng(0))


def verdict(gain: Any, policy: Any = "not-worse", slices: dict[str, Any] | None = None) -> Verdict:
    found = compared(gain, slices)
    times = ("2026-01-01", "2026-01-02", "2026-01-02")
    comparison = Comparison("measured", *times, found.queries, found.users, found.lift, found.slices, found.too_small)
    return verdict_against(policy, CHAMPION, comparison)


def test_differences_are_means_over_the_queries_with_an_interval_over_users() -> None:
    found = compared(0.1)
    assert (found.queries, found.users) == (100, 100)
    close(np.array([found.lift.without, found.lift.with_, found.lift.difference]), [0.2, 0.3, 0.1], "float32")
    close(np.array(found.lift.ci95), [0.1, 0.1], "float32")


def test_a_query_without_a_figure_is_left_out() -> None:
    gain = np.where(USERS < 40, np.nan, 0.1)
    assert (compared(gain).queries, compared(gain).users) == (60, 60)


@pytest.mark.parametrize(
    ("gain", "finding"),
    [(0.1, "better"), (NOISE, "not worse"), (0.0, "not worse"), (-NOISE, "not worse"), (-0.1, "worse")],
)
def test_finding_is_where_the_interval_lies(gain: Any, finding: str) -> None:
    assert verdict(gain).finding == finding


@pytest.mark.parametrize(
    ("policy", "promoted"),
    [
        ("better", [False, False, True]),
        ("not-worse", [False, True, True]),
        ("always", [True] * 3),
        ("never", [False] * 3),
    ],
)
def test_policy_decides_on_the_finding(policy: Any, promoted: list[bool]) -> None:
    assert [verdict(gain, policy).promotes for gain in (-0.1, NOISE, 0.1)] == promoted


@pytest.mark.parametrize("policy", ["better", "not-worse"])
def test_a_challenger_that_is_better_overall_and_worse_on_a_slice_is_refused(policy: Any) -> None:
    gain = np.where(FEW, -0.1, 0.3)
    found = verdict(gain, policy, {"memory 1-5": FEW, "memory 6-20": ~FEW})
    assert (found.promotes, found.finding) == (False, "worse")
    assert found.comparison is not None
    assert found.comparison.lift.ci95[0] > 0
    assert "memory 1-5: ndcg@10" in found.reason
    assert found.words.endswith("worse than version 7 (memory 1-5 -0.100)")


def test_a_slice_of_positives_is_compared_by_their_recall() -> None:
    champion = np.where(FEW, 1.0, np.nan)
    part = PositiveSlice("recall@10", champion, champion - 0.5, FEW.astype(np.int64) * 2, 5)
    found = compared(0.1, {"cold items": part})
    cold = found.slices["cold items"]
    assert (cold.metric, cold.queries, cold.positives, cold.items, cold.difference) == ("recall@10", 30, 60, 5, -0.5)


def test_a_slice_of_few_users_is_named_and_not_judged() -> None:
    slices = {"few": USERS < FEWEST_USERS - 1, "enough": USERS < FEWEST_USERS, "none": USERS < 0}
    found = compared(np.where(USERS < FEWEST_USERS, -0.1, 0.3), slices)
    assert list(found.slices) == ["enough"]
    assert found.too_small == ("few",)


def test_users_are_counted_and_not_their_queries() -> None:
    found = compared(-0.1, {"one heavy user": USERS < 50}, users=np.maximum(USERS, 49))
    assert found.slices == {}
    assert found.too_small == ("one heavy user",)


def test_many_slices_that_change_by_chance_refuse_a_retrain_no_more_often_than_one() -> None:
    """With an interval of 95% for each of seven slices, some 16% of equal retrains would be refused."""
    n_refused = 0
    slices = {f"slice {part}": np.arange(280) % 7 == part for part in range(7)}
    for seed in range(40):
        random = np.random.default_rng(seed)
        gains = random.normal(0, 0.1, 280)
        found = differences(np.zeros(280), gains, slices, np.arange(280), generator=random)
        n_refused += any(part.ci95[1] < 0 for part in found.slices.values())
    assert n_refused <= 3


def test_the_first_model_is_promoted_if_its_lift_is_not_negative() -> None:
    found = first_verdict("not-worse", Lift(0.2, 0.2, 0.0, (0.0, 0.0)))
    assert (found.promotes, found.champion) == (True, None)
    refused = first_verdict("not-worse", Lift(0.2, 0.1, -0.1, (-0.2, 0.0)), WITH_MATCH)
    assert not refused.promotes
    assert refused.reason == (
        "no champion yet, and the text features do not help: ndcg@10 -0.1000 (95% interval -0.2000 to +0.0000)"
    )


def test_a_first_model_that_ranks_without_the_text_features_has_nothing_to_lose() -> None:
    found = first_verdict("better", Lift(0.2, 0.2, 0.0, (0.0, 0.0)), WITHOUT_MATCH)
    assert found.promotes
    assert found.reason == "no champion yet, and the model ranks without the text features"


def test_always_and_never_decide_on_a_first_model_too() -> None:
    loss = Lift(0.2, 0.1, -0.1, (-0.2, -0.05))
    assert first_verdict("always", loss).promotes
    assert not first_verdict("never", GAIN).promotes


@pytest.mark.parametrize(
    ("policy", "promotes"), [("better", False), ("not-worse", True), ("always", True), ("never", False)]
)
def test_a_champion_that_cannot_be_scored_counts_as_none_for_not_worse_alone(policy: Any, promotes: bool) -> None:
    found = uncompared(policy, CHAMPION, "bundle.version: expected 5, got 1", lift=GAIN, ships=WITH_MATCH)
    assert found.promotes == promotes
    assert found.reason.startswith(
        "version 7 cannot be scored (bundle.version: expected 5, got 1), and the text features"
    )
    loss = Lift(0.2, 0.1, -0.1, (-0.2, -0.05))
    assert uncompared("not-worse", CHAMPION, "gone", lift=loss, ships=WITH_MATCH).promotes is False


@pytest.mark.parametrize(
    ("policy", "promotes"), [("better", False), ("not-worse", False), ("always", True), ("never", False)]
)
def test_a_champion_without_queries_that_are_new_to_it_stays(policy: Any, promotes: bool) -> None:
    found = incomparable(policy, CHAMPION, "it has learned from all of them")
    assert found.promotes == promotes
    assert found.reason == "version 7 cannot be compared: it has learned from all of them"


def test_the_digest_sees_values_and_order_and_not_the_width_of_integers() -> None:
    users = np.array(["a", "b"])
    times = np.array([1, 2], dtype="datetime64[s]")
    digest = digest_of_queries(users, times)
    assert digest == digest_of_queries(users.astype(object), times.astype("datetime64[us]"))
    assert digest != digest_of_queries(users[::-1], times)
    assert digest_of_queries(np.array([1, 2], np.int32)) == digest_of_queries(np.array([1, 2], np.int64))
    assert digest_of_queries(np.array([1, 2])) != digest_of_queries(np.array(["1", "2"]))


@given(st.lists(st.text(max_size=3), max_size=4), st.lists(st.text(max_size=3), max_size=4))
def test_different_ids_have_different_digests(left: list[str], right: list[str]) -> None:
    def digest(ids: list[str]) -> str:
        return digest_of_queries(np.array(ids, dtype=object))

    assert (digest(left) == digest(right)) == (left == right)
