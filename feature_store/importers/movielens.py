"""MovieLens in each of its published forms: CSV with a header (ml-latest and from 20M on), `::` (10M, 1M), ml-100k.

Ratings become events `rating` with their value. Averages and counts are not in these files, but tags are, each given at
a time: texts of items hold for all times in recmem, so only tags count that were given before the time by which
`TAGS_UNTIL` of the ratings had happened. A test, or a ranker's window, then has no tag that came later.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl

from feature_store.importers.import_receipt import FileCount, ImportReceipt, train_command
from feature_store.importers.item_rows import write_items
from feature_store.importers.movielens_forms import Movie, fields_of, movie_of, movielens_file, user_of
from feature_store.importers.published_file import Advance, PublishedFile, no_progress
from feature_store.importers.table_files import TIME, TableFiles, blocks_of, micros_of, tables_in
from feature_store.timestamps import DAY_US

TAGS_UNTIL = 0.7
"""Share of the ratings before which tags count: what the match module learns from by default (`split.ranker_from`)."""
MOST_TAGS = 10
"""Of an item: those that most users gave."""
EVENT_SCHEMA = pl.Schema(
    {"user_id": pl.String(), "item_id": pl.String(), "timestamp": TIME, "event": pl.String(), "value": pl.Float64()}
)
_ITEM_SCHEMA = pl.Schema(
    {"item_id": pl.String, "title": pl.String, "genres": pl.String, "tags": pl.String, "year": pl.Int64}
)
_USER_SCHEMA = pl.Schema({"user_id": pl.String, "gender": pl.String, "age": pl.Int64, "occupation": pl.String})
_NUMBER = re.compile(r"\d{1,18}(\.\d{1,18})?", re.ASCII)


def import_movielens(
    movies: Path,
    ratings: Path,
    out: Path,
    *,
    tags: Path | None = None,
    users: Path | None = None,
    on_lines: Advance = no_progress,
) -> ImportReceipt:
    """Writes items and events, and users if given.

    Raises DataError if a file is not of one of MovieLens's forms, or no rating is of one of the movies.
    """
    files = {"movies": movies, "ratings": ratings, "tags": tags, "users": users}
    given = {role: movielens_file(path, role) for role, path in files.items() if path is not None}
    counts = {role: FileCount(file.path.name) for role, file in given.items()}
    notes = []
    with tables_in(out) as tables:
        days, rated = _write_ratings(given["ratings"], counts["ratings"], tables, on_lines)
        if not tables.n_rows("events"):
            raise given["ratings"].refusal("no row that can be read", "Check which file it is.")
        tags_of: dict[str, Counter[str]] = {}
        if "tags" in given:
            until = time_of_share(days, TAGS_UNTIL)
            tags_of = _tags(given["tags"], counts["tags"], until, on_lines)
            notes.append(
                f"tags: those given before {until:%Y-%m-%d}, by when {TAGS_UNTIL:.0%} of the ratings happened."
            )
        known = _write_movies(given["movies"], counts["movies"], tables, tags_of, on_lines)
        if not known & rated:
            raise given["ratings"].refusal("ratings of none of the movies", "Give the files of one data set.")
        if lost := len(rated - known):
            notes.append(f"{lost:,} of {len(rated):,} rated movies are not in {movies.name}.")
        if "users" in given:
            rows = _users(given["users"], counts["users"], on_lines)
            for block in blocks_of(rows, _USER_SCHEMA):
                tables.write("users", block)
    written = tables.written()
    return ImportReceipt(tuple(counts.values()), written, tuple(notes), (train_command(written),))


def time_of_share(days: Counter[int], share: float) -> datetime:
    """The begin of the day, counted from 1970, by whose end this share of the rows has happened."""
    total = sum(days.values())
    so_far = 0
    for day in sorted(days):
        so_far += days[day]
        if so_far >= share * total:
            return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(days=day)
    raise ValueError("days: expected at least one row, got none. Give the days of a log.")


def number_of(cell: str) -> float | None:
    """The number of a cell, which has no sign; None if it holds other text."""
    return float(cell) if _NUMBER.fullmatch(cell.strip()) else None


def _write_ratings(
    file: PublishedFile, count: FileCount, tables: TableFiles, on_lines: Advance
) -> tuple[Counter[int], set[str]]:
    """Writes the events. Returns the ratings of each day from 1970, and the ids of the rated movies."""
    days: Counter[int] = Counter()
    rated: set[str] = set()

    def rows() -> Iterator[tuple[object, ...]]:
        for line, (user, movie, rating, time) in fields_of(file, "ratings", count, on_lines):
            micros = micros_of(number_of(time))
            value = number_of(rating)
            if micros is None:
                count.leave_out("timestamp: expected epoch seconds, got other text", cell=time, line=line)
            elif value is None:
                count.leave_out("rating: expected a number, got other text", cell=rating, line=line)
            elif not user or not movie:
                count.leave_out("user or movie: expected an id, got none", line=line)
            else:
                days[micros // DAY_US] += 1
                rated.add(movie)
                yield user, movie, micros, "rating", value

    schema = pl.Schema(EVENT_SCHEMA | {"timestamp": pl.Int64})
    for block in blocks_of(rows(), schema):
        tables.write("events", block.cast({"timestamp": TIME}))
    return days, rated


def _tags(file: PublishedFile, count: FileCount, until: datetime, on_lines: Advance) -> dict[str, Counter[str]]:
    """How many users gave each tag to each movie before a time."""
    given: set[tuple[str, str, str]] = set()
    tags: dict[str, Counter[str]] = {}
    for line, (user, movie, tag, time) in fields_of(file, "tags", count, on_lines):
        micros = micros_of(number_of(time))
        word = " ".join(tag.lower().split())
        if micros is None:
            count.leave_out("timestamp: expected epoch seconds, got other text", cell=time, line=line)
        elif micros >= until.timestamp() * 1_000_000:
            count.leave_out(f"tag given on {until:%Y-%m-%d} or later")
        elif not word:
            count.leave_out("tag: expected a word, got none", line=line)
        elif (user, movie, word) not in given:
            given.add((user, movie, word))
            tags.setdefault(movie, Counter())[word] += 1
    return tags


def _write_movies(
    file: PublishedFile, count: FileCount, tables: TableFiles, tags: dict[str, Counter[str]], on_lines: Advance
) -> set[str]:
    """Writes the items; returns their ids."""

    def rows() -> Iterator[tuple[str, Movie]]:
        for line, fields in fields_of(file, "movies", count, on_lines):
            movie = movie_of(fields)
            if movie.movie_id:
                yield movie.movie_id, movie
            else:
                count.leave_out("movie: expected an id, got none", line=line)

    def cells_of(movie: Movie) -> tuple[object, ...]:
        by_users = sorted(tags.get(movie.movie_id, Counter()).items(), key=lambda entry: (-entry[1], entry[0]))
        words = ", ".join(tag for tag, _ in by_users[:MOST_TAGS])
        return movie.title, movie.genres, words, movie.year

    return write_items(rows(), cells_of, _ITEM_SCHEMA, tables, count, word="movie")


def _users(file: PublishedFile, count: FileCount, on_lines: Advance) -> Iterator[tuple[object, ...]]:
    for line, fields in fields_of(file, "users", count, on_lines):
        user = user_of(fields)
        if user is None:
            count.leave_out("age: expected a whole number, got other text", line=line)
        else:
            yield user
