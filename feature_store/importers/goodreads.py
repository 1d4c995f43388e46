"""Goodreads: the UCSD Book Graph (lines of JSON), and goodbooks-10k (see `goodbooks`).

A line of the Book Graph's interactions becomes one event. It happened when the book was added to a shelf
(`date_added`), and is known from the line's last change on (`date_updated`): a rating may have come years after the
book was added, and is not read before. Average ratings, their numbers, shelf counts and similar books are left out:
later readers made them.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path

import polars as pl

from feature_store.importers.amazon import plain_text
from feature_store.importers.goodbooks import import_goodbooks, is_goodbooks
from feature_store.importers.import_receipt import FileCount, ImportReceipt, train_command
from feature_store.importers.item_rows import write_items
from feature_store.importers.published_file import Advance, PublishedFile, no_progress
from feature_store.importers.record_lines import Record, first_record, missing_fields, records
from feature_store.importers.table_files import TIME, TableFiles, blocks_of, tables_in, whole_number

TIME_FORM = "%a %b %d %H:%M:%S %z %Y"
"""Fri Dec 08 10:16:50 -0800 2017"""
_INTERACTION = ("user_id", "book_id", "rating", "date_added", "date_updated")
_TEXTS = ("title", "authors", "description", "publisher")
_ITEM_SCHEMA = pl.Schema(
    {"item_id": pl.String} | dict.fromkeys(_TEXTS, pl.String) | {"year": pl.Int64, "pages": pl.Int64}
)
_ROW_SCHEMA = pl.Schema(
    {"line": pl.Int64, "user_id": pl.String, "item_id": pl.String, "added": pl.String, "updated": pl.String}
    | {"event": pl.String, "value": pl.Float64}
)
_BOOKS_FORM = "goodreads_books*.json.gz (lines of JSON with book_id and title), or books.csv of goodbooks-10k"
_INTERACTIONS_FORM = (
    "goodreads_interactions*.json.gz or goodreads_reviews*.json.gz (lines of JSON with user_id, book_id, rating, "
    "date_added, date_updated), or ratings.csv of goodbooks-10k (user_id,book_id,rating)"
)
_AUTHORS_FORM = "goodreads_book_authors.json.gz (lines of JSON with author_id and name)"


def import_goodreads(
    books: Path,
    interactions: Path,
    out: Path,
    *,
    authors: Path | None = None,
    all_items: bool = False,
    on_lines: Advance = no_progress,
) -> ImportReceipt:
    """Writes items and events. Without `all_items`, books without an interaction are left out.

    A rating is an event `rating` with 1 to 5 stars; a book that was read without one is `read`, any other that is on a
    shelf `bookmark`. `authors` has the names of the Book Graph's authors, who are ids in its books.

    Raises DataError if a file is of none of the forms, or no interaction is with one of the books.
    """
    books_file = PublishedFile(books, "books", _BOOKS_FORM)
    interactions_file = PublishedFile(interactions, "interactions", _INTERACTIONS_FORM)
    if is_goodbooks(books_file, interactions_file):
        return import_goodbooks(books_file, interactions_file, out, all_items=all_items, on_lines=on_lines)
    missing_fields(interactions_file, first_record(interactions_file), _INTERACTION)
    missing_fields(books_file, first_record(books_file), ("book_id", "title"))
    counts = [FileCount(interactions.name), FileCount(books.name)]
    names: dict[str, str] = {}
    if authors is not None:
        authors_file = PublishedFile(authors, "authors", _AUTHORS_FORM)
        missing_fields(authors_file, first_record(authors_file), ("author_id", "name"))
        counts.append(FileCount(authors.name))
        found = records(authors_file, ("author_id", "name"), counts[-1], on_lines)
        names = {str(record["author_id"]): plain_text(record["name"]) for _, record in found}
    with tables_in(out) as tables:
        taken = _write_interactions(interactions_file, counts[0], tables, on_lines)
        if not taken:
            raise interactions_file.refusal("no row that can be read", "Check which file it is.")
        known = _write_books(books_file, counts[1], tables, names, None if all_items else taken, on_lines)
        if not known & taken:
            raise books_file.refusal("none of the books of the interactions", "Give the books of the same genre.")
    notes = (
        [] if authors else ["Authors are ids in this data set: --authors goodreads_book_authors.json.gz names them."]
    )
    if lost := len(taken - known):
        notes.append(f"{lost:,} of {len(taken):,} books of the interactions are not in {books.name}.")
    written = tables.written()
    return ImportReceipt(tuple(counts), written, tuple(notes), (train_command(written),))


def _write_interactions(file: PublishedFile, count: FileCount, tables: TableFiles, on_lines: Advance) -> set[str]:
    """Writes the events; returns the ids of their books."""
    taken: set[str] = set()

    def rows() -> Iterator[tuple[object, ...]]:
        for line, record in records(file, _INTERACTION, count, on_lines):
            stars = record["rating"]
            if not isinstance(stars, int | float) or not 0 <= stars <= 5:
                count.leave_out("rating: expected 0 to 5, got something else", cell=stars, line=line)
                continue
            # Reviews do not say whether the book was read: it was.
            event = "rating" if stars else "read" if record.get("is_read", True) else "bookmark"
            added = str(record["date_added"])
            updated = str(record["date_updated"])
            yield line, str(record["user_id"]), str(record["book_id"]), added, updated, event, float(stars) or None

    for block in blocks_of(rows(), _ROW_SCHEMA):
        times = pl.col("added", "updated").str.to_datetime(TIME_FORM, strict=False, time_unit="us")
        read = block.with_columns(times)
        for name in ("added", "updated"):
            bad = read.filter(pl.col(name).is_null())
            if bad.height:
                line = bad["line"][0]
                cell = block.filter(pl.col("line") == line)[name][0]
                reason = f"date_{name}: expected a time such as Fri Dec 08 10:16:50 -0800 2017, got other text"
                count.leave_out(reason, cell=cell, line=line, n=bad.height)
                read = read.filter(pl.col(name).is_not_null())
        events = read.select(
            "user_id",
            "item_id",
            "event",
            "value",
            timestamp=pl.col("added").cast(TIME),
            available_at=pl.max_horizontal("added", "updated").cast(TIME),
        )
        taken.update(events["item_id"].unique())
        tables.write("events", events)
    return taken


def _write_books(
    file: PublishedFile,
    count: FileCount,
    tables: TableFiles,
    names: dict[str, str],
    wanted: set[str] | None,
    on_lines: Advance,
) -> set[str]:
    """Writes the items that are wanted, all for None; returns their ids."""
    found = records(file, ("book_id",), count, on_lines)
    rows = ((str(record["book_id"]), record) for _, record in found)
    cells_of = partial(_cells_of, names=names)
    return write_items(
        rows, cells_of, _ITEM_SCHEMA, tables, count, word="book", wanted=wanted, wanted_for="an interaction"
    )


def _cells_of(record: Record, names: dict[str, str]) -> tuple[object, ...]:
    """What is written of a book after its id, in the order of the schema."""
    authors = record.get("authors")
    ids = (
        [str(each.get("author_id")) for each in authors if isinstance(each, dict)] if isinstance(authors, list) else []
    )
    return (
        plain_text(record.get("title")),
        ", ".join(names[each] for each in ids if each in names),
        plain_text(record.get("description")),
        plain_text(record.get("publisher")),
        whole_number(record.get("publication_year")),
        whole_number(record.get("num_pages")),
    )
