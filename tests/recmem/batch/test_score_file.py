"""Candidate files scored in chunks, compared with the same scorer on the whole table."""

from __future__ import annotations

import errno
import subprocess
import sys
import tempfile
from contextlib import nullcontext
from decimal import Decimal
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from feature_store import DataError
from recmem.batch import score_blocks
from recmem.batch import score_file as score_file_module
from recmem.batch.candidate_files import CandidateFiles
from recmem.batch.score_blocks import ScoreBlocks
from recmem.batch.score_file import score_file


def by_query(frame: pl.DataFrame) -> pl.DataFrame:
    """A scorer that is wrong as soon as it sees a part of a query."""
    keys = [key for key in ("impression_id", "user_id", "timestamp") if key in frame.columns]
    value = pl.col("item_id").cast(pl.Float64)
    return frame.with_columns(
        score=(value - value.mean()).over(keys), rank=value.rank("ordinal", descending=True).over(keys).cast(pl.Int32)
    )


def shuffled(n_rows: int, n_users: int, *, seed: int = 0, **columns: object) -> pl.DataFrame:
    random = np.random.default_rng(seed)
    user = random.integers(0, n_users, n_rows)
    return pl.DataFrame({"user_id": [f"u{number}" for number in user], "item_id": random.permutation(n_rows)} | columns)


def scored(frame: pl.DataFrame, folder: Path, chunk_rows: int, **write: object) -> pl.DataFrame:
    frame.write_parquet(folder / "candidates.parquet", **write)  # type: ignore[arg-type]
    source = CandidateFiles.open(folder / "candidates.parquet")
    score_file(source, folder / "scores.parquet", by_query, chunk_rows=chunk_rows)
    return pl.read_parquet(folder / "scores.parquet")


@given(
    users=st.lists(st.integers(0, 6), max_size=60),
    chunk_rows=st.integers(1, 70),
    days=st.lists(st.integers(0, 2) | st.none(), min_size=60, max_size=60),
)
def test_a_file_in_chunks_equals_the_whole_table(
    tmp_path_factory: pytest.TempPathFactory, users: list[int], chunk_rows: int, days: list[int | None]
) -> None:
    frame = pl.DataFrame(
        {"user_id": users, "item_id": range(len(users)), "timestamp": days[: len(users)]},
        schema={"user_id": pl.Int64, "item_id": pl.Int64, "timestamp": pl.Int64},
    )
    found = scored(frame, tmp_path_factory.mktemp("stream"), chunk_rows)
    assert found.equals(by_query(frame))


@given(lengths=st.lists(st.integers(1, 9), max_size=12), chunk_rows=st.integers(1, 30), row_group=st.integers(1, 20))
def test_grouped_queries_are_scored_in_the_order_of_the_file(
    tmp_path_factory: pytest.TempPathFactory, lengths: list[int], chunk_rows: int, row_group: int
) -> None:
    users = [number for number, length in enumerate(lengths) for _ in range(length)]
    frame = pl.DataFrame(
        {"user_id": users, "item_id": range(len(users))}, schema=dict.fromkeys(("user_id", "item_id"), pl.Int64)
    )
    folder = tmp_path_factory.mktemp("stream")
    counted: list[int] = []

    def never(*arguments: object) -> None:
        raise AssertionError("nothing should be spread")

    frame.write_parquet(folder / "candidates.parquet", row_group_size=row_group)
    source = CandidateFiles.open(folder / "candidates.parquet")
    assert source.is_grouped(chunk_rows)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(score_file_module, "_score_by_query", never)
        score_file(source, folder / "s.parquet", by_query, chunk_rows=chunk_rows, on_progress=counted.append)
    assert pl.read_parquet(folder / "s.parquet").equals(by_query(frame))
    assert sum(counted) == len(users)
    assert max(counted, default=0) <= max(2 * chunk_rows, chunk_rows + max(lengths, default=0), 1)


