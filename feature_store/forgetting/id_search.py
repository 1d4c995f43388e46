"""Searches the files of a store for an id, after it was forgotten."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

import polars as pl

from feature_store._delta import LocalTable
from feature_store.data_errors import is_library_failure
from feature_store.forgetting.erasure import walk
from feature_store.forgetting.id_spellings import LONG_ID
from feature_store.noted_digests import DIGESTS_FILE, log_version, log_versions

_N_ROWS_NESTED = 100_000
"""Rows of lists and structs, such as those of a checkpoint, that are looked through as text."""


class IdSearch:
    """Looks for one id in files: in their bytes and, in Parquet files, in their unpacked cells.

    In bytes only ids of at least `LONG_ID` characters are looked for: shorter ones are in nearly every file by chance.
    """

    def __init__(self, value: object) -> None:
        self._text = str(value)
        escaped = json.dumps(self._text)[1:-1]
        forms = {form.encode("utf-8", "surrogatepass") for form in (self._text, escaped)}
        forms |= {self._text.encode("utf-16-le", "surrogatepass")}
        is_long = len(self._text) >= LONG_ID
        # Not inside a longer word or number.
        form = b"|".join(re.escape(each) for each in sorted(forms))
        self._in_bytes = re.compile(rb"(?<![0-9A-Za-z])(?:" + form + rb")(?![0-9A-Za-z])") if is_long else None
        self._in_text = rf"(^|[^0-9A-Za-z]){_escaped(self._text)}($|[^0-9A-Za-z])"

    def is_in(self, path: Path) -> bool:
        """Whether the file holds the id; False for one that has gone."""
        try:
            content = path.read_bytes()
        except FileNotFoundError:
            return False
        if self._in_bytes is not None and self._in_bytes.search(content):
            return True
        return ".parquet" in path.name and self._is_in_parquet(path)

    def mentions(self, rows: pl.DataFrame) -> dict[str, int]:
        """The number of rows whose text mentions the id as a word, by column; a short id only as the whole cell."""
        columns = [column for column in rows.iter_columns() if column.dtype == pl.String]
        found = {column.name: int(self._in_column(column).sum() or 0) for column in columns}
        return {name: n for name, n in found.items() if n}

    def _in_column(self, column: pl.Series) -> pl.Series:
        if self._in_bytes is None:
            return column == self._text
        # Two passes: the plain search is much faster, and mostly finds nothing.
        return column.str.contains(self._text, literal=True) & column.str.contains(self._in_text)

    def _is_in_parquet(self, path: Path) -> bool:
        try:
            rows = pl.read_parquet(path, glob=False)
        except BaseException as error:
            if not is_library_failure(error):
                raise
            return False  # unfinished, or no Parquet
        for column in rows.iter_columns():
            if column.dtype.is_integer():
                is_found = (column.cast(pl.String) == self._text).any()
            elif column.dtype == pl.String:
                is_found = self._in_column(column).any()
            elif column.dtype.is_nested():
                is_found = self._in_bytes is not None and self._in_column(_as_text(column)).any()
            else:
                is_found = False
            if is_found:
                return True
        return False


def obsolete_files_with(
    search: IdSearch, folder: Path, tables: dict[Path, LocalTable], *, left_out: Sequence[Path] = ()
) -> Iterator[Path]:
    """Files of the store that hold the id, except those that its tables now consist of.

    `tables` are the open tables by folder; folders in `left_out` are not searched. What the tables consist of was
    written after the id was removed: if it holds the id, that is new data.
    """
    in_use = set[Path]()
    for root, table in tables.items():
        versions = log_versions(root)
        checkpoint = min((version for name, version in versions.items() if "checkpoint" in name), default=0)
        in_use |= {root / name for name in versions if log_version(name) >= checkpoint}
        in_use |= {root / name for name in table.file_names()}
        in_use.add(root / DIGESTS_FILE)
    for path in walk(folder):
        if path in in_use or path.is_symlink() or any(path.is_relative_to(other) for other in left_out):
            continue
        if search.is_in(path):
            yield path


def _as_text(column: pl.Series) -> pl.Series:
    cells = column.head(_N_ROWS_NESTED).to_list()
    texts = [json.dumps(cell, default=str, ensure_ascii=False).replace('\\"', '"') for cell in cells]
    return pl.Series(column.name, texts, dtype=pl.String)


def _escaped(text: str) -> str:
    """The text as a regular expression of Rust's, which knows fewer escapes than Python's."""
    return "".join(f"\\x{{{ord(c):x}}}" if not c.isalnum() else c for c in text)
