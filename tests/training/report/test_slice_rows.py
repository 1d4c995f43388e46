from __future__ import annotations

from dataclasses import replace

from training.evaluation.ledger import Slice
from training.report.slice_rows import SliceRow, distinct_slices, slices_by_metric

WARM = Slice(1243, 0.2, 0.3, (0.08, 0.11), "recall@10", 3333)
LONG = Slice(326, 0.1, 0.2, (0.06, 0.11))


def test_slices_of_the_same_positives_are_one_row_in_the_place_of_the_first() -> None:
    rows = distinct_slices({"warm items": WARM, "memory 21+": LONG, "item old": WARM})
    assert rows == [SliceRow("warm items", WARM, ("item old",)), SliceRow("memory 21+", LONG)]
    assert rows[0].note_on_same == "older items: the same ones in this test"
    assert rows[1].note_on_same == ""


def test_slices_that_differ_in_anything_stay_apart() -> None:
    other = replace(WARM, positives=3334)
    assert len(distinct_slices({"warm items": WARM, "item old": other, "x": replace(WARM, metric="ndcg@10")})) == 3


def test_slices_are_grouped_by_metric_in_order() -> None:
    grouped = slices_by_metric({"warm items": WARM, "memory 21+": LONG, "cold items": replace(WARM, queries=1)})
    assert {metric: [row.label for row in rows] for metric, rows in grouped.items()} == {
        "recall@10": ["warm items", "cold items"],
        "ndcg@10": ["users, 21+ events"],
    }
    assert slices_by_metric({}) == {}
