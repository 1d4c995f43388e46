"""The ledger from figures of queries: means, slices, intervals, and what is refused."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from feature_store.ragged import Ragged
from training.evaluation.build_ledger import build_ledger
from training.evaluation.ledger import Ledger, Protocol
from training.evaluation.metrics import PerQuery
from training.evaluation.slices import PositiveSlice

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


# Rows and lift


def test_rows_and_lift_are_means_over_queries_rounded_to_six_digits() -> None:
    ledger = built()
    without = per_query()["ranker_without_match"]["mrr"].mean()
    with_ = per_query()["ranker_with_match"]["mrr"].mean()
    row = ledger.row("ranker_with_match")
    assert row is not None
    assert row.metrics["mrr"] == round(float(with_), 6)
    lift = ledger.lift["mrr"]
    assert (lift.without, lift.with_) == (round(float(without), 6), round(float(with_), 6))
    assert lift.difference == round(lift.with_ - lift.without, 6)
    assert lift.ci95[0] <= lift.difference <= lift.ci95[1]


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


def test_minus_zero_is_written_as_zero() -> None:
    a_hair_less = {metric: values - 1e-9 for metric, values in per_query()["ranker_without_match"].items()}
    rows = per_query() | {"ranker_with_match": a_hair_less}
    text = build_ledger(PROTOCOL, rows, {}, USERS, generator=np.random.default_rng(0)).to_json()
    assert "-0.0" not in text


# Slices


def cold_slice() -> PositiveSlice:
    """Three cold positives of two items: one in query 0, two in query 3."""
    positives = Ragged(np.array([7, 0, 0, 0, 7, 8, 0, 0, 0]), np.array([0, 2, 3, 4, 7, 8, 9]))
    among = np.array([1, 0, 0, 0, 1, 1, 0, 0, 0], dtype=bool)
    ranks_without = np.array([50.0, 1, 1, 1, np.inf, 11, 1, 1, 1])
    ranks_with = np.array([5.0, 1, 1, 1, np.inf, 10, 1, 1, 1])
    return PositiveSlice.of_recall(ranks_without, ranks_with, positives, among=among)


def test_a_slice_of_queries_is_their_ndcg() -> None:
    mask = np.array([True, False, True, False, False, False])
    part = built({"short memory": mask}).slices["short memory"]
    expected = [per_query()[name]["ndcg@10"][mask].mean() for name in ("ranker_without_match", "ranker_with_match")]
    assert (part.queries, part.metric, part.positives) == (2, "ndcg@10", None)
    assert [part.without, part.with_] == pytest.approx(expected, abs=1e-6)


def test_the_slice_of_all_queries_is_the_lift() -> None:
    ledger = built({"all": ALL})
    part = ledger.slices["all"]
    lift = ledger.lift["ndcg@10"]
    assert (part.without, part.with_, part.ci95, part.difference) == (
        lift.without,
        lift.with_,
        lift.ci95,
        lift.difference,
    )


def test_a_slice_of_positives_is_the_share_of_these_that_was_found() -> None:
    part = built({"cold items": cold_slice()}).slices["cold items"]
    assert (part.queries, part.positives, part.items, part.metric) == (2, 3, 2, "recall@10")
    assert (part.without, part.with_) == (0.0, round(2 / 3, 6))


def test_a_slice_without_queries_is_left_out() -> None:
    assert built({"nobody": ~ALL, "all": ALL}).slices.keys() == {"all"}


def test_a_slice_of_one_user_has_an_unknown_interval() -> None:
    assert built({"ann": np.asarray(USERS == "ann")}).slices["ann"].ci95 == (-1.0, 1.0)


def test_adding_a_slice_changes_no_other_figure() -> None:
    alone = built({"all": ALL})
    beside = built({"all": ALL, "cold items": cold_slice()})
    assert (alone.lift, alone.slices["all"]) == (beside.lift, beside.slices["all"])


# Refusals


def test_all_problems_are_reported_at_once() -> None:
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


# The parts of the lift


def test_the_parts_of_the_lift_go_by_way_of_the_ranker_with_untrained_text_and_add_up_to_it() -> None:
    rows = per_query() | {"ranker_with_text_similarity": figures(0.1, seed=3)}
    ledger = build_ledger(PROTOCOL, rows, {}, USERS, generator=np.random.default_rng(0))
    untrained = ledger.parts["untrained text"]
    learned = ledger.parts["learned match"]
    assert (untrained.without, learned.with_) == (ledger.lift["ndcg@10"].without, ledger.lift["ndcg@10"].with_)
    assert untrained.with_ == learned.without == round(float(rows["ranker_with_text_similarity"]["ndcg@10"].mean()), 6)
    assert untrained.difference + learned.difference == pytest.approx(ledger.lift["ndcg@10"].difference, abs=3e-6)
    assert learned.ci95[0] <= learned.difference <= learned.ci95[1]


def test_the_ranker_with_untrained_text_changes_no_other_interval() -> None:
    rows = per_query() | {"ranker_with_text_similarity": figures(0.1, seed=3)}
    ledger = build_ledger(PROTOCOL, rows, {"all": ALL}, USERS, generator=np.random.default_rng(0))
    alone = build_ledger(PROTOCOL, per_query(), {"all": ALL}, USERS, generator=np.random.default_rng(0))
    assert (ledger.lift, ledger.slices) == (alone.lift, alone.slices)
    assert alone.parts == {}


def test_parts_come_back_from_the_file() -> None:
    rows = per_query() | {"ranker_with_text_similarity": figures(0.1, seed=3)}
    ledger = build_ledger(PROTOCOL, rows, {}, USERS, generator=np.random.default_rng(0))
    assert Ledger.from_json(ledger.to_json()).parts == ledger.parts


def test_a_row_of_untrained_text_without_the_headline_metric_is_refused_and_a_baseline_without_it_is_not() -> None:
    whole = figures(0.1, seed=3)
    without = {metric: values for metric, values in whole.items() if metric != "ndcg@10"}
    with pytest.raises(ValueError, match=r"expected the row ranker_with_text_similarity with ndcg@10"):
        build_ledger(
            PROTOCOL,
            per_query() | {"ranker_with_text_similarity": without},
            {},
            USERS,
            generator=np.random.default_rng(0),
        )
    rows = per_query() | {"ranker_with_text_similarity": whole, "popularity": without}
    assert build_ledger(PROTOCOL, rows, {}, USERS, generator=np.random.default_rng(0)).parts
