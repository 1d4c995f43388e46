"""Files of public data sets, given as tables: the refusal names the command that reads them."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest

from feature_store.data_errors import DataError
from feature_store.files.file_content import UnreadableFileError
from feature_store.files.published_forms import refuse_published
from feature_store.files.table_files import read_table

MIND = "recmem import mind --news news.tsv --behaviors behaviors.tsv"
MOVIELENS = "recmem import movielens --movies"
AMAZON = "recmem import amazon --reviews REVIEWS --metadata METADATA"
GOODREADS = "recmem import goodreads --books"
IMDB = "01-Jan-1995||http://us.imdb.com/M/title-exact?Toy%20Story%20(1995)"
FLAGS = "|0|0|0|1|1|1|0|0|0|0|0|0|0|0|0|0|0|0|0"
FILES = {
    "news.tsv": (
        'N88753\tlifestyle\troyals\tThe "Brands" Queen\tShop.\thttps://assets.msn.com/a.html\t[{"Label": "Q"}]\t[]',
        MIND,
    ),
    "dev.csv": ("N1\tnews\tworld\tTitle\t\thttps://assets.msn.com/a.html\t[]\t[]", MIND),
    "behaviors.tsv": ("1\tU13740\t11/11/2019 9:05:58 AM\tN55189 N42782\tN1-1 N2-0", MIND),
    "long.tsv": ("1\tU13740\t11/11/2019 9:05:58 AM\t" + "N55189 " * 2000 + "N2\tN1-1", MIND),
    "test.tsv": ("1\tU13740\t11/11/2019 11:05:58 PM\t\tN1 N2", MIND),
    "movies.dat": ("1::Toy Story (1995)::Animation|Children's|Comedy", f"{MOVIELENS} movies.dat --ratings ratings.dat"),
    "movies.csv": ("1::Toy Story (1995)::Adventure", f"{MOVIELENS} movies.dat --ratings ratings.dat"),
    "ratings.dat": ("1::1193::5::978300760", f"{MOVIELENS} movies.dat --ratings ratings.dat"),
    "half.dat": ("1::122::4.5::838985046", f"{MOVIELENS} movies.dat --ratings ratings.dat"),
    "u.data": ("196\t242\t3\t881250949", f"{MOVIELENS} u.item --ratings u.data"),
    "u1.tsv": ("1\t1\t5\t874965758", f"{MOVIELENS} u.item --ratings u.data"),
    "u.item": (f"1|Toy Story (1995)|{IMDB}{FLAGS}", f"{MOVIELENS} u.item --ratings u.data"),
    "ratings.csv": ("userId,movieId,rating,timestamp", f"{MOVIELENS} movies.csv --ratings ratings.csv"),
    "latest.csv": ("movieId,title,genres", f"{MOVIELENS} movies.csv --ratings ratings.csv"),
    "Office_5.json": (
        '{"overall": 5.0, "reviewerID": "A1", "asin": "B01", "reviewText": "Good.", "unixReviewTime": 1400000000}',
        AMAZON,
    ),
    "Office.jsonl": (
        '{"rating": 5.0, "title": "Good", "parent_asin": "B00", "user_id": "A", "timestamp": 1588687728}',
        AMAZON,
    ),
    "meta_2014.json": ("{'asin': 'B01', 'title': \"The artist's pen\", 'imUrl': 'https://example/b01.jpg'}", AMAZON),
    "meta_2018.json": ('{"category": ["Office"], "title": "Pen", "also_buy": [], "price": "", "asin": "B01"}', AMAZON),
    "meta_2023.jsonl": ('{"main_category": "Office", "title": "Pen", "parent_asin": "B00"}', AMAZON),
    "interactions.json": (
        '{"user_id": "a", "book_id": "1", "rating": 0, "date_added": "Fri Dec 08 10:16:50 -0800 2017", '
        '"date_updated": "Fri Dec 08 10:16:50 -0800 2017"}',
        f"{GOODREADS} BOOKS --interactions INTERACTIONS",
    ),
    "goodreads_books.json": (
        '{"book_id": "1", "asin": "B01", "popular_shelves": [{"count": "9", "name": "to-read"}], "title": "Soup"}',
        f"{GOODREADS} BOOKS --interactions INTERACTIONS",
    ),
    "goodreads_interactions.csv": (
        "user_id,book_id,is_read,rating,is_reviewed",
        f"{GOODREADS} BOOKS --interactions INTERACTIONS",
    ),
    "goodbooks.csv": ("book_id,goodreads_book_id,authors", f"{GOODREADS} books.csv --interactions ratings.csv"),
    "goodratings.csv": ("user_id,book_id,rating", f"{GOODREADS} books.csv --interactions ratings.csv"),
}


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("ending", ["\n", "\r\n"])
def test_a_file_as_published_is_refused_with_the_command_that_reads_it(tmp_path: Path, name: str, ending: str) -> None:
    line, command = FILES[name]
    path = tmp_path / name
    path.write_text(f"{line}{ending}{line}{ending}", newline="")
    with pytest.raises(DataError, match=r"items\.path: .*it looks like .* as published") as refused:
        read_table(str(path), table="items")
    assert f"Run `{command} --out TABLES`, and give the tables that it writes." in str(refused.value)


def test_a_compressed_file_is_recognised_too(tmp_path: Path) -> None:
    path = tmp_path / "behaviors.tsv.gz"
    path.write_bytes(gzip.compress(FILES["behaviors.tsv"][0].encode()))
    with pytest.raises(DataError, match="recmem import mind"):
        read_table(str(path), table="events")


def test_a_title_that_is_not_utf_8_does_not_hide_the_form() -> None:
    with pytest.raises(UnreadableFileError, match=r"movies\.dat of MovieLens"):
        refuse_published("1::Misérables, Les (1995)::Drama\n".encode("latin-1"))


@pytest.mark.parametrize(
    "line",
    [
        "",
        "user_id\titem_id\tvalue\ttimestamp",
        # Ratings of somebody's own, in other years than those of MovieLens 100K.
        "196\t242\t3\t1650000000",
        "196,242,3,881250949",
        "movieId,title,genres,item_id",
        "userId,movieId,rating,timestamp,event",
        "item_id::title::genres",
        "user_id,book_id,rating,timestamp",
        '{"item_id": "B01", "asin": "B01", "title": "Pen", "also_buy": []}',
        '{"user_id": "a", "item_id": "b", "parent_asin": "b", "rating": 5, "timestamp": 1588687728923}',
        '{"asin": "B01", "title": "Pen"}',
        '{"book_id": "1", "title": "Soup"}',
        "1\tU13740\t2019-11-11\tN55189\tN1-1",
    ],
)
def test_other_first_lines_are_not_taken_for_a_data_set(line: str) -> None:
    refuse_published(f"{line}\n".encode())
