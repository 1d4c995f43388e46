"""The ledger's file: its form, what is read back, and files of version 1."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import pytest

from training.evaluation.ledger import (
    LEDGER_VERSION,
    SEEDS_LIFT,
    WITH_MATCH,
    WITHOUT_MATCH,
    HeldOut,
    Ledger,
    Lift,
    Protocol,
    Row,
    Slice,
    Spread,
    held_out_from_json,
    held_out_to_json,
)
from training.fitting.position_effects import PositionEffect

METRICS = {"ndcg@10": 0.1, "recall@10": 0.2, "mrr": 0.3, "auc": 0.4}

LEDGER = Ledger(
    protocol=Protocol(
        queries=6, catalogue=40, test_from="2025-08-09T00:00:00+00:00", candidates="catalogue", users=3, positives=9
    ),
    rows=(
        Row("popularity", METRICS),
        Row("ranker_without_match", METRICS),
        Row("ranker_with_match", METRICS | {"ndcg@10": 0.35}),
    ),
    lift={"ndcg@10": Lift(0.1, 0.35, 0.25, (0.2, 0.3)), "mrr": Lift(0.3, 0.3, 0.0, (-0.1, 0.1))},
    slices={
        "every query": Slice(6, 0.1, 0.35, (0.2, 0.3)),
        "cold items": Slice(2, 0.0, 0.666667, (0.5, 1.0), "recall@10", 3, 2),
    },
    retrieval={"recall@200": 0.712346},
)

VERSION_1 = """
{
  "protocol": {
    "queries": 2211, "catalogue": 3459, "test_from": "1970-01-17T18:34:40+00:00", "candidates": "catalogue",
    "users": 1171, "positives": 2211, "exclude_seen": true, "test_digest": "3e96466d0cadbfe1"
  },
  "rows": [
    {"name": "frozen_cosine", "ndcg@10": 0.065207, "recall@10": 0.097241, "mrr": 0.059302, "auc": 0.626417},
    {"name": "ranker_without_match", "ndcg@10": 0.102505, "recall@10": 0.132519, "mrr": 0.098512, "auc": 0.693887},
    {"name": "ranker_with_match", "ndcg@10": 0.115088, "recall@10": 0.158752, "mrr": 0.108161, "auc": 0.697001}
  ],
  "lift": {
    "ndcg@10": {"without": 0.102505, "with": 0.115088, "difference": 0.012583, "ci95": [0.007797, 0.017044]}
  },
  "slices": {
    "item young": {
      "queries": 23, "without": 0.0, "with": 0.043478, "ci95": [0.0, 0.142857], "metric": "recall@10", "positives": 23
    }
  },
  "retrieval": {"recall@50": 0.231569}
}
"""
"""A part of a file that recmem 0.1.0 wrote."""


def test_the_file_has_the_documented_form() -> None:
    document = json.loads(LEDGER.to_json())
    assert list(document) == ["version", "protocol", "rows", "lift", "slices", "retrieval"]
    assert document["version"] == LEDGER_VERSION == 2
    assert {"queries", "catalogue", "test_from", "candidates"} <= document["protocol"].keys()
    assert [list(row) for row in document["rows"]] == [["name", *METRICS]] * 3
    assert list(document["lift"]) == ["ndcg@10", "mrr"]
    assert all(list(entry) == ["without", "with", "difference", "ci95"] for entry in document["lift"].values())
    assert list(document["slices"]["every query"]) == ["queries", "without", "with", "ci95", "metric"]
    assert document["slices"]["cold items"]["positives"] == 3
    assert document["slices"]["cold items"]["items"] == 2
    assert document["retrieval"] == {"recall@200": 0.712346}


def test_reading_back_what_was_written_gives_the_same_ledger() -> None:
    assert Ledger.from_json(LEDGER.to_json()) == LEDGER


def test_what_was_learned_of_positions_is_in_the_file_and_comes_back() -> None:
    placed = replace(LEDGER, positions=(PositionEffect(1, 1, 90, 9, 0.0), PositionEffect(2, 4, 80, 2, -0.693147)))
    document = json.loads(placed.to_json())
    assert document["positions"][1] == {
        "first": 2,
        "last": 4,
        "rows": 80,
        "clicks": 2,
        "effect": -0.693147,
        "times": 0.5,
    }
    assert Ledger.from_json(placed.to_json()) == placed


def test_a_file_of_version_1_is_read_with_the_row_under_its_new_name() -> None:
    ledger = Ledger.from_json(VERSION_1)
    assert [row.name for row in ledger.rows] == ["text_similarity", "ranker_without_match", "ranker_with_match"]
    row = ledger.row("text_similarity")
    assert row is not None
    assert row.metrics == {"ndcg@10": 0.065207, "recall@10": 0.097241, "mrr": 0.059302, "auc": 0.626417}
    assert ledger.protocol.test_digest == "3e96466d0cadbfe1"
    assert ledger.lift["ndcg@10"] == Lift(0.102505, 0.115088, 0.012583, (0.007797, 0.017044))
    assert ledger.slices["item young"] == Slice(23, 0.0, 0.043478, (0.0, 0.142857), "recall@10", 23)


def test_a_file_of_version_1_changes_nothing_but_its_version_and_that_name_when_it_is_written_again() -> None:
    written = json.loads(Ledger.from_json(VERSION_1).to_json())
    assert written.pop("version") == LEDGER_VERSION
    assert written == json.loads(VERSION_1.replace("frozen_cosine", "text_similarity"))


def test_a_row_of_a_current_file_keeps_its_name_whatever_it_is() -> None:
    named = replace(LEDGER, rows=(*LEDGER.rows, Row("frozen_cosine", METRICS)))
    assert Ledger.from_json(named.to_json()) == named


def test_unknown_keys_of_a_later_version_are_ignored() -> None:
    document = json.loads(LEDGER.to_json())
    document["version"] = LEDGER_VERSION + 1
    document["protocol"]["moon"] = "full"
    document["rows"][0]["about"] = "what everyone takes"
    document["slices"]["every query"]["note"] = 1
    assert Ledger.from_json(json.dumps(document)) == LEDGER


def test_an_undefined_figure_is_null_in_the_file_and_nan_in_the_ledger() -> None:
    undefined = replace(LEDGER, rows=(Row("popularity", METRICS | {"auc": math.nan}), *LEDGER.rows[1:]))
    text = undefined.to_json()
    assert json.loads(text)["rows"][0]["auc"] is None
    row = Ledger.from_json(text).row("popularity")
    assert row is not None
    assert math.isnan(row.metrics["auc"])


def test_a_row_that_is_not_there_is_none() -> None:
    assert LEDGER.row("oracle") is None


@pytest.mark.parametrize("version", ["2", None, 0])
def test_a_version_that_is_no_number_is_refused(version: object) -> None:
    with pytest.raises(ValueError, match=r"ledger\.version: expected a number from 1, got"):
        Ledger.from_json(json.dumps({"version": version, "rows": []}))


LOSS = Lift(0.2, 0.1, -0.1, (-0.2, 0.05))
REFUSED = HeldOut(WITHOUT_MATCH, 5, LOSS, Slice(2, 0.5, 0.25, (-0.4, -0.1), "recall@10", 4, 3))


def test_what_ships_and_the_spread_over_seeds_are_in_the_file() -> None:
    spread = Spread((0.3, 0.4), 0.35, 0.070711)
    ledger = replace(LEDGER, held_out=REFUSED, seeds={WITH_MATCH: spread, SEEDS_LIFT: spread})
    document = json.loads(ledger.to_json())
    assert document["ships"] == "ranker_without_match"
    assert document["held_out"]["lift"] == {"without": 0.2, "with": 0.1, "difference": -0.1, "ci95": [-0.2, 0.05]}
    assert document["held_out"]["cold"]["positives"] == 4
    assert document["held_out"]["cold"]["items"] == 3
    assert document["seeds"]["lift"] == {"values": [0.3, 0.4], "mean": 0.35, "deviation": 0.070711}
    assert Ledger.from_json(ledger.to_json()) == ledger


def test_a_ledger_of_before_ships_the_ranker_with_the_match() -> None:
    assert "ships" not in json.loads(LEDGER.to_json())
    assert LEDGER.ships == WITH_MATCH
    assert LEDGER.shipped_lift == LEDGER.lift["ndcg@10"]


def test_without_the_match_what_ships_has_no_lift() -> None:
    assert replace(LEDGER, held_out=REFUSED).shipped_lift == Lift(0.1, 0.1, 0.0, (0.0, 0.0))


@pytest.mark.parametrize("held_out", [REFUSED, HeldOut(WITHOUT_MATCH, 0, None, None)])
def test_what_ships_is_read_back_on_its_own(held_out: HeldOut) -> None:
    assert held_out_from_json(held_out_to_json(held_out)) == held_out
