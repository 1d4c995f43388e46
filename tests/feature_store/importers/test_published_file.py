from __future__ import annotations

from pathlib import Path

import pytest

from feature_store import DataError
from feature_store.importers.published_file import UTF_8_OR_LATIN_1, PublishedFile
from published_files import truncate, write_lines


def of(path: Path, *, either: bool = False) -> PublishedFile:
    encodings = UTF_8_OR_LATIN_1 if either else ("utf-8",)
    return PublishedFile(path, "news", "a file of lines", encodings)


def texts(file: PublishedFile) -> list[str]:
    return [text for _, text in file.lines()]


@pytest.mark.parametrize("name", ["lines.tsv", "lines.tsv.gz"])
def test_lines_are_read_without_byte_order_mark_line_ends_and_empty_ones(name: str, tmp_path: Path) -> None:
    path = write_lines(tmp_path / name, ["één", "", "two"], end="\r\n", mark=True)
    assert list(of(path).lines()) == [(1, "één"), (3, "two")]


def test_a_gzip_file_is_read_whatever_its_name(tmp_path: Path) -> None:
    path = write_lines(tmp_path / "lines.gz", ["one"]).rename(tmp_path / "lines.tsv")
    assert texts(of(path)) == ["one"]


def test_latin_1_is_read_where_the_form_is_published_in_it(tmp_path: Path) -> None:
    path = write_lines(tmp_path / "movies.dat", ["Plain", "Café", "Über"], encoding="latin-1")
    assert texts(of(path, either=True)) == ["Plain", "Café", "Über"]
    with pytest.raises(
        DataError, match=r"news: expected a file of lines, got other bytes than UTF-8 in line 2 \(0xe9\)"
    ):
        texts(of(path))


def test_a_file_in_two_encodings_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "movies.dat"
    path.write_bytes("Café\n".encode() + "Über\n".encode("latin-1"))
    with pytest.raises(DataError, match=r"other bytes than UTF-8 in line 2"):
        texts(of(path, either=True))
    path.write_bytes("Über\n".encode("latin-1") + "Café\n".encode())
    with pytest.raises(DataError, match=r"Latin-1 text, and UTF-8 from line 2 on"):
        texts(of(path, either=True))


def test_a_truncated_gzip_file_is_refused(tmp_path: Path) -> None:
    path = truncate(write_lines(tmp_path / "lines.gz", [f"line {n * n}" for n in range(3000)]))
    with pytest.raises(
        DataError, match=r"got a gzip file that is truncated or damaged after line [\d,]+ .*Download it"
    ):
        texts(of(path))


@pytest.mark.parametrize(
    ("content", "got"),
    [
        (b"", "an empty file"),
        (b"PK\x03\x04 and more", "a zip archive"),
        (b"PAR1 and more", "a Parquet file"),
        (b"<!DOCTYPE html><html>", "a web page"),
        ("one\n".encode("utf-16"), "UTF-16 text"),
    ],
)
def test_a_file_of_another_kind_is_named(content: bytes, got: str, tmp_path: Path) -> None:
    (tmp_path / "lines.tsv").write_bytes(content)
    with pytest.raises(DataError, match=got):
        of(tmp_path / "lines.tsv").first_line()


def test_what_is_no_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="got nothing"):
        texts(of(tmp_path / "missing.tsv"))
    with pytest.raises(DataError, match="got a folder"):
        texts(of(tmp_path))
    with pytest.raises(DataError, match="got a file without rows"):
        of(write_lines(tmp_path / "empty.tsv", ["", ""])).first_line()


def test_progress_counts_every_line(tmp_path: Path) -> None:
    steps: list[int] = []
    list(of(write_lines(tmp_path / "lines.tsv", ["x"] * 25_000)).lines(steps.append))
    assert sum(steps) == 25_000
    assert len(steps) == 3
