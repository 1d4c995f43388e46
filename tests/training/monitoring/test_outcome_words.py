"""What became of the rows is said whether it is good or bad."""

from __future__ import annotations

from dataclasses import replace

from recmem.reference.reference import Outcomes
from training.monitoring.findings import Finding, Limit, Monitoring
from training.monitoring.outcome_words import outcome_sentences

NOW = Outcomes(340, 300, 0.212, (0.19, 0.24), 0.9, 0.1, 0.105, (0.95, 1.15))
BEFORE = replace(NOW, ndcg=0.23, ndcg_ci95=(0.21, 0.25))
NDCG = Finding("ndcg_at_10", "outcomes", "ok", 0.23, 0.212, 340, 300.0, {"loss": Limit(0.08, 0.1, 0.1, 0.25)})
FOUND = Monitoring("bundle", "", "", {}, {}, (NDCG,), BEFORE, NOW)


def test_ndcg_has_its_interval_and_the_references_also_where_all_is_well() -> None:
    assert outcome_sentences(FOUND) == [
        "NDCG@10 is 0.212 (95% interval 0.190 to 0.240), on 340 queries of 300 users; the reference has 0.230 (95% "
        "interval 0.210 to 0.250).",
        "There are 1.05 times as many positives as match_score led to expect (95% interval 0.95 to 1.15).",
    ]


def test_a_reference_of_other_candidates_is_named_as_such() -> None:
    (ndcg, _) = outcome_sentences(replace(FOUND, findings=()))
    assert ndcg.endswith("The reference's, 0.230 (95% interval 0.210 to 0.250), is of other candidates: not compared.")
    assert outcome_sentences(replace(FOUND, reference_outcomes=None))[0].endswith("; the reference has none.")


def test_an_interval_that_says_nothing_is_left_out() -> None:
    few = replace(NOW, queries=1, users=1, ratio_ci95=(0.0, 1e9))
    ndcg, positives = outcome_sentences(replace(FOUND, current_outcomes=few))
    assert "on 1 query of 1 user;" in ndcg
    assert positives.endswith("led to expect.")


def test_without_outcomes_nothing_is_said() -> None:
    assert outcome_sentences(replace(FOUND, current_outcomes=None)) == []
