"""Candidates at any address and in any format are the same rows, and give the same scores."""

from __future__ import annotations

import os
import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from feature_store import DataError
from feature_store.files import text_blocks
from recmem.batch.candidate_source import candidates_at
from recmem.batch.score_file import score_file
from s3_server import S3

ENDINGS = ["parquet", "arrow", "csv", "tsv.gz", "jsonl", "ndjson.zst"]


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


def candidates(n_rows: int = 2_000) -> pl.DataFrame:
    """Rows of many queries in any order, with ids that look like numbers and cells that CSV has to quote."""
    random = np.random.default_rng(0)
    users = random.integers(0, 40, n_rows)
    start = datetime(2026, 1, 1, tzinfo=UTC)
    return pl.DataFrame(
        {
            "user_id": [f"{user:03}" for user in users],
            "item_id": [f"{item:06}" for item in random.permutation(n_rows)],
            "timestamp": [
                start + timedelta(days=int(user) % 3, microseconds=7) if user % 2 else None for user in users
            ],
            "title": [['a "b", c', "two\nlines", None, "", "ü"][user % 5] for user in users],
            "history": [[["007", "a,b"], [], None][user % 3] for user in users],
            "price": random.random(n_rows),
        }
    )


def by_query(frame: pl.DataFrame) -> pl.DataFrame:
    """Scores that depend on the whole query, its time, its texts and its history."""
    time = pl.col("timestamp")
    microseconds = time.str.to_datetime(time_zone="UTC") if frame.schema["timestamp"] == pl.String else time
    value = (
        pl.col("item_id").cast(pl.Float64)
        + microseconds.dt.epoch("us").fill_null(0) / 1e12
        + pl.col("title").fill_null("?").str.len_bytes()
        + pl.col("history").list.join(",").fill_null("none").str.len_bytes()
        + pl.col("price")
    )
    of_query = (value - value.mean()).over("user_id")
    return frame.with_columns(score=of_query, why=pl.format('say "{}"\n', pl.col("user_id")))


def write(frame: pl.DataFrame, path: Path) -> Path:
    """The rows in the format of the name, as `score_file` itself writes them."""
    frame.write_parquet(path.with_suffix(".given.parquet"))
    score_file(path.with_suffix(".given.parquet"), path, lambda rows: rows.with_columns(own=pl.lit(1)))
    return path


