"""What `recmem train` prints about its ledger."""

from __future__ import annotations

from dataclasses import replace

import pytest

from example_report import ledger
from small_ablation import ablation, kind
from training.evaluation.folds import EarlierModel, Fold, Folds
from training.evaluation.ledger import SEEDS_LIFT, WITH_MATCH, WITHOUT_MATCH, HeldOut, Ledger, Lift, Row, Slice, Spread
from training.evaluation.verdict import Champion, Comparison, Verdict
from training.report.terminal import show_ablation, show_folds, show_ledger, show_verdict


def printed(capsys: pytest.CaptureFixture[str], shown: Ledger) -> str:
    show_ledger(shown)
    return capsys.readouterr().out


def test_the_test_begins_at_a_minute(capsys: pytest.CaptureFixture[str]) -> None:
    protocol = replace(ledger().protocol, test_from="2026-04-18T22:53:32.307692+00:00")
    shown = printed(capsys, replace(ledger(), protocol=protocol))
    assert shown.startswith("1,386 queries after 2026-04-18 22:53 UTC, each")


def test_rankings_slices_and_lifts_are_printed_under_their_plain_names(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "140")
    rows = (Row("text_similarity", {"ndcg@10": 0.05, "auc": float("nan")}), *ledger().rows)
    text = printed(capsys, replace(ledger(), rows=rows))
    lines = [" ".join(line.split()) for line in text.splitlines()]
    assert lines[0] == "1,386 queries after 2025-08-09, each ranking the whole catalogue (3,934 items)"
    assert "ranking NDCG@10 AUC Recall@10 MRR" in lines
    assert "untrained text similarity 0.050 - - -" in lines
    assert "ranker with text features 0.249 0.700 0.300 0.200" in lines
    assert "cold items Recall@10 265 0.000 0.540 +0.490 to +0.610" in lines
    assert "one user NDCG@10 1 0.300 0.200 too few users" in lines
    assert lines[-2:] == [
        "NDCG@10: 0.095 without text features, 0.249 with them (lift +0.154, 95% interval +0.140 to +0.170)",
        "MRR: 0.200 without text features, 0.200 with them (lift +0.000, 95% interval -0.010 to +0.010)",
    ]


def test_impressions_rank_what_they_showed_and_not_the_catalogue(capsys: pytest.CaptureFixture[str]) -> None:
    protocol = replace(ledger().protocol, candidates="impressions")
    first = printed(capsys, replace(ledger(), protocol=protocol)).splitlines()[0]
    assert first == "1,386 impressions after 2025-08-09, each ranking the items that it showed"
    assert "3,934" not in first


def test_folds_are_printed_in_a_row_each_with_what_they_say_together(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "160")
    times = ("2026-01-01T00:00:00+00:00", "2026-02-01T00:00:00+00:00")
    first = Fold(*times, 40, Lift(0.1, 0.15, 0.05, (0.02, 0.08)), WITH_MATCH)
    earlier = EarlierModel(measured=0.09, refitted=0.1, difference=0.01, ci95=(0.001, 0.02), retrained=0.105)
    second = replace(first, lift=Lift(0.1, 0.09, -0.01, (-0.02, 0.0)), earlier=earlier, ships=WITHOUT_MATCH)
    show_folds(Folds((first, second)))
    text = capsys.readouterr().out
    lines = [" ".join(line.split()) for line in text.splitlines()]
    assert "1 2026-01-01 to 2026-02-01 40 0.100 0.150 +0.050, +0.020 to +0.080 - -" in lines
    assert "2 2026-01-01 to 2026-02-01 40 0.100 0.090 -0.010, -0.020 to +0.000 0.090 0.100" in lines
    said = " ".join(lines)
    assert "Over 2 test windows, one after the other, the lift of NDCG@10 is +0.020 on average" in said
    assert "its interval lies above zero in 1 of 2." in said
    assert "The training of fold 2 ships the ranker without text features, which did not pass their test there." in said
    assert "gains +0.010 NDCG@10 on average by having been refitted." in said
    assert said[said.index("Over 2 test windows") :].isascii()


def test_slices_of_the_same_positives_share_a_row(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "140")
    warm = Slice(1243, 0.2, 0.3, (0.08, 0.11), "recall@10", 3333)
    said = " ".join(printed(capsys, replace(ledger(), slices={"warm items": warm, "item old": warm})).split())
    assert said.count("warm items = older items Recall@10 1,243 0.200 0.300") == 1
    assert said.count("1,243") == 1


def test_slices_of_few_items_are_told_below_the_table(capsys: pytest.CaptureFixture[str]) -> None:
    cold = Slice(265, 0.0, 0.54, (0.49, 0.61), "recall@10", 273, 11)
    said = " ".join(printed(capsys, replace(ledger(), slices={"cold items": cold})).split())
    assert "On few items: cold items (273 positives of 11 items). An interval is over users" in said
    assert "On few items" not in printed(capsys, ledger())


def test_spread_and_what_ships_are_printed_in_ascii(capsys: pytest.CaptureFixture[str]) -> None:
    spread = Spread((0.24, 0.26), 0.25, 0.014)
    lost = HeldOut(WITHOUT_MATCH, 1200, Lift(0.2, 0.19, -0.01, (-0.02, 0.0)), None)
    shown = replace(ledger(), held_out=lost, seeds={WITH_MATCH: spread, SEEDS_LIFT: spread})
    said = " ".join(printed(capsys, shown).split())
    assert "the mean of 2 models that differ in their seeds" in said
    assert "text features changed NDCG@10 by -0.010 (95% interval: -0.020 to +0.000), which is not a gain" in said
    assert said[said.index("The ranker with text features is the mean") :].isascii()


def test_the_parts_of_the_lift_are_printed_below_it(capsys: pytest.CaptureFixture[str]) -> None:
    parts = {
        "untrained text": Lift(0.095, 0.2, 0.105, (0.09, 0.12)),
        "learned match": Lift(0.2, 0.249, 0.049, (0.04, 0.06)),
    }
    said = " ".join(printed(capsys, replace(ledger(), parts=parts)).split())
    assert "of which untrained text +0.105 (+0.090 to +0.120), learned match +0.049 (+0.040 to +0.060)" in said
    assert "of which" not in printed(capsys, ledger())


def test_verdict_is_printed_in_ascii_with_a_row_per_slice(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "140")
    times = ("2026-03-01T00:00:00+00:00", "2026-03-02T00:00:00+00:00", "2026-03-02T00:00:00+00:00")
    cold = Slice(40, 0.3, 0.2, (-0.2, -0.02), "recall@10", 44)
    comparison = Comparison("measured", *times, 1300, 900, Lift(0.4, 0.3, -0.1, (-0.15, -0.05)), {"cold items": cold})
    show_verdict(Verdict("not-worse", False, "worse", "", Champion("3", "abc"), comparison))
    text = " ".join(capsys.readouterr().out.split())
    assert "(new version): -0.100, 95% interval: -0.150 to -0.050." in text
    assert "cold items Recall@10 40 0.300 0.200 -0.200 to -0.020" in text


def test_what_each_kind_is_worth_fits_a_terminal_of_80_columns(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    show_ablation(ablation(kind("ease_text", -0.01, is_on=False), kind("retrieved", 0.02, was_on=False)))
    lines = [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()]
    assert "kind validation interval test chosen" in lines
    assert "words of ease_text -0.0100 -0.0150 to -0.0050 -0.0100 switched off" in lines
    assert "words of retrieved +0.0200 +0.0150 to +0.0250 +0.0200 off" in lines
    assert "Switched over, since that pays on validation: words of ease_text off." in lines
