"""The published forms of MovieLens's files, told apart by their first lines."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from feature_store.importers.import_receipt import FileCount
from feature_store.importers.published_file import UTF_8_OR_LATIN_1, Advance, PublishedFile
from feature_store.importers.separated_rows import csv_rows, split_rows
from feature_store.importers.table_files import whole_number

DOUBLE_COLON = "::"
_COLUMNS = {
    "movies": ("movieId", "title", "genres"),
    "ratings": ("userId", "movieId", "rating", "timestamp"),
    "tags": ("userId", "movieId", "tag", "timestamp"),
}
"""Of the CSV files, which have a header."""
_N_DOUBLE_COLON = {"movies": 3, "ratings": 4, "tags": 4, "users": 5}
_OF_100K = {"movies": ("|", 24), "ratings": ("\t", 4), "users": ("|", 5)}
_FORMS = {
    "movies": "movies.csv (movieId,title,genres), movies.dat (id::title::genres) or u.item of ml-100k (24 fields, |)",
    "ratings": "ratings.csv (userId,movieId,rating,timestamp), ratings.dat (:: between) or u.data of ml-100k (tabs)",
    "tags": "tags.csv (userId,movieId,tag,timestamp) or tags.dat (user::movie::tag::time)",
    "users": "users.dat (id::gender::age::occupation::zip) or u.user of ml-100k (id|age|gender|occupation|zip)",
}
_GENRES = (
    "unknown", "Action", "Adventure", "Animation", "Children's", "Comedy", "Crime", "Documentary", "Drama", "Fantasy",
    "Film-Noir", "Horror", "Musical", "Mystery", "Romance", "Sci-Fi", "Thriller", "War", "Western",
)  # fmt: skip
"""Of the flags of u.item, in their order."""
_OCCUPATIONS = (
    "other", "academic/educator", "artist", "clerical/admin", "college/grad student", "customer service",
    "doctor/health care", "executive/managerial", "farmer", "homemaker", "K-12 student", "lawyer", "programmer",
    "retired", "sales/marketing", "scientist", "self-employed", "technician/engineer", "tradesman/craftsman",
    "unemployed", "writer",
)  # fmt: skip
"""Of the codes of users.dat, from 0."""
_NO_GENRES = "(no genres listed)"
_YEAR = re.compile(r"\((\d{4})\)\s*$")


class Movie(NamedTuple):
    """A row of the movies, of any form."""

    movie_id: str
    title: str
    genres: str
    """With commas between."""
    year: int | None
    """From the end of the title."""


def movielens_file(path: Path, role: str) -> PublishedFile:
    """The file of a role: `movies`, `ratings`, `tags` or `users`. Raises DataError if its first line is of no form."""
    file = PublishedFile(path, role, _FORMS[role], UTF_8_OR_LATIN_1)
    _separator(file, role)
    return file


def fields_of(file: PublishedFile, role: str, count: FileCount, on_lines: Advance) -> Iterator[tuple[int, list[str]]]:
    """Line and fields of each row; those of CSV are in the order of the `::` form."""
    separator, n_fields = _separator(file, role)
    if separator == ",":
        return csv_rows(file, _COLUMNS[role], count, on_lines)
    return split_rows(file, separator, n_fields, count, on_lines)


def movie_of(fields: list[str]) -> Movie:
    """A movie of the fields of a row of any form."""
    movie_id, title = fields[:2]
    if len(fields) == _OF_100K["movies"][1]:
        flags = fields[-len(_GENRES) :]
        names = [name for name, flag in zip(_GENRES, flags, strict=True) if flag.strip() == "1" and name != "unknown"]
    else:
        names = [name for name in fields[2].split("|") if name and name != _NO_GENRES]
    year = _YEAR.search(title)
    return Movie(movie_id, title, ", ".join(names), int(year[1]) if year else None)


def user_of(fields: list[str]) -> tuple[object, ...] | None:
    """Id, gender, age and occupation of a row of any form; None if the age is no number. The zip code is left out."""
    user_id, second, third, occupation = fields[:4]
    gender, age = (second, third) if second.strip() in ("F", "M") else (third, second)
    years = whole_number(age)
    if years is None:
        return None
    code = occupation.strip()
    if code.isdecimal() and int(code) < len(_OCCUPATIONS):
        code = _OCCUPATIONS[int(code)]
    return user_id, gender.strip(), years, code


def _separator(file: PublishedFile, role: str) -> tuple[str, int]:
    """Separator and number of fields of the file's form."""
    text = file.first_line()
    if text.count(DOUBLE_COLON) == _N_DOUBLE_COLON[role] - 1 and _is_rating(text.split(DOUBLE_COLON), role):
        return DOUBLE_COLON, _N_DOUBLE_COLON[role]
    if role in _OF_100K:
        separator, n_fields = _OF_100K[role]
        if text.count(separator) == n_fields - 1:
            return separator, n_fields
    header = [name.strip().strip('"') for name in text.split(",")]
    if role in _COLUMNS and (missing := [name for name in _COLUMNS[role] if name not in header]):
        if len(missing) < len(_COLUMNS[role]):
            raise file.wrong_line(f"a header without {', '.join(missing)}", text, _remedy(role))
    elif role in _COLUMNS:
        return ",", len(header)
    raise file.wrong_line("a first line of another form", text, _remedy(role))


def _is_rating(fields: list[str], role: str) -> bool:
    """Whether the fields of `::` can be those of the role: ratings and tags both have four."""
    is_number = re.fullmatch(r"\d(\.\d)?", fields[2].strip()) is not None
    return is_number if role == "ratings" else True


def _remedy(role: str) -> str:
    return f"Name the file of the {role}."
