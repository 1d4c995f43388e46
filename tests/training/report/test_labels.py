from __future__ import annotations

import pytest

from training.evaluation.baselines import BASELINES, CLICK_THROUGH, HAD_BEFORE
from training.evaluation.ledger import WITH_MATCH, WITH_SIMILARITY, WITHOUT_MATCH
from training.evaluation.slices import FIRST_ITEMS, MEMORY_SLICES, REPEATED_ITEMS
from training.report.labels import (
    ROW_LABELS,
    ROW_NOTES,
    SLICE_LABELS,
    SLICE_NOTES,
    metric_label,
    row_label,
    ships_label,
    slice_label,
)


def test_every_row_that_a_run_evaluates_has_a_label_and_a_note() -> None:
    rows = {*BASELINES, HAD_BEFORE, CLICK_THROUGH, "text_similarity", WITHOUT_MATCH, WITH_SIMILARITY, WITH_MATCH}
    assert set(ROW_LABELS) == set(ROW_NOTES) == rows


def test_every_slice_has_a_label_and_a_note() -> None:
    slices = {*MEMORY_SLICES, "cold items", "warm items", "item young", "item old", REPEATED_ITEMS, FIRST_ITEMS}
    assert set(SLICE_LABELS) == set(SLICE_NOTES) == slices


def test_what_has_no_label_goes_by_its_own_name() -> None:
    assert row_label("my_ranker") == "my_ranker"
    assert slice_label("weekends") == "weekends"


@pytest.mark.parametrize(
    ("metric", "label"), [("ndcg@10", "NDCG@10"), ("recall@200", "Recall@200"), ("mrr", "MRR"), ("auc", "AUC")]
)
def test_metrics_are_written_as_papers_write_them(metric: str, label: str) -> None:
    assert metric_label(metric) == label


def test_what_a_training_ships_is_named_by_its_text_features() -> None:
    assert [ships_label(name) for name in (WITH_MATCH, WITHOUT_MATCH, "my_ranker")] == ["with", "without", "my_ranker"]
