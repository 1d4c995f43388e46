from __future__ import annotations

import json
import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from tolerances import close
from training.evaluation.ledger import (
    Ledger,
    PositiveSlice,
    Protocol,
    TestFigures,
    better_than,
    build_ledger,
    digest_of_queries,
)
from training.evaluation.metrics import PerQuery

METRICS = ("ndcg@10", "recall@10", "mrr", "auc")
PROTOCOL = Protocol(
    queries=6, catalogue=40, test_from="2025-08-09T00:00:00+00:00", candidates="catalogue", users=3, positives=9
)
USERS = np.array(["ann", "ann", "bob", "bob", "cid", "cid"])
ALL = np.ones(6, dtype=bool)


def figures(gain: float = 0.0, *, seed: int = 0) -> dict[str, PerQuery]:
    generator = np.random.default_rng(seed)
    return {metric: generator.uniform(0.1, 0.4, 6) + gain for metric in METRICS}


def per_query() -> dict[str, dict[str, PerQuery]]:
    return {
        "popularity": figures(seed=1),
        "ranker_without_match": figures(),
        "ranker_with_match": figures(0.25, seed=2),
    }


def built(slices: dict[str, NDArray[np.bool_] | PositiveSlice] | None = None, seed: int = 0) -> Ledger:
    generator = np.random.default_rng(seed)
    return build_ledger(
        PROTOCOL, per_query(), slices or {}, USERS, generator=generator, retrieval={"recall@200": 0.71234567}
    )


# The file


def test_the_file_has_the_promised_form() -> None:
    document = json.loads(built({"every query": ALL}).to_json())
    assert list(document) == ["protocol", "rows", "lift", "slices", "retrieval"]
    assert {"queries", "catalogue", "test_from", "candidates"} <= document["protocol"].keys()
    assert [list(row) for row in document["rows"]] == [["name", *METRICS]] * 3
    assert list(document["lift"]) == list(METRICS)
    assert all(list(entry) == ["without", "with", "difference", "ci95"] for entry in document["lift"].values())
    assert {"queries", "without", "with", "ci95"} <= document["slices"]["every query"].keys()
    assert document["retrieval"] == {"recall@200": 0.712346}


def test_rows_and_lift_are_means_over_queries_rounded_to_six_digits() -> None:
    ledger = built()
    without, with_ = per_query()["ranker_without_match"]["mrr"].mean(), per_query()["ranker_with_match"]["mrr"].mean()
    row = ledger.row("ranker_with_match")
    assert row is not None
    assert row.metrics["mrr"] == round(float(with_), 6)
    lift = ledger.lift["mrr"]
    assert (lift.without, lift.with_) == (round(float(without), 6), round(float(with_), 6))
    assert lift.difference == round(lift.with_ - lift.without, 6)
    assert lift.ci95[0] <= lift.difference <= lift.ci95[1]


def test_a_row_that_is_not_there_is_none() -> None:
    assert built().row("oracle") is None


def test_the_same_seed_gives_the_same_bytes_and_another_seed_other_intervals() -> None:
    assert built({"all": ALL}).to_json() == built({"all": ALL}).to_json()
    first, second = (
        build_ledger(PROTOCOL, per_query(), {}, np.arange(6), generator=np.random.default_rng(seed)) for seed in (0, 1)
    )
    assert first.rows == second.rows
    assert first.lift != second.lift


def test_impressions_add_their_metric_to_rows_and_lift() -> None:
    rows = {name: {"ndcg@5": row["mrr"], **row} for name, row in per_query().items()}
    protocol = replace(PROTOCOL, candidates="impressions")
    ledger = build_ledger(protocol, rows, {}, USERS, generator=np.random.default_rng(0))
    assert "ndcg@5" in ledger.lift
    assert all("ndcg@5" in row.metrics for row in ledger.rows)


def test_reading_back_what_was_written_gives_the_same_ledger() -> None:
    ledger = built({"all": ALL, "cold items": cold_slice()})
    assert Ledger.from_json(ledger.to_json()) == ledger


def test_unknown_keys_of_a_later_version_are_passed_over() -> None:
    document = json.loads(built({"all": ALL}).to_json())
    document["protocol"]["moon"] = "full"
    document["rows"][0]["about"] = "what everyone takes"
    document["slices"]["all"]["note"] = 1
    assert Ledger.from_json(json.dumps(document)) == built({"all": ALL})


