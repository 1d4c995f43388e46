"""goodbooks-10k: `books.csv` and `ratings.csv`, whose rows are in the order of time but have no times.

A row's time is made up from its place: a second for each row, from 2000 on. The order is the data set's own. Averages
and numbers of ratings are left out: later readers made them.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import polars as pl

from feature_store.importers.import_receipt import FileCount, ImportReceipt, train_command
from feature_store.importers.item_rows import write_items
from feature_store.importers.published_file import Advance, PublishedFile, no_progress
from feature_store.importers.separated_rows import csv_rows
from feature_store.importers.table_files import TIME, TableFiles, blocks_of, tables_in, whole_number

FIRST_SECOND = 946_684_800
"""2000-01-01, in seconds from 1970."""
_MOST_STARS = 5
_RATING = ("user_id", "book_id", "rating")
_BOOK = ("book_id", "title", "original_title", "authors", "original_publication_year", "language_code")
_EVENT_SCHEMA = pl.Schema(
    {"user_id": pl.String, "item_id": pl.String, "timestamp": pl.Int64, "event": pl.String, "value": pl.Float64}
)
_ITEM_SCHEMA = pl.Schema(
    dict.fromkeys(("item_id", "title", "original_title", "authors", "language"), pl.String) | {"year": pl.Int64}
)
_NO_TIMES = ("is_read", "is_reviewed")
"""Columns of goodreads_interactions.csv, which has neither times nor an order."""


def is_goodbooks(books: PublishedFile, interactions: PublishedFile) -> bool:
    """Whether the interactions are CSV. Raises DataError if they are the Book Graph's CSV, or the books are not CSV."""
    text = interactions.first_line()
    if text.startswith("{"):
        if not books.first_line().startswith("{"):
            raise books.refusal("a file that is no JSON", "Give both files of one data set.")
        return False
    header = [name.strip().strip('"') for name in text.split(",")]
    if set(_NO_TIMES) & set(header):
        remedy = "Download the .json.gz file of the interactions."
        raise interactions.refusal("goodreads_interactions.csv, which has no times", remedy)
    if books.first_line().startswith("{"):
        raise books.refusal("JSON beside interactions that are none", "Give both files of one data set.")
    return True


def import_goodbooks(
    books: PublishedFile, ratings: PublishedFile, out: Path, *, all_items: bool, on_lines: Advance = no_progress
) -> ImportReceipt:
    """Writes items and events. Raises DataError if a file lacks a column, or no rating is of one of the books."""
    counts = FileCount(ratings.path.name), FileCount(books.path.name)
    with tables_in(out) as tables:
        rated = _write_ratings(ratings, counts[0], tables, on_lines)
        known = _write_books(books, counts[1], tables, None if all_items else rated, on_lines)
        if not known & rated:
            raise books.refusal("none of the rated books", "Give both files of one data set.")
    notes = ["The rows of ratings.csv have an order and no times: they are dated a second apart, from 2000 on."]
    if lost := len(rated - known):
        notes.append(f"{lost:,} of {len(rated):,} rated books are not in {books.path.name}.")
    written = tables.written()
    return ImportReceipt(counts, written, tuple(notes), (train_command(written),))


def _write_ratings(file: PublishedFile, count: FileCount, tables: TableFiles, on_lines: Advance) -> set[str]:
    """Writes the events; returns the ids of the rated books."""
    rated: set[str] = set()

    def rows() -> Iterator[tuple[object, ...]]:
        for line, (user, book, rating) in csv_rows(file, _RATING, count, on_lines):
            stars = whole_number(rating)
            if stars is None or not 1 <= stars <= _MOST_STARS:
                count.leave_out("rating: expected 1 to 5, got something else", cell=rating, line=line)
            elif not user or not book:
                count.leave_out("user or book: expected an id, got none", line=line)
            else:
                rated.add(book)
                yield user, book, (FIRST_SECOND + count.n_read) * 1_000_000, "rating", float(stars)

    for block in blocks_of(rows(), _EVENT_SCHEMA):
        tables.write("events", block.cast({"timestamp": TIME}))
    if not rated:
        raise file.refusal("no row that can be read", "Check which file it is.")
    return rated


def _write_books(
    file: PublishedFile, count: FileCount, tables: TableFiles, wanted: set[str] | None, on_lines: Advance
) -> set[str]:
    """Writes the items that are wanted, all for None; returns their ids."""
    rows = ((cells[0], cells) for _, cells in csv_rows(file, _BOOK, count, on_lines))
    return write_items(rows, _cells_of, _ITEM_SCHEMA, tables, count, word="book", wanted=wanted, wanted_for="a rating")


def _cells_of(cells: list[str]) -> tuple[object, ...]:
    _, title, original, authors, year, language = cells
    own_title = "" if original == title else original
    return title, own_title, authors, language, whole_number(year)
