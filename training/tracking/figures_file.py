"""A model's figures on each test query as a Parquet file, kept so that a later model can be compared with it."""

from __future__ import annotations

from pathlib import Path

import polars as pl

from training.evaluation.promotion import TestFigures

TEST_FIGURES = "test_figures.parquet"
"""The file's name, in a run's folder and among the artifacts of its MLflow run."""

_DIGEST_KEY = "recmem_test_digest"
_USERS_COLUMN = "user"


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
