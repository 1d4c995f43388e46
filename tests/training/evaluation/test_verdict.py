"""The verdict's file, its figures for MLflow, and its few words."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from training.evaluation.ledger import Lift, Slice
from training.evaluation.verdict import Champion, Comparison, Verdict, finding_of

LIFT = Lift(0.4, 0.41, 0.01, (-0.01, 0.03))
COMPARISON = Comparison(
    bundle="measured",
    champion_learned_until="2026-03-01T00:00:00+00:00",
    challenger_learned_until="2026-03-02T00:00:00+00:00",
    after="2026-03-02T00:00:00+00:00",
    queries=1300,
    users=900,
    lift=LIFT,
    slices={
        "cold items": Slice(40, 0.3, 0.2, (-0.2, -0.02), "recall@10", 44),
        "memory 1-5": Slice(50, 0.3, 0.3, (-0.1, 0.1)),
    },
    too_small=("memory 21+",),
)
VERDICT = Verdict("not-worse", False, "worse", "worse on cold items", Champion("3", "abc"), COMPARISON)


@pytest.mark.parametrize(
    "verdict", [VERDICT, replace(VERDICT, comparison=None), Verdict("better", True, "first", "none yet")]
)
def test_a_verdict_comes_back_from_its_file_as_it_was(verdict: Verdict) -> None:
    assert Verdict.from_json(verdict.to_json()) == verdict


def test_the_file_names_champion_and_challenger() -> None:
    document = json.loads(VERDICT.to_json())
    assert document["champion"] == {"version": "3", "run_id": "abc"}
    assert document["comparison"]["lift"] == {
        "champion": 0.4,
        "challenger": 0.41,
        "difference": 0.01,
        "ci95": [-0.01, 0.03],
    }
    assert document["comparison"]["slices"]["cold items"]["challenger"] == 0.2
    assert (document["metric"], document["words"]) == ("ndcg@10", VERDICT.words)


def test_figures_are_flat() -> None:
    assert VERDICT.figures() == {
        "against_champion/ndcg@10": 0.01,
        "against_champion_low/ndcg@10": -0.01,
        "against_champion_high/ndcg@10": 0.03,
        "against_champion_queries": 1300.0,
    }
    assert VERDICT.figure_tags() == {
        "against_champion_ndcg_at_10": "0.01",
        "against_champion_low": "-0.01",
        "against_champion_high": "0.03",
        "against_champion_queries": "1300",
    }
    uncompared = replace(VERDICT, comparison=None)
    assert (uncompared.figures(), uncompared.figure_tags()) == ({}, {})


def test_a_slice_that_is_worse_makes_the_challenger_worse() -> None:
    assert finding_of(COMPARISON) == "worse"
    assert finding_of(replace(COMPARISON, slices={})) == "not worse"
    better = replace(COMPARISON, lift=Lift(0.4, 0.5, 0.1, (0.05, 0.15)))
    assert finding_of(replace(better, slices={})) == "better"
    assert finding_of(better) == "worse"


def test_words_say_what_came_of_it_against_whom_and_by_how_much() -> None:
    assert VERDICT.words == "refused: worse than version 3 (cold items -0.100)"
    fine = replace(VERDICT, promotes=True, finding="not worse", comparison=replace(COMPARISON, slices={}))
    assert fine.words == "promoted: not worse than version 3 (+0.010)"
    assert replace(fine, policy="always").words == "promoted (--promote always): not worse than version 3 (+0.010)"
    assert replace(VERDICT, comparison=None).words == "refused: not compared with version 3"
    assert Verdict("not-worse", True, "first", "none yet").words == "promoted: first champion"
    assert Verdict("never", False, "first", "no champion yet").words == "refused (--promote never): no champion yet"
