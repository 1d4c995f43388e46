"""A model's figures on each test query, and its ranks of their positives, as Parquet files."""

from __future__ import annotations

from pathlib import Path

import polars as pl

from feature_store.arrays import Float64Array
from training.evaluation.auc_figures import AucPerQuery
from training.evaluation.promotion import TestFigures

TEST_FIGURES = "test_figures.parquet"
"""In the folder of the step `evaluate`."""
TEST_RANKS = "test_ranks.parquet"
"""Beside it, unless the queries are impressions."""
TEST_AUC = "test_auc.parquet"
"""Beside it, if the queries are impressions."""

_DIGEST_KEY = "recmem_test_digest"
_USERS_COLUMN = "user"
_RANKS_COLUMN = "rank"


def write_test_figures(figures: TestFigures, path: Path) -> None:
    """One row per test query: its user, and a column per metric. The queries' digest is in the metadata."""
    frame = pl.DataFrame({_USERS_COLUMN: figures.users, **figures.metrics})
    frame.write_parquet(path, metadata={_DIGEST_KEY: figures.digest})


def read_test_figures(path: Path) -> TestFigures:
    """The figures that `write_test_figures` wrote."""
    digest = pl.read_parquet_metadata(path)[_DIGEST_KEY]
    frame = pl.read_parquet(path)
    metrics = {name: frame[name].to_numpy() for name in frame.columns if name != _USERS_COLUMN}
    return TestFigures(digest, frame[_USERS_COLUMN].to_numpy(), metrics)


def write_test_auc(auc: AucPerQuery, path: Path) -> None:
    """One row per impression of the test: its user, and the AUC of the ranker and of click-through."""
    pl.DataFrame({_USERS_COLUMN: auc.users, "ranker": auc.ranker, "click_through": auc.click_through}).write_parquet(
        path
    )


def read_test_auc(path: Path) -> AucPerQuery:
    """The figures that `write_test_auc` wrote."""
    frame = pl.read_parquet(path)
    return AucPerQuery(*(frame[name].to_numpy() for name in (_USERS_COLUMN, "ranker", "click_through")))


def write_test_ranks(ranks: Float64Array, path: Path) -> None:
    """One row per positive of the test queries: its rank, `inf` if it was not retrieved."""
    pl.DataFrame({_RANKS_COLUMN: ranks}).write_parquet(path)


def read_test_ranks(path: Path) -> Float64Array:
    """The ranks that `write_test_ranks` wrote."""
    return pl.read_parquet(path)[_RANKS_COLUMN].to_numpy()
