"""An ablation in words."""

from __future__ import annotations

from dataclasses import replace

from small_ablation import ablation, kind
from training.evaluation.ledger import Lift
from training.report.ablation_text import ablation_rows, ablation_sentences, ablation_slices, choice_sentence

GAIN = Lift(0.2, 0.2125, 0.0125, (0.004, 0.021))


def test_what_was_measured_is_said_first() -> None:
    first = ablation_sentences(ablation(kind(), kind("retrieved", was_on=False)))[0]
    assert first == (
        "2 kinds of memory and of text features switched over, one at a time. Worth: NDCG@10 with it minus without it, "
        "of the ranker with text features, on 1,234 queries of 1,000 users on validation and 567 queries of 500 users "
        "on the test."
    )


def test_the_control_is_said_and_how_wide_the_intervals_are() -> None:
    shown = " ".join(ablation_sentences(ablation(kind(), kind("retrieved", was_on=False))))
    assert "by intervals that hold together for all kinds (97.5% each)" in shown
    assert "with another seed, NDCG@10 changes by +0.0010 on validation and by +0.0010 on the test." in shown


def test_where_nothing_is_switched_that_is_said() -> None:
    assert choice_sentence(ablation(kind())).startswith("Nothing was switched over: ")


def test_what_was_switched_is_said_with_its_gain_and_its_settings() -> None:
    shown = ablation_sentences(
        ablation(
            kind("ease_text", -0.01, is_on=False),
            kind("retrieved", 0.01, was_on=False, is_on=True),
            kind("text_similarity"),
            changed={"ranker.leave_out": ["ease_text"], "memory.retrieved": 10, "memory.negatives": False},
            chosen={"validation": GAIN, "test": GAIN},
        )
    )
    assert shown[1] == ("Switched over, since that pays on validation: words of retrieved on, words of ease_text off.")
    assert shown[2] == (
        "So NDCG@10 goes from 0.200 to 0.212 on validation (+0.0125, 95% interval: +0.0040 to +0.0210) and from 0.200 "
        "to 0.212 on the test (+0.0125, 95% interval: +0.0040 to +0.0210). Settings: ranker.leave_out = [ease_text], "
        "memory.retrieved = 10, memory.negatives = false."
    )


def test_kinds_that_were_not_tried_are_named_with_the_reason() -> None:
    shown = ablation_sentences(ablation(not_tried={"tuned text encoder": "the text encoder was not tuned"}))
    assert shown[0] == "No kind of memory or of text features could be switched over on this data."
    assert shown[-1] == "Not tried: tuned text encoder (the text encoder was not tuned)."


def test_a_row_says_whether_the_training_goes_on_with_the_kind() -> None:
    rows = ablation_rows(
        ablation(kind(), kind("b", is_on=False), kind("c", was_on=False), kind("retrieved", was_on=False, is_on=True))
    )
    assert [row.chosen for row in rows] == ["on", "switched off", "off", "switched on"]
    assert [row.how for row in rows[2:]] == ["ranker fitted anew", "match module and ranker trained anew"]


def test_parts_of_the_test_have_the_names_of_slices() -> None:
    assert ablation_slices(ablation(kind())) == {"cold items": "cold items"}


def test_a_kind_that_passed_with_one_seed_only_is_named_with_the_others_interval() -> None:
    made = ablation(kind("ease_text", -0.01), replace(kind("retrieved", 0.02, was_on=False), again=(-0.001, 0.03)))
    sentences = ablation_sentences(made)
    assert choice_sentence(made).endswith("its alternative with both seeds.")
    found = [sentence for sentence in sentences if sentence.startswith("With the other seed")]
    assert found == ["With the other seed, the interval of words of retrieved is \N{MINUS SIGN}0.0010 to +0.0300."]
