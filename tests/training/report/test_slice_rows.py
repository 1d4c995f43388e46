from __future__ import annotations

from dataclasses import replace

import pytest

from training.evaluation.ledger import Slice
from training.report.slice_rows import (
    SliceRow,
    distinct_slices,
    few_items_sentence,
    has_few_items,
    positives_text,
    slices_by_metric,
)

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


def test_positives_are_counted_with_their_items() -> None:
    assert positives_text(replace(WARM, items=1200)) == "3,333 positives of 1,200 items"
    assert positives_text(replace(WARM, positives=1, items=1)) == "1 positive of 1 item"
    assert positives_text(WARM) == "3,333 positives"


@pytest.mark.parametrize(
    ("positives", "items", "is_of_few"),
    [(273, 11, True), (273, 20, False), (38, 19, True), (37, 19, False), (2, 2, False), (273, None, False)],
)
def test_many_positives_of_few_items_are_told(positives: int, items: int | None, is_of_few: bool) -> None:
    assert has_few_items(replace(WARM, positives=positives, items=items)) == is_of_few


def test_a_slice_of_queries_is_not_of_few_items() -> None:
    assert not has_few_items(LONG)


def test_slices_of_few_items_are_named_once_with_what_their_interval_does_not_tell() -> None:
    few = replace(WARM, positives=273, items=11)
    young = replace(few, positives=300, items=12)
    slices = {"cold items": few, "item young": young, "item old": few, "warm items": replace(WARM, items=900)}
    assert few_items_sentence(slices) == (
        "On few items: cold items (273 positives of 11 items); young items (300 positives of 12 items). An interval is "
        "over users: it does not tell how other items would do."
    )
    assert few_items_sentence({"warm items": replace(WARM, items=900)}) == ""