@pytest.mark.parametrize("out", ENDINGS)
@pytest.mark.parametrize("given", ENDINGS)
def test_scores_are_equal_in_all_formats(
    tmp_path: Path, temporary: Path, given: str, out: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(text_blocks, "BLOCK_BYTES", 20_000)
    frame = candidates()
    expected = by_query(frame)
    source = write(frame, tmp_path / f"c.{given}")
    score_file(source, tmp_path / f"s.{out}", by_query, chunk_rows=300)
    with candidates_at(tmp_path / f"s.{out}") as scored:
        found = pl.concat([pl.DataFrame(batch) for batch in scored.batches(10_000)])
    assert found["user_id"].to_list() == frame["user_id"].to_list()
    assert found["item_id"].to_list() == frame["item_id"].to_list()
    assert found["title"].to_list() == frame["title"].to_list()
    assert found["history"].to_list() == frame["history"].to_list()
    assert found["why"].to_list() == expected["why"].to_list()
    assert found["score"].to_numpy() == pytest.approx(expected["score"].to_numpy(), abs=1e-6)
    assert list(temporary.iterdir()) == []


def test_other_formats_than_parquet_are_scored_by_chunks_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(text_blocks, "BLOCK_BYTES", 20_000)
    frame = candidates().sort("user_id")
    lengths: list[int] = []

    def scorer(rows: pl.DataFrame) -> pl.DataFrame:
        lengths.append(rows.height)
        return rows.with_columns(score=pl.lit(1.0))

    score_file(write(frame, tmp_path / "c.csv"), tmp_path / "s.jsonl", scorer, chunk_rows=300)
    assert sum(lengths) == 2_000
    assert max(lengths) <= 400


def test_files_and_folders_of_an_object_store_are_candidates(s3: S3, tmp_path: Path, temporary: Path) -> None:
    frame = candidates(50)
    s3.put("in/c.csv.gz", write(frame, tmp_path / "c.csv.gz").read_bytes())
    for number in range(2):
        part = tmp_path / "part.parquet"
        frame[25 * number : 25 * (number + 1)].write_parquet(part)
        s3.put(f"in/parts/{number}.parquet", part.read_bytes())
    for key in ("in/c.csv.gz", "in/parts", "in/parts/"):
        with candidates_at(s3.url(key)) as source:
            found = pl.concat([pl.DataFrame(batch) for batch in source.batches(100)])
        assert found["item_id"].to_list() == frame["item_id"].to_list()
    score_file(s3.url("in/c.csv.gz"), s3.url("out/s.csv"), by_query)
    written = pl.read_csv(s3.get("out/s.csv"), infer_schema=False)
    assert written["score"].cast(pl.Float64).to_numpy() == pytest.approx(by_query(frame)["score"].to_numpy(), abs=1e-6)
    assert list(temporary.iterdir()) == []


def test_a_failed_scoring_leaves_no_object(s3: S3, tmp_path: Path, temporary: Path) -> None:
    source = write(candidates(50), tmp_path / "c.csv")
    before = s3.names()

    def fails(rows: pl.DataFrame) -> pl.DataFrame:
        if rows.height:
            raise KeyError("half way")
        return rows.with_columns(score=pl.lit(1.0))

    with pytest.raises(KeyError):
        score_file(source, s3.url("failed/s.csv"), fails)
    assert s3.names() == before
    assert list(temporary.iterdir()) == []


def test_what_killed_processes_left_is_removed_after_a_day(tmp_path: Path, temporary: Path, s3: S3) -> None:
    source = write(candidates(5), tmp_path / "c.csv")
    # Named as `tempfile` does it: eight characters after the prefix.
    for name in ("recmem-candidates-_killed_", "recmem-scores-_killed_", "recmem-scores-2026", "of-another"):
        (temporary / name).mkdir()
        os.utime(temporary / name, times=(0, 0))
    (temporary / "recmem-candidates-_running").mkdir()
    score_file(source, s3.url("out/s.csv"), by_query)
    left = sorted(path.name for path in temporary.iterdir())
    assert left == ["of-another", "recmem-candidates-_running", "recmem-scores-2026"]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("c.xlsx", b"PK\x03\x04", r"a known format, got 'c.xlsx' \(.xlsx, and it looks like a zip .*\.jsonl"),
        ("c", b"user_id,item_id\n", r"a known format, got 'c' \(no ending\)"),
        ("c.csv", b"PAR1....", r"expected CSV, got 'c\.csv', which cannot be read \(it looks like a Parquet file\)"),
        ("c.arrow", b"user_id,item_id\n", r"expected Arrow, got 'c\.arrow', which cannot be read"),
        ("c.jsonl", b"[{}]", "it is a JSON array.* Write one object per line"),
        ("c.csv", b"user_id,item_id\n\xe9,i\n", "line 2 is not UTF-8"),
        ("absent.csv", None, "expected a file, got nothing at"),
    ],
)
def test_what_is_no_table_is_refused_in_words(tmp_path: Path, name: str, content: bytes | None, message: str) -> None:
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=rf"candidates\.path: .*{message}"), candidates_at(tmp_path / name):
        pytest.fail("there are no candidates")


def test_a_file_without_an_ending_is_read_if_it_begins_as_parquet(tmp_path: Path) -> None:
    candidates(5).write_parquet(tmp_path / "c")
    with candidates_at(tmp_path / "c") as source:
        assert source.n_rows == 5


def test_a_folder_without_parquet_on_an_object_store_is_refused(s3: S3) -> None:
    s3.put("odd/readme.md", b"nothing")
    with (
        pytest.raises(DataError, match=r"expected \.parquet files, got none at 's3://shop/odd/'"),
        candidates_at(s3.url("odd/")),
    ):
        pytest.fail("there are no candidates")
