from __future__ import annotations

from dataclasses import replace

from example_report import ledger
from training.evaluation.ledger import Ledger, Lift, Row
from training.report.metric_disagreement import disagreement_sentences


def of_catalogue() -> Ledger:
    rows = (
        Row("match_score", {"ndcg@10": 0.224, "auc": 0.955}),
        Row("popularity", {"ndcg@10": 0.02, "auc": float("nan")}),
        Row("ranker_with_match", {"ndcg@10": 0.285, "auc": 0.904}),
    )
    return replace(ledger(), rows=rows, retrieval={"recall@50": 0.5, "recall@300": 0.803})


def test_the_best_ranking_by_each_metric_is_named_and_why_they_differ() -> None:
    text = " ".join(disagreement_sentences(of_catalogue()))
    assert (
        "The highest AUC is 0.955 (match score), the highest NDCG@10 is 0.285 (ranker with text features). "
        "AUC counts every pair of a positive and another item of the catalogue alike" in text
    )
    assert "for AUC, the 20% of positives that were not retrieved are below them, in random order" in text


def test_lifts_of_different_signs_are_told() -> None:
    lifts = {"ndcg@10": Lift(0.2, 0.3, 0.1, (0.05, 0.15)), "auc": Lift(0.95, 0.94, -0.01, (-0.02, 0.0))}
    text = " ".join(disagreement_sentences(replace(of_catalogue(), lift=lifts)))
    assert "The lift is +0.100 in NDCG@10 and \N{MINUS SIGN}0.010 in AUC." in text
    assert "The lift is" not in " ".join(disagreement_sentences(of_catalogue()))


def test_impressions_have_no_retrieval_and_no_catalogue() -> None:
    shown = of_catalogue()
    text = " ".join(disagreement_sentences(replace(shown, protocol=replace(shown.protocol, candidates="impressions"))))
    assert "a clicked and another item alike" in text
    assert "catalogue" not in text
    assert "retrieved" not in text


def test_agreement_needs_no_explanation_and_neither_does_a_ledger_without_auc() -> None:
    best = (Row("ranker_with_match", {"ndcg@10": 0.285, "auc": 0.99}), *of_catalogue().rows[:2])
    assert disagreement_sentences(replace(of_catalogue(), rows=best)) == []
    without = tuple(Row(row.name, {"ndcg@10": 0.1}) for row in of_catalogue().rows)
    assert disagreement_sentences(replace(of_catalogue(), rows=without)) == []
