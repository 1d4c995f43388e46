"""Formats by the endings of names."""

from __future__ import annotations

from pathlib import Path

import pytest

from feature_store import DataError
from recmem.batch.file_formats import FileFormat, Kind, format_by_name, output_format


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("s.parquet", FileFormat(Kind.PARQUET)),
        ("s.PQ", FileFormat(Kind.PARQUET)),
        ("s.feather", FileFormat(Kind.ARROW)),
        ("s.arrows", FileFormat(Kind.ARROW_STREAM)),
        ("s.2026.csv", FileFormat(Kind.CSV)),
        ("s.csv.GZ", FileFormat(Kind.CSV, ".gz")),
        ("s.tsv.zst", FileFormat(Kind.TSV, ".zst")),
        ("s.jsonl.xz", FileFormat(Kind.JSON_LINES, ".xz")),
        ("s.parquet.gz", None),
        ("s.gz", None),
        ("s.xlsx", None),
        ("s", None),
        (".csv", None),
    ],
)
def test_the_ending_says_the_format(name: str, expected: FileFormat | None) -> None:
    assert format_by_name(name) == expected


def test_an_address_has_the_format_of_its_last_part() -> None:
    assert output_format("s3://shop.parquet/scores.jsonl") == FileFormat(Kind.JSON_LINES)


@pytest.mark.parametrize("name", ["scores.xlsx", "s3://shop/scores.txt", "scores", "scores.parquet.gz"])
def test_an_unknown_ending_is_refused_with_all_that_there_are(name: str) -> None:
    with pytest.raises(DataError, match=r"out: expected a name whose ending says its format, got '\S+'") as refused:
        output_format(name)
    for ending in (".parquet", ".arrow", ".csv", ".jsonl", ".gz"):
        assert ending in str(refused.value)


def test_a_folder_is_refused_as_such(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="out: expected a file, got the folder"):
        output_format(tmp_path)
