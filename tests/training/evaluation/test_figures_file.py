from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl

from training.evaluation.auc_figures import AucPerQuery
from training.evaluation.figures_file import read_test_auc, read_test_figures, write_test_auc, write_test_figures
from training.evaluation.promotion import TestFigures

NDCG = np.array([0.5, np.nan, 1.0])


def test_figures_come_back_as_they_were(tmp_path: Path) -> None:
    path = tmp_path / "figures.parquet"
    write_test_figures(TestFigures("abc", np.array([7, 7, 9]), {"ndcg@10": NDCG, "mrr": 1 - NDCG}), path)
    found = read_test_figures(path)
    assert found.digest == "abc"
    assert found.users.tolist() == [7, 7, 9]
    assert list(found.metrics) == ["ndcg@10", "mrr"]
    assert np.array_equal(found.metrics["ndcg@10"], NDCG, equal_nan=True)


def test_file_of_a_champion_that_was_registered_by_version_0_1_can_be_read(tmp_path: Path) -> None:
    path = tmp_path / "test_figures.parquet"
    frame = pl.DataFrame({"user": ["a", "b", "b"], "ndcg@10": NDCG})
    frame.write_parquet(path, metadata={"recmem_test_digest": "3e96466d0cadbfe1"})
    found = read_test_figures(path)
    assert (found.digest, found.users.tolist()) == ("3e96466d0cadbfe1", ["a", "b", "b"])
    assert np.array_equal(found.metrics["ndcg@10"], NDCG, equal_nan=True)


def test_auc_of_impressions_comes_back_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "auc.parquet"
    write_test_auc(AucPerQuery(np.array([7, 7, 9]), NDCG, 1 - NDCG), path)
    found = read_test_auc(path)
    assert found.users.tolist() == [7, 7, 9]
    assert np.array_equal(found.ranker, NDCG, equal_nan=True)
    assert np.array_equal(found.click_through, 1 - NDCG, equal_nan=True)
