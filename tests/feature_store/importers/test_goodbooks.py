from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest

from feature_store import DataError
from feature_store.importers.goodreads import import_goodreads
from published_files import write_lines, write_records

BOOKS = [
    "book_id,goodreads_book_id,authors,original_publication_year,original_title,title,language_code,average_rating",
    '1,501,"Ada Author, Ida Inker",2008.0,The Made-up Book,"The Made-up Book (Made-up, #1)",eng,4.34',
    "2,502,Ödön Irgendwer,,Ein Buch,Ein Buch,ger,4.44",
    "3,503,Nobody,-750.0,,Not rated,,3.5",
]
RATINGS = ["user_id,book_id,rating", "1,1,5", "2,2,4", "1,2,1"]


def paths(folder: Path, books: list[str] = BOOKS, ratings: list[str] = RATINGS) -> tuple[Path, Path]:
    return write_lines(folder / "books.csv", books, mark=True), write_lines(folder / "ratings.csv", ratings)


def test_rows_are_dated_in_their_order_and_books_keep_what_they_are(tmp_path: Path) -> None:
    receipt = import_goodreads(*paths(tmp_path), tmp_path / "out")
    events = pl.read_parquet(tmp_path / "out" / "events.parquet")
    assert events.select("user_id", "item_id", "event", "value").rows() == [
        ("1", "1", "rating", 5.0),
        ("2", "2", "rating", 4.0),
        ("1", "2", "rating", 1.0),
    ]
    second = timedelta(seconds=1)
    first = datetime(2000, 1, 1, tzinfo=UTC) + second
    assert events["timestamp"].to_list() == [first, first + second, first + 2 * second]
    assert pl.read_parquet(tmp_path / "out" / "items.parquet").rows() == [
        ("1", "The Made-up Book (Made-up, #1)", "The Made-up Book", "Ada Author, Ida Inker", "eng", 2008),
        ("2", "Ein Buch", "", "Ödön Irgendwer", "ger", None),
    ]
    assert "an order and no times" in receipt.notes[0]
    assert receipt.files[1].left_out == {"book without a rating (--all-items keeps it)": 1}


def test_ratings_that_cannot_be_read_are_left_out_and_take_their_second(tmp_path: Path) -> None:
    receipt = import_goodreads(
        *paths(tmp_path, ratings=[*RATINGS[:2], "1,2,x", "1,,3", *RATINGS[2:]]), tmp_path / "out"
    )
    assert receipt.files[0].left_out == {
        "rating: expected 1 to 5, got something else": 1,
        "user or book: expected an id, got none": 1,
    }
    seconds = pl.read_parquet(tmp_path / "out" / "events.parquet")["timestamp"].dt.second().to_list()
    assert seconds == [1, 4, 5]


@pytest.mark.parametrize(
    ("books", "ratings", "message"),
    [
        (BOOKS, BOOKS, r"interactions: expected .*got a first line without user_id, rating"),
        (RATINGS, RATINGS, r"books: expected .*got a first line without title, original_title, authors"),
        (BOOKS, [RATINGS[0], "1,77,5"], "got none of the rated books"),
        (BOOKS, [RATINGS[0], "1,1,five"], "got no row that can be read"),
    ],
)
def test_files_of_another_form_are_refused(books: list[str], ratings: list[str], message: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=message):
        import_goodreads(*paths(tmp_path, books, ratings), tmp_path / "out")


def test_files_of_both_data_sets_together_are_refused(tmp_path: Path) -> None:
    books, ratings = paths(tmp_path)
    graph = write_records(tmp_path / "graph.json", [{"book_id": "1", "title": "x"}])
    with pytest.raises(DataError, match=r"books: .*Give both files of one data set"):
        import_goodreads(graph, ratings, tmp_path / "out")
    with pytest.raises(DataError, match=r"books: .*Give both files of one data set"):
        import_goodreads(books, graph, tmp_path / "out")


def test_years_before_christ_are_kept_and_numbers_out_of_range_are_not(tmp_path: Path) -> None:
    books = [BOOKS[0], "3,503,Homer,-750.0,,An old book,,3.5", f"4,504,Nobody,{'9' * 30}.0,,No year,,3.5"]
    ratings = [RATINGS[0], "1,3,5", "1,4,0", "2,4,6", "2,4,4"]
    receipt = import_goodreads(*paths(tmp_path, books, ratings), tmp_path / "out")
    assert pl.read_parquet(tmp_path / "out" / "items.parquet")["year"].to_list() == [-750, None]
    assert pl.read_parquet(tmp_path / "out" / "events.parquet")["value"].to_list() == [5.0, 4.0]
    assert "2 x rating: expected 1 to 5, got something else (e.g. '0' in line 3)" in str(receipt)
