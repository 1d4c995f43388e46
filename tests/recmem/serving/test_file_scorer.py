"""Candidate files scored by several processes: the bytes of one process."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from debian_model import trained_model
from feature_store import DataError
from own_feature import FEATURES, model_with
from recmem.batch.candidate_source import candidates_at
from recmem.serving.file_scorer import PAYS_FROM_CORES, PAYS_FROM_ROWS, FileReport, score_candidates
from recmem.serving.model import Model

CHUNK_ROWS = 40


def candidates(model: Model, n_rows: int = 300) -> pl.DataFrame:
    """Known and unknown users and items, some items with a text, at several times, queries in any order."""
    random = np.random.default_rng(0)
    events = model.dataset.events
    items = model.dataset.catalogue.ids.to_list()
    times = events["timestamp"].unique().sort().cast(pl.String).to_list()
    return pl.DataFrame(
        {
            "user_id": random.choice([*events["user_id"].unique().sort().to_list(), "nobody"], n_rows),
            "item_id": random.choice([*items, "new-1", "new-2"], n_rows),
            "timestamp": pl.Series(random.choice([*times[-4:], None], n_rows).tolist(), dtype=pl.String),
            "mine": np.arange(n_rows),
        }
    )


def scored(model: Model, frame: pl.DataFrame, folder: Path, ending: str, **options: object) -> tuple[bytes, FileReport]:
    """The file with two workers, which has to be that of one process, and what was noticed."""
    frame.write_parquet(folder / "c.parquet")
    workers = {1: b"", 2: b""}
    reports = []
    for n_workers in workers:
        out = folder / f"{n_workers}{ending}"
        with candidates_at(folder / "c.parquet") as source:
            scorer = model.scorer(**options)  # type: ignore[arg-type]
            reports.append(score_candidates(source, out, scorer, workers=n_workers, chunk_rows=CHUNK_ROWS))
        workers[n_workers] = out.read_bytes()
    assert workers[1] == workers[2]
    assert replace(reports[0], n_workers=2) == reports[1]
    return workers[1], reports[0]


@pytest.mark.parametrize("ending", [".parquet", ".csv", ".jsonl"])
@pytest.mark.parametrize("in_order", [True, False])
def test_the_file_has_the_same_bytes_in_each_format(tmp_path: Path, ending: str, *, in_order: bool) -> None:
    model = trained_model().model()
    frame = candidates(model)
    _, report = scored(model, frame.sort("user_id", "timestamp") if in_order else frame, tmp_path, ending)
    assert report.unmatched.unknown_users > 0
    assert report.unmatched.unknown_items_without_text > 0


def test_the_match_and_reasons_have_the_same_bytes(tmp_path: Path) -> None:
    model = trained_model().model()
    content, _ = scored(model, candidates(model, 90), tmp_path, ".jsonl", explain=2)
    assert b"score_reason_2" in content
    _, report = scored(model, candidates(model, 90), tmp_path, ".csv", ranks=False, explain=1)
    assert report.n_in_sample >= 0


def test_features_of_the_callers_own_have_the_same_bytes(tmp_path: Path) -> None:
    model = model_with(*FEATURES)
    frame = candidates(model).with_columns(
        ctr=pl.col("mine") / 300, device=pl.when(pl.col("mine") % 3 == 0).then(pl.lit("app"))
    )
    _, report = scored(model, frame, tmp_path, ".parquet")
    assert report.unmatched.missing_features > 0


def test_texts_of_new_items_are_encoded_as_in_one_process(tmp_path: Path) -> None:
    model = trained_model().model()
    frame = candidates(model).with_columns(
        title=pl.when(pl.col("item_id").str.starts_with("new")).then(pl.format("network library {}", "mine"))
    )
    _, report = scored(model, frame, tmp_path, ".parquet")
    assert report.unmatched.unknown_items_with_text > 0


def test_rows_that_are_refused_are_refused_in_the_same_words(tmp_path: Path) -> None:
    model = trained_model().model()
    frame = candidates(model).with_columns(history=pl.lit(3))
    frame.write_parquet(tmp_path / "c.parquet")
    texts = []
    for n_workers in (1, 2):
        with candidates_at(tmp_path / "c.parquet") as source, pytest.raises(DataError) as error:
            score_candidates(source, tmp_path / "s.csv", model.scorer(), workers=n_workers, chunk_rows=CHUNK_ROWS)
        texts.append(str(error.value))
    assert texts[0] == texts[1]
    assert [path.name for path in tmp_path.iterdir()] == ["c.parquet"]


def test_a_bad_cell_of_a_feature_is_named_by_its_row_in_the_file_before_anything_is_scored(tmp_path: Path) -> None:
    model = model_with(*FEATURES)
    cells = pl.when(pl.col("mine") == 217).then(pl.lit("N/A")).otherwise(pl.lit("0.5"))
    candidates(model).with_columns(ctr=cells, device=pl.lit("app")).write_parquet(tmp_path / "c.parquet")
    scored_rows: list[int] = []
    with candidates_at(tmp_path / "c.parquet") as source, pytest.raises(DataError, match="row 217, counting from 0"):
        score_candidates(
            source, tmp_path / "s.csv", model.scorer(), chunk_rows=CHUNK_ROWS, on_progress=scored_rows.append
        )
    assert scored_rows == []


def test_rows_without_a_time_are_one_query_in_any_chunks(tmp_path: Path) -> None:
    model = trained_model().model()
    clock = pl.lit(model.dataset.clock).cast(pl.Datetime("us", "UTC"))
    frame = candidates(model).with_columns(timestamp=pl.when(pl.col("mine") % 3 > 0).then(clock))
    frame.write_parquet(tmp_path / "c.parquet")
    with candidates_at(tmp_path / "c.parquet") as source:
        score_candidates(source, tmp_path / "s.parquet", model.scorer(), chunk_rows=CHUNK_ROWS)
    in_chunks = pl.read_parquet(tmp_path / "s.parquet")
    assert in_chunks["rank"].to_list() == model.rank(frame)["rank"].to_list()


def test_a_path_will_do_in_place_of_opened_files(tmp_path: Path) -> None:
    model = trained_model().model()
    frame = candidates(model, 20)
    frame.write_parquet(tmp_path / "c.parquet")
    report = score_candidates(tmp_path / "c.parquet", tmp_path / "s.parquet", model.scorer(), workers=1)
    assert report.n_workers == 1
    assert pl.read_parquet(tmp_path / "s.parquet")["rank"].equals(model.rank(frame)["rank"])


def test_workers_are_started_for_files_that_pay_for_them_alone() -> None:
    scorer = trained_model().model().scorer()
    assert scorer.workers_that_pay(PAYS_FROM_ROWS - 1, 16) == 1
    assert scorer.workers_that_pay(PAYS_FROM_ROWS, 16) == 16
    assert scorer.workers_that_pay(PAYS_FROM_ROWS, PAYS_FROM_CORES - 1) == 1
    with_a_server = replace(scorer, parts=replace(scorer.parts, memories=object()))  # type: ignore[arg-type]
    assert with_a_server.workers_that_pay(PAYS_FROM_ROWS, 16) == 1


def test_fewer_than_one_worker_is_refused(tmp_path: Path) -> None:
    model = trained_model().model()
    candidates(model).write_parquet(tmp_path / "c.parquet")
    with candidates_at(tmp_path / "c.parquet") as source, pytest.raises(DataError, match="workers: expected 1 or more"):
        score_candidates(source, tmp_path / "s.parquet", model.scorer(), workers=0)
