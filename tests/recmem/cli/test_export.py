"""`recmem export`: what is printed, and how a refusal ends. The file has tests of its own."""

from __future__ import annotations

from pathlib import Path

import polars as pl

from command_line import DONE, REFUSED, Outcome
from feature_store.importers.mind import import_mind
from published_files import UNLABELLED, write_mind


def exported(folder: Path, scores: pl.DataFrame) -> Outcome:
    scores.write_parquet(folder / "scores.parquet")
    behaviors = folder / "mind" / "behaviors.tsv"
    options = ("--scores", folder / "scores.parquet", "--behaviors", behaviors, "--out", folder / "prediction.txt")
    return Outcome("export", "mind-prediction", *options)


def test_a_prediction_is_written_and_scores_without_an_impression_are_told(tmp_path: Path) -> None:
    news, behaviors = write_mind(tmp_path / "mind", behaviors=UNLABELLED)
    import_mind([news], [behaviors], tmp_path / "out")
    scores = pl.read_parquet(tmp_path / "out" / "candidates.parquet").with_columns(score=pl.int_range(pl.len()))
    done = exported(tmp_path, scores)
    assert done.code == DONE
    assert "Wrote the ranks of 2 impressions" in done.out
    assert "of no impression" not in done.err
    assert (tmp_path / "prediction.txt").read_text() == "1 [3,2,1]\n2 [2,1]\n"
    other = scores.head(1).with_columns(impression_id=pl.lit("77"))
    assert "1 scores are of no impression in behaviors.tsv" in exported(tmp_path, pl.concat([scores, other])).err
    refused = exported(tmp_path, scores.head(3))
    assert refused.code == REFUSED
    assert "expected a score for all news of impression 2" in refused.err


def test_the_help_names_the_form() -> None:
    assert "\n  mind-prediction " in Outcome("export", "--help").out
    assert "--behaviors" in Outcome("export", "mind-prediction", "--help").out
