"""Rows written in every format: each cell as it was, or in the documented form; what cannot be held is refused."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import polars as pl
import pyarrow as pa
import pytest
from pyarrow import ipc

from feature_store import DataError
from recmem.batch.file_formats import output_format
from recmem.batch.row_writers import check_writable, rows_writer

TIME = datetime(2026, 1, 2, 3, 4, 5, 678, tzinfo=UTC)
ROWS = pl.DataFrame(
    {
        "user_id": ["007", 'say "x", é\ny', ""],
        "n": [1, None, -3],
        "x": pl.Series([0.1, None, float("nan")], dtype=pl.Float64),
        "score": pl.Series([0.1, 1e-30, 5.0], dtype=pl.Float32),
        "time": [TIME, None, TIME],
        "local": [datetime(2026, 1, 1), None, datetime(2026, 1, 1, 12)],
        "day": [date(2026, 1, 1), None, date(2026, 1, 2)],
        "price": pl.Series([Decimal("1.10"), None, Decimal("2.00")], dtype=pl.Decimal(10, 2)),
        "history": [["a,b", '"'], None, []],
        "kind": pl.Series(["a", None, "b"], dtype=pl.Categorical),
        "nested": [{"a": 1, "at": [date(2026, 1, 1)]}, None, {"a": 2, "at": []}],
    }
)


def write(path: Path, frame: pl.DataFrame = ROWS, n_tables: int = 3) -> Path:
    table = frame.to_arrow()
    file_format = output_format(path)
    check_writable(file_format, table.schema)
    rows = -(-max(frame.height, 1) // n_tables)
    with rows_writer(path, file_format, table.schema, {"score"}) as add:
        for first in range(0, frame.height, rows):
            add(table.slice(first, rows))
    return path


def test_csv_has_iso_times_json_lists_and_the_shortest_numbers_that_are_equal(tmp_path: Path) -> None:
    found = pl.read_csv(write(tmp_path / "s.csv"), infer_schema=False)
    assert found.row(0) == (
        "007", "1", "0.1", "0.1", "2026-01-02T03:04:05.000678Z", "2026-01-01T00:00:00", "2026-01-01", "1.10",
        '["a,b", "\\""]', "a", '{"a": 1, "at": ["2026-01-01"]}',
    )  # fmt: skip
    assert found.row(1) == ('say "x", é\ny', None, None, "1e-30", *[None] * 7)
    assert found["history"].to_list()[2] == "[]"
    assert (tmp_path / "s.csv").read_text().splitlines()[4].startswith('"",-3,NaN,5.0,')
    assert found["score"].cast(pl.Float32).equals(ROWS["score"])


def test_json_lines_hold_every_kind_and_no_nan(tmp_path: Path) -> None:
    lines = write(tmp_path / "s.jsonl").read_text().splitlines()
    rows = [json.loads(line, parse_constant=lambda word: pytest.fail(f"{word} is no JSON")) for line in lines]
    assert rows[0] == {
        "user_id": "007",
        "n": 1,
        "x": 0.1,
        "score": pytest.approx(0.1),
        "time": "2026-01-02T03:04:05.000678Z",
        "local": "2026-01-01T00:00:00",
        "day": "2026-01-01",
        "price": "1.10",
        "history": ["a,b", '"'],
        "kind": "a",
        "nested": {"a": 1, "at": ["2026-01-01"]},
    }
    assert rows[1] == dict.fromkeys(ROWS.columns) | {"user_id": 'say "x", é\ny', "score": pytest.approx(1e-30)}
    assert rows[2]["x"] is None


def test_tabs_separate_tsv(tmp_path: Path) -> None:
    assert write(tmp_path / "s.tsv").read_text().splitlines()[0] == "\t".join(ROWS.columns)


@pytest.mark.parametrize("name", ["s.parquet", "s.arrow", "s.arrows"])
def test_binary_formats_hold_every_cell_as_it_was(tmp_path: Path, name: str) -> None:
    path = write(tmp_path / name)
    read = {"s.parquet": pl.read_parquet, "s.arrow": pl.read_ipc, "s.arrows": pl.read_ipc_stream}[name]
    # Arrow files have one dictionary for all batches, which tables of their own cannot share: text instead.
    expected = ROWS if name == "s.parquet" else ROWS.with_columns(pl.col("kind").cast(pl.String))
    assert read(path).equals(expected)


def test_chunks_with_categories_of_their_own_make_one_arrow_file(tmp_path: Path) -> None:
    chunks = [pa.table({"k": pa.array([word]).dictionary_encode()}) for word in ("a", "b")]
    with rows_writer(tmp_path / "s.arrow", output_format("s.arrow"), chunks[0].schema, set()) as add:
        for chunk in chunks:
            add(chunk)
    with pa.OSFile(str(tmp_path / "s.arrow")) as source, ipc.open_file(source) as file:
        assert file.read_all()["k"].to_pylist() == ["a", "b"]


@pytest.mark.parametrize("name", ["s.csv", "s.csv.gz", "s.tsv.zst"])
def test_a_file_without_rows_has_its_header(tmp_path: Path, name: str) -> None:
    path = write(tmp_path / name, ROWS.clear())
    separator = "\t" if "tsv" in name else ","
    assert pl.read_csv(path, separator=separator).columns == ROWS.columns


@pytest.mark.parametrize(
    ("name", "column"),
    [
        ("s.csv", pl.Series("odd", [b"\xff"])),
        ("s.jsonl", pl.Series("odd", [[b"\xff"]])),
        ("s.jsonl", pl.Series("odd", [{"a": b"\xff"}])),
    ],
)
def test_bytes_are_refused_where_only_text_is_held(tmp_path: Path, name: str, column: pl.Series) -> None:
    with pytest.raises(DataError, match=r"out: expected columns that (CSV|JSON lines) can hold, got odd of"):
        write(tmp_path / name, column.to_frame())


def test_a_column_that_polars_cannot_hold_is_refused_in_text_and_kept_in_parquet(tmp_path: Path) -> None:
    schema = pa.schema([pa.field("odd", pa.map_(pa.string(), pa.int64()))])
    with pytest.raises(DataError, match="out: expected columns that CSV can hold, got odd of map"):
        check_writable(output_format("s.csv"), schema)
    check_writable(output_format("s.parquet"), schema)


def test_a_duration_is_iso_text(tmp_path: Path) -> None:
    path = write(tmp_path / "s.csv", pl.DataFrame({"u": ["a"], "d": [timedelta(hours=1)]}))
    assert path.read_text().splitlines()[1] == "a,PT1H"
