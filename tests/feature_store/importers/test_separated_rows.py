from __future__ import annotations

from pathlib import Path

import pytest

from feature_store import DataError
from feature_store.importers.import_receipt import FileCount
from feature_store.importers.published_file import PublishedFile
from feature_store.importers.separated_rows import csv_rows, split_rows
from published_files import write_lines


def test_csv_cells_come_in_the_order_asked_for_quotes_and_further_columns_included(tmp_path: Path) -> None:
    lines = ["title,year,movieId", '"Duck, the",1950,1', '"A ""b""",,2']
    file = PublishedFile(write_lines(tmp_path / "movies.csv", lines, mark=True), "movies", "movies.csv")
    count = FileCount("movies.csv")
    rows = list(csv_rows(file, ("movieId", "title"), count))
    assert rows == [(2, ["1", "Duck, the"]), (3, ["2", 'A "b"'])]
    assert (count.n_read, count.n_left_out) == (2, 0)


def test_a_missing_column_is_named(tmp_path: Path) -> None:
    file = PublishedFile(write_lines(tmp_path / "movies.csv", ["movieId,year", "1,2"]), "movies", "movies.csv")
    with pytest.raises(DataError, match=r"movies: expected movies.csv, got a first line without title, genres"):
        list(csv_rows(file, ("movieId", "title", "genres"), FileCount("movies.csv")))


def test_rows_of_another_length_are_left_out_and_counted(tmp_path: Path) -> None:
    path = write_lines(tmp_path / "rows", ["a,b", "1,2", "3", "4,5,6"])
    count = FileCount("rows")
    assert list(csv_rows(PublishedFile(path, "rows", "rows"), ("b",), count)) == [(2, ["2"])]
    assert count.left_out == {"row: expected 2 fields, got another number": 2}
    count = FileCount("rows")
    lines = [line for line, _ in split_rows(PublishedFile(path, "rows", "rows"), ",", 2, count)]
    assert lines == [1, 2]
    assert "(e.g. in line 3)" in str(count)


def test_a_quote_that_is_never_closed_is_refused(tmp_path: Path) -> None:
    path = write_lines(tmp_path / "rows", ["a,b", '1,"2', *["x" * 1000] * 200])
    with pytest.raises(DataError, match="Look for a quote that is not closed"):
        list(csv_rows(PublishedFile(path, "rows", "rows"), ("a",), FileCount("rows")))


def test_fields_may_hold_quotes_where_nothing_quotes(tmp_path: Path) -> None:
    path = write_lines(tmp_path / "news.tsv", ['N1\t"So" it goes\t"'])
    assert list(split_rows(PublishedFile(path, "news", "news"), "\t", 3, FileCount("news"))) == [
        (1, ["N1", '"So" it goes', '"'])
    ]
