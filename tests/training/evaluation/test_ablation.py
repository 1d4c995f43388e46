"""The figures of an ablation as data."""

from __future__ import annotations

import json
import math
from dataclasses import replace

from example_report import ledger
from small_ablation import ablation, kind
from training.evaluation.ablation import Ablation
from training.evaluation.ledger import Ledger, Lift


def example() -> Ablation:
    return ablation(
        kind("ease_text", -0.02, is_on=False),
        kind("retrieved", 0.01, was_on=False, **{"memory.retrieved": 10}),
        changed={"ranker.leave_out": ["ease_text"]},
        chosen={"validation": Lift(0.2, 0.22, 0.02, (0.01, 0.03))},
        not_tried={"declared interests as slots": "no user has declared interests"},
    )


def test_a_ledger_holds_it_and_gives_it_back() -> None:
    written = replace(ledger(), ablation=example().to_document()).to_json()
    assert Ablation.from_document(Ledger.from_json(written).ablation) == example()


def test_a_ledger_without_one_says_nothing_of_it() -> None:
    assert "ablation" not in json.loads(ledger().to_json())


def test_an_undefined_figure_is_null_in_the_file_and_nan_when_read() -> None:
    undefined = ablation(figures={"validation": 0.2, "test": math.nan})
    document = json.loads(replace(ledger(), ablation=undefined.to_document()).to_json())["ablation"]
    assert document["figures"]["test"] is None
    assert math.isnan(Ablation.from_document(document).figures["test"])


def test_entries_of_a_newer_version_are_ignored() -> None:
    document = example().to_document()
    document["later"] = 1
    document["kinds"][0]["later"] = 1
    assert Ablation.from_document(document) == example()


def test_gain_is_that_of_switching_over() -> None:
    assert kind(difference=0.01, was_on=True).gain == -0.01
    assert kind(difference=0.01, was_on=False).gain == 0.01


def test_the_switched_kinds_are_those_that_are_not_as_they_were() -> None:
    assert [each.name for each in example().switched] == ["ease_text"]


def test_metrics_are_named_by_part_and_kind() -> None:
    assert example().metrics() == {
        "ablation_validation/ease_text": -0.02,
        "ablation_test/ease_text": -0.02,
        "ablation_validation/retrieved": 0.01,
        "ablation_test/retrieved": 0.01,
    }
