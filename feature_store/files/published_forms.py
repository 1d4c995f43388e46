"""Files of public data sets as they are published, told by their first line: `recmem import` reads them.

Nobody's table has such a first line: either it holds data, or names without those that recmem requires.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from feature_store.files.file_content import UnreadableFileError

_MIND = "recmem import mind --news news.tsv --behaviors behaviors.tsv"
_MOVIELENS = "recmem import movielens --movies {} --ratings {}"
_AMAZON = "recmem import amazon --reviews REVIEWS --metadata METADATA"
_GOODREADS = "recmem import goodreads --books {} --interactions {}"
_BOOK_GRAPH = _GOODREADS.format("BOOKS", "INTERACTIONS")
_GOODBOOKS = _GOODREADS.format("books.csv", "ratings.csv")
_FORMS = {
    r"N\d+(\t[^\t]*){4}\thttps?://[^\t]*\t\[.*\]\t\[.*\]": ("news.tsv of MIND", _MIND),
    r"\d+\tU\d+\t\d{1,2}/\d{1,2}/\d{4} \d{1,2}:\d\d:\d\d [AP]M\t(N\d+ ?)*\tN\d+.*": ("behaviors.tsv of MIND", _MIND),
    r"\d+::.*\(\d{4}\)::.*": ("movies.dat of MovieLens", _MOVIELENS.format("movies.dat", "ratings.dat")),
    r"\d+::\d+::\d(\.\d)?::\d{9,10}": ("ratings.dat of MovieLens", _MOVIELENS.format("movies.dat", "ratings.dat")),
    r"\d+\|.*\(\d{4}\)\|.*(\|[01]){19}": ("u.item of MovieLens 100K", _MOVIELENS.format("u.item", "u.data")),
    # All its ratings are from September 1997 to April 1998; a log of somebody's own is not.
    r"\d+\t\d+\t[1-5]\t8[789]\d{7}": ("u.data of MovieLens 100K", _MOVIELENS.format("u.item", "u.data")),
    r"movieId,title,genres": ("movies.csv of MovieLens", _MOVIELENS.format("movies.csv", "ratings.csv")),
    r"userId,movieId,rating,timestamp": (
        "ratings.csv of MovieLens",
        _MOVIELENS.format("movies.csv", "ratings.csv"),
    ),
    r"(\w+,)?book_id,goodreads_book_id,.*": ("books.csv of goodbooks-10k", _GOODBOOKS),
    r"user_id,book_id,rating": ("ratings.csv of goodbooks-10k", _GOODBOOKS),
    r"user_id,book_id,is_read,rating,is_reviewed": ("goodreads_interactions.csv of Goodreads", _BOOK_GRAPH),
}
"""Regular expression of the first line -> what the file is, and the command that reads it."""
_RECORDS = (
    ({"reviewerID", "asin", "overall"}, "reviews of Amazon", _AMAZON),
    ({"user_id", "parent_asin", "rating", "timestamp"}, "reviews of Amazon", _AMAZON),
    ({"user_id", "book_id", "date_added", "date_updated"}, "interactions of Goodreads", _BOOK_GRAPH),
    ({"book_id", "title", "popular_shelves"}, "books of Goodreads", _BOOK_GRAPH),
    ({"asin", "imUrl"}, "metadata of Amazon", _AMAZON),
    ({"asin", "salesRank"}, "metadata of Amazon", _AMAZON),
    ({"asin", "also_buy"}, "metadata of Amazon", _AMAZON),
    ({"parent_asin", "main_category"}, "metadata of Amazon", _AMAZON),
)
"""Names of fields that a file's first record has, what the file is, and the command; the first that fits counts."""
_FIELD = re.compile(r"""["'](\w+)["']\s*:""")
"""A name in a record of JSON, or of the Python literals of Amazon's first metadata."""
_REQUIRED = "item_id"
"""A field of every table with items or events, and of none of these files."""
_N_LOOKED_AT = 65_536


def refuse_published(content: bytes) -> None:
    """Raises UnreadableFileError, naming the command that reads the file, if its first line is of a published form.

    `content` is the file's, or how it begins.
    """
    line = content[:_N_LOOKED_AT].split(b"\n", 1)[0].decode(errors="replace").rstrip("\r")
    for what, command in _found(line):
        remedy = f"Run `{command} --out TABLES`, and give the tables that it writes."
        raise UnreadableFileError(f"it looks like {what} as published", remedy)


def _found(line: str) -> Iterator[tuple[str, str]]:
    """The published forms that a first line may be of, and the commands that read them."""
    if line.startswith("{"):
        names = set(_FIELD.findall(line))
        if _REQUIRED not in names:
            yield from ((what, command) for fields, what, command in _RECORDS if fields <= names)
    yield from (found for form, found in _FORMS.items() if re.fullmatch(form, line))
