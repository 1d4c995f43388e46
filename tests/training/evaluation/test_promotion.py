"""Whether a challenger may take the champion's place, and the digest that says if the two are comparable."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tolerances import close
from training.evaluation.ledger import WITH_MATCH, WITHOUT_MATCH, Lift
from training.evaluation.promotion import TestFigures, better_than, digest_of_queries, first_verdict


def kept(values: Any, digest: str = "d1") -> TestFigures:
    return TestFigures(digest, np.arange(len(values)), {"ndcg@10": np.asarray(values, dtype=float)})


BASE = np.linspace(0.0, 0.4, 50)


def judge(champion: TestFigures, challenger: TestFigures) -> Any:
    return better_than(champion, challenger, generator=np.random.default_rng(0))


def test_a_challenger_that_gains_on_nearly_every_query_is_better() -> None:
    verdict = judge(kept(BASE), kept(BASE + 0.1))
    assert verdict.better
    assert verdict.lift is not None
    close(verdict.lift.difference, 0.1, "float32")
    assert verdict.reason.startswith("better: ndcg@10 0.2000 to 0.3000 (+0.1000, 95% interval")


@pytest.mark.parametrize("gain", [0.0, -0.1])
def test_a_challenger_that_is_equal_or_worse_is_not_better(gain: float) -> None:
    assert not judge(kept(BASE), kept(BASE + gain)).better


def test_a_gain_that_may_be_chance_is_not_better() -> None:
    noise = np.where(np.arange(50) % 2, 0.30, -0.29)
    verdict = judge(kept(BASE), kept(BASE + noise))
    assert verdict.lift.difference > 0
    assert not verdict.better
    assert verdict.reason.startswith("not shown to be better")


def test_figures_of_other_test_queries_do_not_compare() -> None:
    verdict = judge(kept(BASE, "d1"), kept(BASE + 0.5, "d2"))
    assert not verdict.better
    assert verdict.lift is None
    assert "other test queries (d1, not d2)" in verdict.reason


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


def test_a_first_model_that_ranks_without_the_text_features_has_nothing_to_lose() -> None:
    verdict = first_verdict(Lift(0.2, 0.2, 0.0, (0.0, 0.0)), WITHOUT_MATCH)
    assert verdict.better
    assert verdict.reason == "no champion yet, and the model ranks without the text features"


def test_a_first_model_whose_text_features_cost_it_is_not_promoted() -> None:
    verdict = first_verdict(Lift(0.2, 0.1, -0.1, (-0.2, 0.0)), WITH_MATCH)
    assert not verdict.better
    assert "the text features do not help" in verdict.reason
