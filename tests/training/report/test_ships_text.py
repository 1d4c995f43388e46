"""Which ranker ships and why, as one sentence."""

from __future__ import annotations

from dataclasses import replace

import pytest

from example_report import ledger
from training.evaluation.intervals import UNKNOWN_INTERVAL
from training.evaluation.ledger import WITH_MATCH, WITHOUT_MATCH, HeldOut, Lift, Slice
from training.report.ships_text import what_ships_sentence, what_ships_without_text

LIFT = Lift(0.2, 0.21, 0.01, (0.002, 0.02))
COLD = Slice(9, 0.3, 0.4, (-0.1, 0.3), "recall@10", 12, 3)
OF_BEFORE = replace(COLD, items=None)
BURIED = Slice(9, 0.3, 0.1, (-0.3, -0.1), "recall@10", 12, 1)
NONE_FOUND = Slice(9, 0.0, 0.0, (0.0, 0.0), "recall@10", 12, 11)
CHANGED = "on 1,200 held-out queries before the test, text features changed NDCG@10 by +0.010 (95% interval: +0.002 to "


@pytest.mark.parametrize(
    ("held_out", "sentence"),
    [
        (
            HeldOut(WITHOUT_MATCH, 1200, LIFT, COLD),
            f"The ranker without text features ships: {CHANGED}+0.020), which is not a gain of more than one standard "
            "error.",
        ),
        (
            HeldOut(WITHOUT_MATCH, 1200, LIFT, BURIED),
            "The ranker without text features ships: on 1,200 held-out queries before the test, text features found "
            "significantly fewer cold items (12 positives of 1 item; Recall@10 \N{MINUS SIGN}0.200, 95% interval: "
            "\N{MINUS SIGN}0.300 to \N{MINUS SIGN}0.100).",
        ),
        (
            HeldOut(WITHOUT_MATCH, 8, Lift(0.2, 0.52, 0.32, UNKNOWN_INTERVAL), None),
            "The ranker without text features ships: on 8 held-out queries before the test, text features changed "
            "NDCG@10 by +0.320, but on too few users for the change to be trusted.",
        ),
        (
            HeldOut(WITHOUT_MATCH, 0, None, None),
            "The ranker without text features ships: the ranker's windows have too few queries to test text features "
            "on.",
        ),
        (
            HeldOut(WITH_MATCH, 1200, LIFT, COLD),
            f"The ranker with text features ships: {CHANGED}+0.020), more than one standard error; Recall@10 of cold "
            "items (12 positives of 3 items) changed by +0.100 (\N{MINUS SIGN}0.100 to +0.300).",
        ),
        (
            HeldOut(WITH_MATCH, 1200, LIFT, OF_BEFORE),
            f"The ranker with text features ships: {CHANGED}+0.020), more than one standard error; Recall@10 of cold "
            "items (12 positives) changed by +0.100 (\N{MINUS SIGN}0.100 to +0.300).",
        ),
        (
            HeldOut(WITH_MATCH, 1200, LIFT, None),
            f"The ranker with text features ships: {CHANGED}+0.020), more than one standard error; none of their "
            "positives is a cold item.",
        ),
        (
            HeldOut(WITH_MATCH, 1200, LIFT, NONE_FOUND),
            f"The ranker with text features ships: {CHANGED}+0.020), more than one standard error; neither ranker has "
            "any cold item (12 positives of 11 items) among the first ten.",
        ),
    ],
)
def test_the_sentence_gives_what_decided(held_out: HeldOut, sentence: str) -> None:
    measured = replace(ledger(), held_out=held_out)
    assert what_ships_sentence(measured) == sentence
    assert what_ships_without_text(measured) == (sentence if held_out.ships == WITHOUT_MATCH else "")


def test_a_ledger_of_an_earlier_version_says_nothing() -> None:
    assert what_ships_sentence(ledger()) == what_ships_without_text(ledger()) == ""
