from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest

from feature_store import DataError
from feature_store.importers.mind import import_mind
from feature_store.importers.mind_prediction import export_mind_prediction, ranks_of
from published_files import BEHAVIORS, UNLABELLED, truncate, write_lines, write_mind

SCORES = {"N1": 0.9, "N2": 0.5, "N3": 0.95, "N4": 0.7, "N5": 0.5}


@pytest.fixture
def candidates(tmp_path: Path) -> pl.DataFrame:
    news, behaviors = write_mind(tmp_path / "mind", behaviors=UNLABELLED)
    import_mind([news], [behaviors], tmp_path / "out")
    rows = pl.read_parquet(tmp_path / "out" / "candidates.parquet")
    return rows.with_columns(score=pl.col("item_id").replace_strict(SCORES))


def exported(folder: Path, scores: pl.DataFrame) -> str:
    scores.write_parquet(folder / "scores.parquet")
    written = export_mind_prediction(
        folder / "scores.parquet", folder / "mind" / "behaviors.tsv", folder / "prediction.txt"
    )
    assert written.n_impressions == 2
    return (folder / "prediction.txt").read_text()


def test_ranks_stand_in_the_order_of_the_file_and_ties_take_its_order(candidates: pl.DataFrame, tmp_path: Path) -> None:
    # N5 and N2 are equal: N5 stands first.
    assert exported(tmp_path, candidates) == "1 [2,3,1]\n2 [2,1]\n"


def test_the_order_of_the_scores_changes_nothing(
    candidates: pl.DataFrame, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("feature_store.importers.mind_prediction._ROWS_A_BLOCK", 1)
    for seed in range(5):
        shuffled = candidates.sample(fraction=1.0, shuffle=True, seed=seed)
        assert exported(tmp_path, shuffled) == "1 [2,3,1]\n2 [2,1]\n"


def test_every_rank_comes_once_however_many_scores_are_equal() -> None:
    assert ranks_of([0.5] * 4) == [1, 2, 3, 4]
    assert ranks_of([1.0, float("-inf"), 3.0, 1.0]) == [2, 4, 1, 3]
    assert ranks_of([]) == []


def test_impressions_with_labels_are_exported_too(tmp_path: Path) -> None:
    _, behaviors = write_mind(tmp_path / "mind")
    shown = [
        (row.split("\t")[0], row.split("\t")[1], each.split("-")[0])
        for row in BEHAVIORS
        for each in row.split("\t")[4].split()
    ]
    rows = pl.DataFrame(shown, schema=["impression_id", "user_id", "item_id"], orient="row")
    rows.with_columns(score=pl.col("item_id").replace_strict(SCORES)).write_parquet(tmp_path / "scores.parquet")
    export_mind_prediction(tmp_path / "scores.parquet", behaviors, tmp_path / "prediction.txt")
    assert (tmp_path / "prediction.txt").read_text() == "1 [1,2]\n2 [2,3,1]\n3 [2,1]\n"


def test_an_impression_of_the_same_number_but_another_user_is_another(candidates: pl.DataFrame, tmp_path: Path) -> None:
    other = candidates.with_columns(user_id=pl.lit("U99"), score=1 - pl.col("score"))
    assert exported(tmp_path, pl.concat([other, candidates])) == "1 [2,3,1]\n2 [2,1]\n"


def test_scores_that_no_impression_asks_for_are_counted(candidates: pl.DataFrame, tmp_path: Path) -> None:
    more = candidates.head(1).with_columns(item_id=pl.lit("N9"))
    pl.concat([more, candidates]).write_parquet(tmp_path / "scores.parquet")
    written = export_mind_prediction(
        tmp_path / "scores.parquet", tmp_path / "mind" / "behaviors.tsv", tmp_path / "prediction.txt"
    )
    assert written.n_left_over == 1


def test_a_missing_score_is_named_and_nothing_is_written(candidates: pl.DataFrame, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"scores: expected a score for all news of impression 2, got none for 'N3'"):
        exported(tmp_path, candidates.filter(pl.col("item_id") != "N3"))
    assert not list(tmp_path.glob("*prediction*"))


def test_scores_that_are_no_numbers_are_refused(candidates: pl.DataFrame, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"scores.score: expected numbers, got others or none in 5 rows"):
        exported(tmp_path, candidates.with_columns(score=pl.lit(float("nan"))))
    with pytest.raises(DataError, match=r"scores.score: expected numbers, got others or none in 5 rows"):
        exported(tmp_path, candidates.with_columns(score=pl.lit("high")))


def test_other_files_are_refused(candidates: pl.DataFrame, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"got one without score .* with --columns rank"):
        exported(tmp_path, candidates.drop("score"))
    behaviors = tmp_path / "mind" / "behaviors.tsv"
    with pytest.raises(DataError, match=r"scores: expected the Parquet file of `recmem score`, .* got nothing"):
        export_mind_prediction(tmp_path / "no.parquet", behaviors, tmp_path / "prediction.txt")
    text = write_lines(tmp_path / "scores.csv", ["impression_id,user_id,item_id,score"])
    with pytest.raises(DataError, match="got another file"):
        export_mind_prediction(text, behaviors, tmp_path / "prediction.txt")
    candidates.write_parquet(tmp_path / "scores.parquet")
    with pytest.raises(DataError, match=r"got one that is truncated or damaged .* Score the candidates again"):
        export_mind_prediction(truncate(tmp_path / "scores.parquet"), behaviors, tmp_path / "prediction.txt")
    candidates.write_parquet(tmp_path / "scores.parquet")
    with pytest.raises(DataError, match=r"behaviors: expected MIND's behaviors.tsv"):
        export_mind_prediction(tmp_path / "scores.parquet", tmp_path / "mind" / "news.tsv", tmp_path / "prediction.txt")
