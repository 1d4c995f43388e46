from __future__ import annotations

from dataclasses import replace

from example_report import content, ledger
from training.report.content import MOST_IMPORTANT, Example, ScoreParts
from training.report.glossary import MRR_OF_CATALOGUE, MRR_OF_IMPRESSIONS, glossary_features, glossary_terms

FEATURES = {"a": 0.2, "b": 0.5, "c": 0.3}


def test_terms_are_in_alphabetical_order() -> None:
    terms = [term.lower() for term in glossary_terms(ledger().protocol)]
    assert terms == sorted(terms)


def test_mrr_is_explained_as_it_was_computed() -> None:
    protocol = ledger().protocol
    assert glossary_terms(protocol)["MRR"] == MRR_OF_CATALOGUE
    assert glossary_terms(replace(protocol, candidates="impressions"))["MRR"] == MRR_OF_IMPRESSIONS


def test_every_metric_of_a_ledger_is_explained() -> None:
    assert {"NDCG@10", "Recall@10", "MRR", "AUC"} <= glossary_terms(ledger().protocol).keys()


def test_features_with_a_known_meaning_are_listed_by_importance() -> None:
    meanings = {"a": "first letter", "c": "third letter", "d": "not in the plot"}
    shown = replace(content(), importance=FEATURES, feature_meanings=meanings)
    assert list(glossary_features(shown).items()) == [("c", "third letter"), ("a", "first letter")]


def test_a_report_without_meanings_has_no_features_in_its_glossary() -> None:
    assert glossary_features(replace(content(), importance=FEATURES, feature_meanings={})) == {}


def test_features_in_the_reasons_of_examples_are_explained_after_the_most_important_ones() -> None:
    importance = {f"f{number}": 1.0 / (1 + number) for number in range(MOST_IMPORTANT + 1)}
    rare = f"f{MOST_IMPORTANT}"
    score: ScoreParts = {"of": "ranking score", "total": 1.0, "parts": [(rare, 1.0), ("constant", 0.0)]}
    example: Example = {"user": "u", "memory": [], "items": [{"item": "i", "scores": [score]}]}
    shown = replace(content(), importance=importance, feature_meanings=dict.fromkeys(importance, "some"), examples=[])
    assert rare not in glossary_features(shown)
    assert list(glossary_features(replace(shown, examples=[example])))[-1] == rare