def test_an_undefined_figure_is_null_in_the_file_and_nan_here() -> None:
    rows = per_query()
    rows["popularity"]["auc"] = np.full(6, np.nan)
    text = build_ledger(PROTOCOL, rows, {}, USERS, generator=np.random.default_rng(0)).to_json()
    assert json.loads(text)["rows"][0]["auc"] is None
    row = Ledger.from_json(text).row("popularity")
    assert row is not None
    assert math.isnan(row.metrics["auc"])


def test_minus_zero_is_written_as_zero() -> None:
    a_hair_less = {metric: values - 1e-9 for metric, values in per_query()["ranker_without_match"].items()}
    rows = per_query() | {"ranker_with_match": a_hair_less}
    text = build_ledger(PROTOCOL, rows, {}, USERS, generator=np.random.default_rng(0)).to_json()
    assert "-0.0" not in text


# Slices


def cold_slice() -> PositiveSlice:
    """Three cold positives: one in query 0, two in query 3."""
    offsets = np.array([0, 2, 3, 4, 7, 8, 9])
    among = np.array([1, 0, 0, 0, 1, 1, 0, 0, 0], dtype=bool)
    ranks_without = np.array([50.0, 1, 1, 1, np.inf, 11, 1, 1, 1])
    ranks_with = np.array([5.0, 1, 1, 1, np.inf, 10, 1, 1, 1])
    return PositiveSlice.of_recall(ranks_without, ranks_with, offsets, among=among)


def test_a_slice_of_queries_is_their_ndcg() -> None:
    mask = np.array([True, False, True, False, False, False])
    part = built({"short memory": mask}).slices["short memory"]
    expected = [per_query()[name]["ndcg@10"][mask].mean() for name in ("ranker_without_match", "ranker_with_match")]
    assert (part.queries, part.metric, part.positives) == (2, "ndcg@10", None)
    assert [part.without, part.with_] == pytest.approx(expected, abs=1e-6)


def test_the_slice_of_all_queries_is_the_lift() -> None:
    ledger = built({"all": ALL})
    part, lift = ledger.slices["all"], ledger.lift["ndcg@10"]
    assert (part.without, part.with_, part.ci95, part.difference) == (
        lift.without,
        lift.with_,
        lift.ci95,
        lift.difference,
    )


def test_a_slice_of_positives_is_the_share_of_these_that_was_found() -> None:
    part = built({"cold items": cold_slice()}).slices["cold items"]
    assert (part.queries, part.positives, part.metric) == (2, 3, "recall@10")
    assert (part.without, part.with_) == (0.0, round(2 / 3, 6))


def test_a_slice_without_queries_is_left_out() -> None:
    assert built({"nobody": ~ALL, "all": ALL}).slices.keys() == {"all"}


def test_a_slice_of_one_user_says_that_nothing_is_known_of_its_spread() -> None:
    assert built({"ann": np.asarray(USERS == "ann")}).slices["ann"].ci95 == (-1.0, 1.0)


def test_adding_a_slice_changes_no_other_figure() -> None:
    alone, beside = built({"all": ALL}), built({"all": ALL, "cold items": cold_slice()})
    assert (alone.lift, alone.slices["all"]) == (beside.lift, beside.slices["all"])


# Refusals


def test_faults_are_reported_at_once() -> None:
    rows: dict[str, dict[str, PerQuery]] = {"ranker_without_match": figures(), "popularity": {"mrr": np.ones(5)}}
    with pytest.raises(ValueError, match="expected the row ranker_with_match") as refusal:
        build_ledger(PROTOCOL, rows, {"half": ALL[:3]}, USERS, generator=np.random.default_rng(0))
    assert "popularity mrr: expected one entry for each of 6 queries, got 5" in str(refusal.value)
    assert "slice half: expected one entry for each of 6 queries, got 3" in str(refusal.value)


def test_a_test_period_without_queries_is_refused() -> None:
    empty: dict[str, dict[str, PerQuery]] = {
        name: {metric: np.empty(0) for metric in METRICS} for name in ("ranker_without_match", "ranker_with_match")
    }
    with pytest.raises(ValueError, match="expected at least one test query, got 0"):
        build_ledger(replace(PROTOCOL, queries=0), empty, {}, USERS[:0], generator=np.random.default_rng(0))


# Promotion


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
    users, times = np.array(["a", "b"]), np.array([1, 2], dtype="datetime64[s]")
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