def test_a_block_of_scores_that_is_cut_short_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write = score_file_module._write_with_scores

    def cut_and_write(candidates: CandidateFiles, added: pl.DataFrame, blocks: ScoreBlocks, *rest: object) -> None:
        (block,) = tmp_path.glob(".scores.parquet-*/block-1")
        block.write_bytes(block.read_bytes()[: -blocks.record_type.itemsize])
        write(candidates, added, blocks, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(score_file_module, "_write_with_scores", cut_and_write)
    with pytest.raises(OSError, match="Input/output error"):
        scored(shuffled(500, 40), tmp_path, 60)


def test_scores_of_small_chunks_are_kept_in_few_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    n_files: list[int] = []
    write = score_file_module._write_with_scores

    def count_and_write(*arguments: object) -> None:
        n_files.append(len(list(tmp_path.glob(".scores.parquet-*/block-*"))))
        write(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(score_file_module, "_write_with_scores", count_and_write)
    monkeypatch.setattr(score_blocks, "MAX_BLOCKS", 7)
    frame = shuffled(3_000, 500)
    assert scored(frame, tmp_path, 10).equals(by_query(frame))
    assert n_files == [7]


def test_small_files_are_scored_together(tmp_path: Path) -> None:
    frame = shuffled(200, 60).sort("user_id")
    counted: list[int] = []
    (tmp_path / "parts").mkdir()
    for number in range(20):
        frame[10 * number : 10 * (number + 1)].write_parquet(tmp_path / "parts" / f"{number:02}.parquet")
    source = CandidateFiles.open(tmp_path / "parts")
    score_file(source, tmp_path / "s.parquet", by_query, chunk_rows=60, on_progress=counted.append)
    assert pl.read_parquet(tmp_path / "s.parquet").equals(by_query(frame))
    assert len(counted) <= 4


def test_times_within_a_microsecond_are_one_query(tmp_path: Path) -> None:
    nanoseconds = pl.Series(range(60)).cast(pl.Datetime("ns"))
    frame = pl.DataFrame({"user_id": ["u"] * 60, "item_id": range(60), "timestamp": nanoseconds})
    frame.write_parquet(tmp_path / "c.parquet")
    lengths: list[int] = []

    def scorer(rows: pl.DataFrame) -> pl.DataFrame:
        lengths.append(len(rows))
        return rows.with_columns(score=1.0)

    score_file(CandidateFiles.open(tmp_path / "c.parquet"), tmp_path / "s.parquet", scorer, chunk_rows=20)
    assert lengths == [0, 60]


def test_the_rows_of_an_impression_may_be_anywhere(tmp_path: Path) -> None:
    frame = shuffled(5_000, 40).with_columns(impression_id=pl.col("item_id") % 997)
    assert scored(frame, tmp_path, 300).equals(by_query(frame))


def test_a_time_written_in_two_ways_is_one_query(tmp_path: Path) -> None:
    frame = shuffled(400, 3, timestamp=["2026-01-01", "2026-01-01T00:00:00Z"] * 200)
    frame.write_parquet(tmp_path / "candidates.parquet")

    def scorer(rows: pl.DataFrame) -> pl.DataFrame:
        return by_query(rows.drop("timestamp")).insert_column(2, rows["timestamp"])

    score_file(CandidateFiles.open(tmp_path / "candidates.parquet"), tmp_path / "s.parquet", scorer, chunk_rows=60)
    assert pl.read_parquet(tmp_path / "s.parquet").equals(scorer(frame))


def test_one_query_longer_than_a_chunk_is_scored_as_a_whole(tmp_path: Path) -> None:
    frame = shuffled(500, 1)
    assert scored(frame, tmp_path, 20).equals(by_query(frame))


def test_other_columns_come_out_as_they_were(tmp_path: Path) -> None:
    frame = shuffled(
        300,
        9,
        value=[float("nan"), float("inf"), None] * 100,
        words=[["a", "b"], [], None] * 100,
        kind=pl.Series(["x", "y", None] * 100, dtype=pl.Categorical),
        emoji=["🦊", "", None] * 100,
    )
    found = scored(frame, tmp_path, 50, row_group_size=70)
    assert found.equals(by_query(frame), null_equal=True)
    source = pq.read_schema(tmp_path / "candidates.parquet").remove_metadata()
    assert pq.read_schema(tmp_path / "scores.parquet").remove_metadata().names[: len(source)] == source.names
    assert [pq.read_schema(tmp_path / "scores.parquet").field(name).type for name in source.names] == source.types


def test_a_folder_is_read_in_the_order_of_its_files(tmp_path: Path) -> None:
    frame = shuffled(90, 5)
    folder = tmp_path / "parts"
    folder.mkdir()
    for number in range(3):
        frame.slice(30 * number, 30).write_parquet(folder / f"part-{number}.parquet")
    score_file(CandidateFiles.open(folder), tmp_path / "scores.parquet", by_query, chunk_rows=20)
    assert pl.read_parquet(tmp_path / "scores.parquet").equals(by_query(frame))


def test_no_rows_give_a_file_with_the_columns(tmp_path: Path) -> None:
    frame = shuffled(0, 1)
    found = scored(frame.cast({"user_id": pl.String}), tmp_path, 10)
    assert found.columns == ["user_id", "item_id", "score", "rank"]
    assert found.is_empty()


def test_progress_counts_every_row_once(tmp_path: Path) -> None:
    shuffled(1_000, 30).write_parquet(tmp_path / "candidates.parquet")
    counted: list[int] = []
    source = CandidateFiles.open(tmp_path / "candidates.parquet")
    score_file(source, tmp_path / "scores.parquet", by_query, chunk_rows=100, on_progress=counted.append)
    assert sum(counted) == 1_000
    assert max(counted) <= 100


def test_rows_that_cannot_be_used_are_named_by_their_number_in_the_file(tmp_path: Path) -> None:
    frame = shuffled(100, 10, timestamp=["2026-01-01"] * 77 + ["soon"] + ["2026-01-01"] * 22)
    frame = frame.with_columns(
        user_id=pl.when(frame["item_id"] == frame["item_id"][75]).then(None).otherwise("user_id")
    )
    with pytest.raises(DataError) as refused:
        scored(frame, tmp_path, 30)
    assert "candidates.user_id: expected an id, got null (1 row, e.g. row 75, counting from 0)." in str(refused.value)
    assert (
        "candidates.timestamp: expected a time, got text that is not an ISO time, such as 'soon' "
        "(1 row, e.g. row 77, counting from 0)" in str(refused.value)
    )
    assert not (tmp_path / "scores.parquet").exists()


def test_a_failing_scorer_leaves_nothing_behind(tmp_path: Path) -> None:
    frame = shuffled(100, 10)
    frame.write_parquet(tmp_path / "candidates.parquet")
    (tmp_path / "scores.parquet").write_text("the result of an earlier day")

    def fails(rows: pl.DataFrame) -> pl.DataFrame:
        if rows.height:
            raise DataError("candidates.item_id: expected an id, got null. Fill it in.")
        return by_query(rows)

    with pytest.raises(DataError, match="expected an id"):
        score_file(
            CandidateFiles.open(tmp_path / "candidates.parquet"), tmp_path / "scores.parquet", fails, chunk_rows=30
        )
    assert sorted(path.name for path in tmp_path.iterdir()) == ["candidates.parquet", "scores.parquet"]
    assert (tmp_path / "scores.parquet").read_text() == "the result of an earlier day"


@pytest.mark.skipif(not Path("/proc/self/maps").exists(), reason="the system does not list mapped files")
@pytest.mark.parametrize("fails_at", [None, 3])
def test_no_file_is_mapped_when_it_is_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fails_at: int | None
) -> None:
    # A network drive would keep it under another name, and the folder with it.
    mapped: list[list[str]] = []

    class Watched(TemporaryDirectory[str]):
        def cleanup(self) -> None:
            mapped.append([line for line in Path("/proc/self/maps").read_text().splitlines() if self.name in line])
            super().cleanup()

    calls = count()

    def scorer(frame: pl.DataFrame) -> pl.DataFrame:
        if next(calls) == fails_at:
            raise ValueError("scorer: expected to go on, got no further. Repeat it.")
        return by_query(frame)

    monkeypatch.setattr(tempfile, "TemporaryDirectory", Watched)
    shuffled(500, 40).write_parquet(tmp_path / "candidates.parquet")
    with pytest.raises(ValueError, match="got no further") if fails_at else nullcontext():
        score_file(
            CandidateFiles.open(tmp_path / "candidates.parquet"), tmp_path / "scores.parquet", scorer, chunk_rows=50
        )
    assert mapped == [[]]


def test_a_failing_drive_is_not_reported_as_a_broken_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shuffled(50, 5).write_parquet(tmp_path / "c.parquet")
    source = CandidateFiles.open(tmp_path / "c.parquet")

    def lost(*arguments: object, **options: object) -> None:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(pq.ParquetFile, "iter_batches", lost)
    with pytest.raises(OSError, match="Input/output error"):
        score_file(source, tmp_path / "s.parquet", by_query, chunk_rows=10)


@pytest.mark.parametrize("out", ["", "candidates.parquet/scores.parquet"])
def test_a_path_that_cannot_be_written_is_refused_before_any_work(tmp_path: Path, out: str) -> None:
    shuffled(5, 2).write_parquet(tmp_path / "candidates.parquet")

    def never(rows: pl.DataFrame) -> pl.DataFrame:
        raise AssertionError(f"{rows.height} rows were scored")

    with pytest.raises(DataError, match=r"out: expected a file"):
        score_file(CandidateFiles.open(tmp_path / "candidates.parquet"), tmp_path / out, never)


MEASURED = """
import re, sys
from pathlib import Path
import polars as pl
from recmem.batch.candidate_files import CandidateFiles
from recmem.batch.score_blocks import ScoreBlocks
from recmem.batch.score_file import score_file

def peak():
    return int(re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())[1]) / 1024

def scorer(frame):
    return frame.with_columns(score=pl.col("item_id").cast(pl.Float64))

folder, chunk_rows = Path(sys.argv[1]), int(sys.argv[2])
before = peak()
score_file(CandidateFiles.open(folder / "candidates.parquet"), folder / "scores.parquet", scorer, chunk_rows=chunk_rows)
print(peak() - before)
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads the peak of memory from Linux")
@pytest.mark.parametrize("grouped", [True, False])
def test_memory_holds_a_chunk_and_not_the_file(tmp_path: Path, grouped: bool) -> None:
    n_rows, note_bytes = 200_000, 900
    note = pl.Series(np.random.default_rng(0).integers(10**17, 10**18, n_rows)).cast(pl.String)
    user = pl.Series(range(n_rows)) % 7_919
    frame = pl.DataFrame({"user_id": user.sort() if grouped else user, "item_id": range(n_rows)})
    frame = frame.with_columns(note=pl.concat_str([note] * (note_bytes // 18)))
    frame.write_parquet(tmp_path / "candidates.parquet", row_group_size=10_000, compression="lz4")
    command = [sys.executable, "-c", MEASURED, str(tmp_path), "10000"]
    peak_mib = float(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    # The whole table at once takes 3.6 times its content: it is there as Arrow, as polars, and with its scores.
    assert peak_mib < 1.8 * n_rows * note_bytes / 2**20


def odd_columns(n_rows: int) -> dict[str, pa.Array]:
    """Columns that polars cannot hold, or would change."""
    rows = range(n_rows)
    return {
        "half_hour": pa.array([row * 10**6 for row in rows], pa.timestamp("us", "+05:30")),
        "decimal": pa.array([Decimal(row) / 4 for row in rows], pa.decimal256(60, 2)),
        "map": pa.array([[("a", row)] for row in rows], pa.map_(pa.string(), pa.int64())),
        "category": pa.array([f"c{row % 2}" for row in rows]).dictionary_encode(),
        "length": pa.array(rows, pa.duration("s")),
        "nested": pa.array([[{"a": [row]}] for row in rows]),
        "bytes": pa.array([b"ab"] * n_rows, pa.binary(2)),
        "large": pa.array(["x"] * n_rows, pa.large_string()),
    }


@pytest.mark.parametrize("chunk_rows", [7, 1_000])
@pytest.mark.parametrize("is_grouped", [True, False])
def test_columns_that_are_only_passed_on_come_out_as_they_were(
    tmp_path: Path, chunk_rows: int, is_grouped: bool, capfd: pytest.CaptureFixture[str]
) -> None:
    users = [f"u{row // 5 if is_grouped else row % 20}" for row in range(100)]
    table = pa.table({"user_id": users, "item_id": pa.array(range(100)), **odd_columns(100)})
    pq.write_table(table, tmp_path / "c.parquet", row_group_size=30)
    given = pq.read_table(tmp_path / "c.parquet")
    score_file(CandidateFiles.open(tmp_path / "c.parquet"), tmp_path / "o.parquet", by_query, chunk_rows=chunk_rows)
    scores = pq.read_table(tmp_path / "o.parquet")
    assert scores.select(table.column_names).schema.equals(given.schema)
    for name in table.column_names:
        assert scores[name].to_pylist() == given[name].to_pylist(), name
    wanted = by_query(pl.DataFrame({"user_id": users, "item_id": range(100)}))
    assert scores["score"].to_pylist() == wanted["score"].to_list()
    assert capfd.readouterr().err == ""


def test_a_query_is_found_by_a_time_with_an_offset(tmp_path: Path) -> None:
    times = pa.array([0, 10**6] * 50, pa.timestamp("us", "-03:00"))
    table = pa.table({"user_id": ["u"] * 100, "item_id": pa.array(range(100)), "timestamp": times})
    pq.write_table(table, tmp_path / "c.parquet")
    score_file(CandidateFiles.open(tmp_path / "c.parquet"), tmp_path / "o.parquet", by_query, chunk_rows=7)
    frame = pl.DataFrame({"user_id": ["u"] * 100, "item_id": range(100), "timestamp": [0, 1] * 50})
    assert pq.read_table(tmp_path / "o.parquet")["score"].to_pylist() == by_query(frame)["score"].to_list()


def test_a_column_that_scoring_adds_may_not_be_there_in_a_type_that_is_only_passed_on(tmp_path: Path) -> None:
    table = pa.table({"user_id": ["u"], "item_id": [1], "score": odd_columns(1)["map"]})
    pq.write_table(table, tmp_path / "c.parquet")
    with pytest.raises(DataError, match=r"candidates\.score: expected no column of this name, which scoring adds"):
        score_file(CandidateFiles.open(tmp_path / "c.parquet"), tmp_path / "o.parquet", by_query)
