"""The findings as sentences: a lift, no lift, a loss, and what puts them in proportion."""

from __future__ import annotations

from dataclasses import replace

from example_report import ledger
from training.evaluation.auc_figures import AucFigures
from training.evaluation.folds import Fold, Folds
from training.evaluation.ledger import SEEDS_LIFT, WITH_MATCH, WITHOUT_MATCH, HeldOut, Lift, Row, Spread
from training.report.findings import folds_sentences, headline, remarks, seeds_sentence

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
        "Of the lift of NDCG@10, +0.154, untrained text features give +0.105 (+0.090 to +0.120), "
        "and what the match has learned adds +0.049 (+0.040 to +0.060)."
    )


def test_the_ranker_with_untrained_text_is_no_single_signal() -> None:
    rows = (*ledger().rows, Row("ranker_with_text_similarity", {"ndcg@10": 0.24}))
    assert "co-visitation (0.142)" in remarks(replace(ledger(), rows=rows))[0]


def test_which_ranker_ships_is_a_remark_unless_the_head_says_it() -> None:
    lift = Lift(0.2, 0.21, 0.01, (0.002, 0.02))
    passed = replace(ledger(), held_out=HeldOut(WITH_MATCH, 1200, lift, None))
    assert remarks(passed)[0].startswith("The ranker with text features ships: on 1,200 held-out queries")
    refused = replace(ledger(), held_out=HeldOut(WITHOUT_MATCH, 1200, lift, None))
    assert remarks(refused) == remarks(ledger())


def test_the_spread_over_seeds_is_told() -> None:
    seeds = {WITH_MATCH: Spread((0.24, 0.26), 0.25, 0.014), SEEDS_LIFT: Spread((0.14, 0.16), 0.15, 0.012)}
    assert seeds_sentence(replace(ledger(), seeds=seeds)) == (
        "The ranker with text features is the mean of 2 models that differ in their seeds. Each on its own has NDCG@10 "
        "0.250 on average (standard deviation 0.014) and a lift of +0.150 (0.012)."
    )
    assert seeds_sentence(ledger()) == ""


def test_what_each_fold_ships_is_told() -> None:
    fold = Fold("2026-01-01", "2026-02-01", 40, Lift(0.1, 0.15, 0.05, (0.02, 0.08)), WITH_MATCH)
    other = replace(fold, ships=WITHOUT_MATCH)
    told = {
        (fold, fold): "Each fold's training ships the ranker with text features.",
        (other, fold, other): "The trainings of folds 1, 3 ship the ranker without text features, which did not pass",
        (other, other): "Each fold's training ships the ranker without text features, which did not pass",
    }
    for folds, sentence in told.items():
        assert folds_sentences(Folds(folds))[1].startswith(sentence)


def test_auc_of_impressions_is_told_over_all_windows_and_for_each_beside_click_through() -> None:
    first = AucFigures(40, 0.66, (0.6, 0.72), 0.58, 0.08, (0.01, 0.15))
    second = AucFigures(60, 0.63, (0.58, 0.68), 0.6, 0.03, (-0.02, 0.08))
    pooled = AucFigures(100, 0.642, (0.61, 0.67), 0.592, 0.05, (0.02, 0.09))
    lift = Lift(0.1, 0.15, 0.05, (0.02, 0.08))
    folds = [Fold("2026-01-01", "2026-02-01", 50, lift, WITH_MATCH, auc=auc) for auc in (first, second)]
    sentence = folds_sentences(Folds(tuple(folds), pooled))[2]
    assert sentence.startswith("AUC over the 100 impressions of all windows with a click and another item: 0.642 with")
    assert "(95% interval 0.610 to 0.670), 0.592 by click-through rates alone (difference +0.050, +0.020 to" in sentence
    assert sentence.endswith("window by window 0.660 and 0.580, 0.630 and 0.600.")
