from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import polars as pl
import pytest

from feature_store import DataError
from feature_store.importers.goodreads import import_goodreads
from published_files import truncate, write_lines, write_records


def interaction(user: str, book: str, rating: int, *, is_read: bool = True, **others: object) -> dict[str, object]:
    return {
        "user_id": user,
        "book_id": book,
        "review_id": "r",
        "is_read": is_read,
        "rating": rating,
        "review_text_incomplete": "",
        "date_added": "Fri Dec 08 10:16:50 -0800 2017",
        "date_updated": "Sat Dec 09 10:16:50 -0800 2017",
        "read_at": "",
        "started_at": "",
        **others,
    }


INTERACTIONS = [
    interaction("u1", "11", 5),
    interaction("u1", "12", 0),
    interaction("u2", "11", 0, is_read=False),
    interaction("u2", "99", 3, date_updated="Fri Dec 08 10:16:49 -0800 2017"),
]
BOOKS = [
    {
        "isbn": "",
        "text_reviews_count": "7",
        "popular_shelves": [{"count": "9", "name": "to-read"}],
        "average_rating": "4.00",
        "similar_books": ["12"],
        "description": "A made-up\nbook.",
        "authors": [{"author_id": "5", "role": ""}, {"author_id": "6", "role": "Illustrator"}],
        "publisher": "Nobody & Co",
        "num_pages": "256",
        "publication_year": "1998",
        "book_id": "11",
        "ratings_count": "12",
        "title": "The Made-up Book (Made-up, #1)",
    },
    {"book_id": "12", "title": "Ünother", "authors": [], "num_pages": "", "publication_year": "", "description": ""},
    {"book_id": "13", "title": "Not on a shelf"},
]
AUTHORS = [{"author_id": "5", "name": "Ada Author", "ratings_count": "1"}, {"author_id": "6", "name": "Ida Inker"}]


def write(folder: Path) -> tuple[Path, Path]:
    books = write_records(folder / "goodreads_books.json.gz", BOOKS)
    return books, write_records(folder / "goodreads_interactions.json.gz", INTERACTIONS)


def test_interactions_happened_when_added_and_are_known_from_their_last_change_on(tmp_path: Path) -> None:
    import_goodreads(*write(tmp_path), tmp_path / "out")
    added = datetime(2017, 12, 8, 18, 16, 50, tzinfo=UTC)
    updated = datetime(2017, 12, 9, 18, 16, 50, tzinfo=UTC)
    events = pl.read_parquet(tmp_path / "out" / "events.parquet")
    columns = ("user_id", "item_id", "event", "value", "timestamp", "available_at")
    assert events.select(columns).rows() == [
        ("u1", "11", "rating", 5.0, added, updated),
        ("u1", "12", "read", None, added, updated),
        ("u2", "11", "bookmark", None, added, updated),
        ("u2", "99", "rating", 3.0, added, added),
    ]


def test_books_have_the_names_of_their_authors_and_nothing_that_later_readers_made(tmp_path: Path) -> None:
    authors = write_records(tmp_path / "goodreads_book_authors.json.gz", AUTHORS)
    receipt = import_goodreads(*write(tmp_path), tmp_path / "out", authors=authors)
    assert pl.read_parquet(tmp_path / "out" / "items.parquet").to_dicts() == [
        {
            "item_id": "11",
            "title": "The Made-up Book (Made-up, #1)",
            "authors": "Ada Author, Ida Inker",
            "description": "A made-up book.",
            "publisher": "Nobody & Co",
            "year": 1998,
            "pages": 256,
        },
        {
            "item_id": "12",
            "title": "Ünother",
            "authors": "",
            "description": "",
            "publisher": "",
            "year": None,
            "pages": None,
        },
    ]
    assert receipt.files[1].left_out == {"book without an interaction (--all-items keeps it)": 1}
    assert receipt.notes == ("1 of 3 books of the interactions are not in goodreads_books.json.gz.",)


def test_without_the_authors_file_the_receipt_says_what_names_them(tmp_path: Path) -> None:
    receipt = import_goodreads(*write(tmp_path), tmp_path / "out", all_items=True)
    assert "--authors goodreads_book_authors.json.gz" in receipt.notes[0]
    assert pl.read_parquet(tmp_path / "out" / "items.parquet")["item_id"].to_list() == ["11", "12", "13"]


def test_reviews_without_stars_were_read(tmp_path: Path) -> None:
    books, _ = write(tmp_path)
    review = {name: value for name, value in interaction("u1", "11", 0).items() if name != "is_read"}
    reviews = write_records(tmp_path / "goodreads_reviews.json.gz", [review])
    import_goodreads(books, reviews, tmp_path / "out")
    assert pl.read_parquet(tmp_path / "out" / "events.parquet")["event"].to_list() == ["read"]


def test_interactions_that_cannot_be_read_are_left_out_by_reason(tmp_path: Path) -> None:
    books, _ = write(tmp_path)
    bad = [
        interaction("u1", "11", 6),
        interaction("u1", "11", 5, date_added="2017-12-08"),
        interaction("u1", "11", 5, date_updated="Fri Dec 41 10:16:50 -0800 2017"),
        interaction("", "11", 5),
    ]
    paths = write_records(tmp_path / "interactions.json", [*INTERACTIONS, *bad])
    receipt = import_goodreads(books, paths, tmp_path / "out")
    example = "expected a time such as Fri Dec 08 10:16:50 -0800 2017, got other text"
    assert str(receipt.files[0]).splitlines() == [
        "interactions.json: 8 rows read, 4 used",
        "  1 x rating: expected 0 to 5, got something else (e.g. 6 in line 5)",
        "  1 x user_id: expected a value, got none (e.g. in line 8)",
        f"  1 x date_added: {example} (e.g. '2017-12-08' in line 6)",
        f"  1 x date_updated: {example} (e.g. 'Fri Dec 41 10:16:50 -0800 2017' in line 7)",
    ]


@pytest.mark.parametrize(
    ("books", "interactions", "message"),
    [
        (INTERACTIONS, INTERACTIONS, r"books: expected goodreads_books.*got a first record without title"),
        (BOOKS, BOOKS, r"interactions: expected goodreads_interactions.*got a first record without user_id, rating"),
        (BOOKS[2:], INTERACTIONS, "got none of the books of the interactions"),
        (BOOKS, [interaction("u1", "11", 9)], "got no row that can be read"),
    ],
)
def test_files_of_another_form_are_refused(
    books: list[dict[str, object]], interactions: list[dict[str, object]], message: str, tmp_path: Path
) -> None:
    paths = write_records(tmp_path / "books.json", books), write_records(tmp_path / "interactions.json", interactions)
    with pytest.raises(DataError, match=message):
        import_goodreads(*paths, tmp_path / "out")


def test_the_csv_without_times_and_a_truncated_file_are_refused(tmp_path: Path) -> None:
    books, _ = write(tmp_path)
    table = write_lines(
        tmp_path / "goodreads_interactions.csv", ["user_id,book_id,is_read,rating,is_reviewed", "0,1,1,5,0"]
    )
    with pytest.raises(DataError, match=r"got goodreads_interactions.csv, which has no times"):
        import_goodreads(books, table, tmp_path / "out")
    many = [interaction(f"u{n * n}", str(n), 5) for n in range(5000)]
    with pytest.raises(DataError, match="truncated or damaged after line"):
        import_goodreads(books, truncate(write_records(tmp_path / "i.json.gz", many)), tmp_path / "out")
