"""Amazon reviews (McAuley Lab) of 2014, 2018 and 2023: reviews and metadata as lines of records, compressed or not.

A review becomes an event `rating` with its stars; its text is not read. Of the metadata those fields are left out that
later behaviour made: sales ranks, average ratings, numbers of ratings, and what is bought or viewed together.
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from feature_store.importers.import_receipt import FileCount, ImportReceipt, train_command
from feature_store.importers.item_rows import write_items
from feature_store.importers.published_file import Advance, PublishedFile, no_progress
from feature_store.importers.record_lines import Record, first_record, missing_fields, records
from feature_store.importers.table_files import TIME, TableFiles, blocks_of, micros_of, tables_in

_SCHEMA = pl.Schema(
    {"user_id": pl.String, "item_id": pl.String, "timestamp": pl.Int64, "event": pl.String, "value": pl.Float64}
)
_TEXTS = ("title", "brand", "categories", "features", "description")
_ITEM_SCHEMA = pl.Schema({"item_id": pl.String} | dict.fromkeys(_TEXTS, pl.String) | {"price": pl.Float64})
_MARKUP = re.compile(r"<[^<>]*>")
_SPACES = re.compile(r"\s+")
_PRICE = re.compile(r"\$?\s*(\d[\d,]*(?:\.\d+)?)")
_LARGEST = 1e12
"""No rating and no price reaches it."""
_SCRIPT = "getTime()"
"""In titles of 2018 that hold the page's script instead of a title."""
_REVIEWS_FORM = (
    "Amazon reviews as lines of JSON, of 2014 or 2018 (reviewerID, asin, overall, unixReviewTime) or of 2023 (user_id, "
    "parent_asin, rating, timestamp)"
)
_METADATA_FORM = "Amazon metadata as lines of JSON or, of 2014, Python literals, with asin or parent_asin"


@dataclass(frozen=True)
class _ReviewForm:
    user: str
    item: str
    rating: str
    time: str
    per_second: int
    """Units of the time in a second."""

    @property
    def fields(self) -> tuple[str, ...]:
        return self.user, self.item, self.rating, self.time


_UNTIL_2018 = _ReviewForm("reviewerID", "asin", "overall", "unixReviewTime", 1)
_OF_2023 = _ReviewForm("user_id", "parent_asin", "rating", "timestamp", 1_000)


def import_amazon(
    reviews: Path, metadata: Path, out: Path, *, all_items: bool = False, on_lines: Advance = no_progress
) -> ImportReceipt:
    """Writes items and events. Without `all_items`, products without a review are left out.

    Raises DataError if a file is not of one of these forms, or no review is of one of the products.
    """
    reviews_file = PublishedFile(reviews, "reviews", _REVIEWS_FORM)
    metadata_file = PublishedFile(metadata, "metadata", _METADATA_FORM)
    form = _review_form(reviews_file)
    id_field = _id_field(metadata_file)
    counts = FileCount(reviews.name), FileCount(metadata.name)
    with tables_in(out) as tables:
        reviewed = _write_reviews(reviews_file, form, counts[0], tables, on_lines)
        if not reviewed:
            raise reviews_file.refusal("no row that can be read", "Check which file it is.")
        known = _write_products(metadata_file, id_field, counts[1], tables, None if all_items else reviewed, on_lines)
        if not known & reviewed:
            got = f"metadata of none of the {len(reviewed):,} reviewed products"
            raise metadata_file.refusal(got, "Give the metadata of the same year and category.")
    written = tables.written()
    notes = []
    if lost := len(reviewed - known):
        notes.append(f"{lost:,} of {len(reviewed):,} reviewed products are not in {metadata.name}.")
    return ImportReceipt(counts, written, tuple(notes), (train_command(written),))


def plain_text(value: Any) -> str:
    """A text or list of texts of a record as one text, without markup; empty for anything else."""
    if isinstance(value, list):
        parts = dict.fromkeys(plain_text(each) for each in value)
        return ", ".join(part for part in parts if part)
    if not isinstance(value, str) or _SCRIPT in value:
        return ""
    return _SPACES.sub(" ", _MARKUP.sub(" ", html.unescape(value))).strip()


def is_number(value: Any) -> bool:
    """Whether a value of a record is a finite number."""
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < _LARGEST


def price_of(value: Any) -> float | None:
    """The price of a number, or of a text such as "$1,024.50"; None for others, such as a range."""
    if is_number(value):
        return float(value)
    found = _PRICE.fullmatch(value.strip()) if isinstance(value, str) else None
    return float(found[1].replace(",", "")) if found else None


def _review_form(file: PublishedFile) -> _ReviewForm:
    record = first_record(file)
    form = _OF_2023 if "parent_asin" in record or "user_id" in record else _UNTIL_2018
    missing_fields(file, record, form.fields)
    return form


def _id_field(file: PublishedFile) -> str:
    record = first_record(file)
    if "reviewerID" in record or "user_id" in record:
        raise file.refusal("what looks like reviews", "Name the file with the metadata, such as meta_Books.json.gz.")
    field = "parent_asin" if "parent_asin" in record else "asin"
    missing_fields(file, record, (field,))
    return field


def _write_reviews(
    file: PublishedFile, form: _ReviewForm, count: FileCount, tables: TableFiles, on_lines: Advance
) -> set[str]:
    """Writes the events; returns the ids of the reviewed products."""
    reviewed: set[str] = set()

    def rows() -> Iterator[tuple[object, ...]]:
        for line, record in records(file, form.fields, count, on_lines):
            rating = record[form.rating]
            time = record[form.time]
            micros = micros_of(time, per_second=form.per_second)
            if not is_number(rating):
                count.leave_out(f"{form.rating}: expected a number, got something else", cell=rating, line=line)
            elif micros is None:
                count.leave_out(f"{form.time}: expected an epoch number, got something else", cell=time, line=line)
            else:
                item = str(record[form.item])
                reviewed.add(item)
                yield str(record[form.user]), item, micros, "rating", float(rating)

    for block in blocks_of(rows(), _SCHEMA):
        tables.write("events", block.cast({"timestamp": TIME}))
    return reviewed


def _write_products(
    file: PublishedFile, id_field: str, count: FileCount, tables: TableFiles, wanted: set[str] | None, on_lines: Advance
) -> set[str]:
    """Writes the items that are wanted, all for None; returns their ids."""
    found = records(file, (id_field,), count, on_lines)
    rows = ((str(record[id_field]), record) for _, record in found)
    return write_items(
        rows, _cells_of, _ITEM_SCHEMA, tables, count, word="product", wanted=wanted, wanted_for="a review"
    )


def _cells_of(record: Record) -> tuple[object, ...]:
    return (*_texts_of(record), price_of(record.get("price")))


def _texts_of(record: Record) -> tuple[str, ...]:
    """Texts of the product, of any of the forms, in the order of `_TEXTS`."""
    categories = record.get("categories") or record.get("category")
    if isinstance(categories, list) and any(isinstance(each, list) for each in categories):
        categories = [name for path in categories if isinstance(path, list) for name in path]
    return (
        plain_text(record.get("title")),
        plain_text(record.get("brand") or record.get("store")),
        plain_text(categories or record.get("main_category")),
        plain_text(record.get("feature") or record.get("features")),
        plain_text(record.get("description")),
    )
