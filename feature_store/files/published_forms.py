"""Files of public data sets as they are published, told by their first line: `recmem import` reads them.

Nobody's table has such a first line: either it holds data, or names without those that recmem requires.
"""

from __future__ import annotations

import re

from feature_store.files.file_content import UnreadableFileError

_MIND = "recmem import mind --news news.tsv --behaviors behaviors.tsv"
_MOVIELENS = "recmem import movielens --movies {} --ratings {}"
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
}
"""Regular expression of the first line -> what the file is, and the command that reads it."""
_N_LOOKED_AT = 65_536


def refuse_published(content: bytes) -> None:
    """Raises UnreadableFileError, naming the command that reads the file, if its first line is of a published form.

    `content` is the file's, or how it begins.
    """
    line = content[:_N_LOOKED_AT].split(b"\n", 1)[0].decode(errors="replace").rstrip("\r")
    for form, (what, command) in _FORMS.items():
        if re.fullmatch(form, line):
            remedy = f"Run `{command} --out TABLES`, and give the tables that it writes."
            raise UnreadableFileError(f"it looks like {what} as published", remedy)
