"""The findings as sentences: a lift, no lift, a loss, and what puts them in proportion."""

from __future__ import annotations

from dataclasses import replace

from example_report import ledger
from training.evaluation.ledger import Lift, Row
from training.report.findings import headline, remarks

# The headline


def test_a_lift_is_stated_in_one_plain_sentence() -> None:
    assert headline(ledger()) == (
        "The text features lift NDCG@10 from 0.095 to 0.249 (+0.154, 95% interval: +0.140 to +0.170)."
    )


def test_an_interval_across_zero_is_called_no_lift_though_the_mean_rose() -> None:
    sentence = headline(ledger(with_=0.1, ci95=(-0.002, 0.012)))
    assert sentence.startswith("No lift is shown")
    assert "lifts" not in sentence
    assert "may be chance" in sentence


def test_an_interval_that_touches_zero_is_no_lift() -> None:
    assert headline(ledger(with_=0.1, ci95=(0.0, 0.012))).startswith("No lift is shown")


def test_a_loss_is_stated_as_a_loss() -> None:
    assert headline(ledger(with_=0.08, ci95=(-0.02, -0.01))).startswith("The text features lower NDCG@10")


# The remarks


def test_remarks_name_the_best_baseline_the_harmed_slices_and_the_retrievals_recall() -> None:
    assert remarks(ledger()) == [
        "The ranker with text features is 75% above the best ranking by a single signal, co-visitation (0.142).",
        "The text features make the ranking worse on: older items.",
        "Retrieval: Recall@200 0.712. A positive that is not retrieved cannot be ranked.",
    ]


def test_a_baseline_that_is_above_the_ranker_is_reported() -> None:
    assert "is 30% below the best ranking by a single signal" in remarks(ledger(with_=0.1))[0]


def test_a_baseline_without_the_figure_or_with_none_but_misses_gives_no_remark() -> None:
    bare = replace(ledger(), slices={}, retrieval={})
    for figure in (float("nan"), 0.0):
        rows = (Row("covisitation", {"ndcg@10": figure}), *ledger().rows[1:])
        assert remarks(replace(bare, rows=rows)) == []


def test_remarks_begin_with_what_of_the_lift_is_learned() -> None:
    parts = {
        "untrained text": Lift(0.095, 0.2, 0.105, (0.09, 0.12)),
        "learned match": Lift(0.2, 0.249, 0.049, (0.04, 0.06)),
    }
    assert remarks(replace(ledger(), parts=parts))[0] == (
        "Of the lift of NDCG@10, +0.154, untrained text similarity gives +0.105 (+0.090 to +0.120), "
        "and what the match has learned adds +0.049 (+0.040 to +0.060)."
    )


def test_the_ranker_with_untrained_text_is_no_single_signal() -> None:
    rows = (*ledger().rows, Row("ranker_with_text_similarity", {"ndcg@10": 0.24}))
    assert "co-visitation (0.142)" in remarks(replace(ledger(), rows=rows))[0]
