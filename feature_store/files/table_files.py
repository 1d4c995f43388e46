"""Reads a user's table from a file, a folder of Parquet files, a Delta table, or the URL of an object store."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import polars as pl

from feature_store._delta import open_table
from feature_store.data_errors import DataError, is_library_failure
from feature_store.files.arrow_files import read_arrow, read_folder, read_parquet, without_odd_columns
from feature_store.files.delimited_text import COMMA, TAB, read_delimited
from feature_store.files.file_content import COMPRESSED, Text, UnreadableFileError, as_text, looks_like, read_bytes
from feature_store.files.file_rows import FileRows
from feature_store.files.json_rows import read_json
from feature_store.files.ntriples import read_ntriples
from feature_store.files.published_forms import refuse_published
from feature_store.files.typed_columns import typed_columns
from feature_store.schema import TABLES, Table

_EXPECTED = "a table as Parquet (a file or a folder), CSV, JSON, Arrow or Delta"
_FORMATS = ".parquet, .pq, .csv, .tsv, .tab, .txt, .json, .jsonl, .ndjson, .arrow or .feather"
_N_LOOKED_AT = 4096
_OTHER_RDF = (".ttl", ".nq", ".trig", ".rdf", ".owl", ".n3", ".jsonld")
_TEXT_COMPRESSED = "text files may end in .gz, .zst, .bz2 or .xz"


def read_table(path: str, *, table: str, features: Sequence[str] = ()) -> FileRows:
    """The rows of a file or folder, by the ending of its name.

    Parquet (.parquet, .pq, or a folder of such files), Arrow (.arrow, .feather), Delta; CSV with commas (.csv), tabs
    (.tsv, .tab) or what its header shows (.txt); JSON lines or an array of objects (.json, .jsonl, .ndjson); of facts
    N-Triples (.nt). Text may be compressed (.csv.gz, also .zst, .bz2 and .xz).

    CSV is read as text. Ids, names of events and times stay text, so that "007" keeps its zeros; other columns of
    numbers become numbers. A line of text in which no row can be read is set aside: see `FileRows.unreadable`. The URL
    of an object store is passed to polars unchanged. `features` are additional columns of impressions that will be
    stored, see `Table.with_features`.

    Raises:
        DataError: the path does not exist, the file is not of the format that its name indicates, or it has no rows.
            The message names `table`.
    """
    if "://" not in path and not os.path.exists(path):
        raise _refusal(table, f"nothing at {path!r}", "Check the path, which is relative to the working directory.")
    if "://" not in path and os.path.isfile(path) and os.path.getsize(path) == 0:
        raise _refusal(table, f"an empty file at {path!r}", "Check how the file was written.")
    read_as = next(each for each in TABLES if each.name == table).with_features(features)
    try:
        rows = _reader(path)(path, read_as)
    except DataError:
        raise
    except BaseException as error:
        if not (isinstance(error, UnreadableFileError) or is_library_failure(error)):
            raise
        cause = str(error).partition("\n")[0].rstrip(".")
        remedy = getattr(error, "remedy", "Write the file again, or correct its extension.")
        raise _refusal(table, f"{path!r}, which cannot be read ({cause})", remedy) from error
    if rows.frame.is_empty() and not rows.unreadable.height:
        raise _refusal(table, f"{path!r} without rows", "Check the query that produced it.")
    return rows


_Reader = Callable[[str, Table], FileRows]


def _reader(path: str) -> _Reader:
    if os.path.isdir(os.path.join(path, "_delta_log")):
        return _read_delta
    if os.path.isdir(path):
        return read_folder
    if "://" in path:
        return _read_remote
    named = Path(path)
    ending = named.suffix.lower()
    if ending in COMPRESSED:
        reader = _TEXT_READERS.get(Path(named.stem).suffix.lower())
        if reader is None:
            kind = f"{Path(named.stem).suffix}{ending} is not a supported format, though {_TEXT_COMPRESSED}"
            raise UnreadableFileError(kind, "Decompress it first.")
        return reader
    reader = _READERS.get(ending)
    return _by_content(path, ending) if reader is None else reader


def _by_content(path: str, ending: str) -> _Reader:
    """The reader of a file whose name does not show its format, by its first bytes."""
    with open(path, "rb") as file:
        begin = file.read(_N_LOOKED_AT)
    refuse_published(begin)
    found = looks_like(begin)
    reader = {"a Parquet file": read_parquet, "an Arrow file": read_arrow}.get(found)
    if reader is None:
        if ending in _OTHER_RDF:
            raise UnreadableFileError(f"{ending} is not a supported form of RDF", "Convert it to N-Triples (.nt).")
        kind = f"{ending} is not a supported format" if ending else "its name has no ending such as .csv"
        remedy = f"Give a file whose name ends in {_FORMATS}."
        raise UnreadableFileError(f"{kind}; it looks like {found}" if found else kind, remedy)
    return reader


def _read_csv(path: str, table: Table) -> FileRows:
    return read_delimited(_table_text(path), table, separator=COMMA)


def _read_tsv(path: str, table: Table) -> FileRows:
    return read_delimited(_table_text(path), table, separator=TAB)


def _read_text(path: str, table: Table) -> FileRows:
    return read_delimited(_table_text(path), table, separator=None)


def _table_text(path: str) -> Text:
    """The text of a table's file; files of public data sets, which are no tables yet, are refused."""
    text = as_text(read_bytes(path))
    refuse_published(text.lines)
    return text


def _read_json(path: str, table: Table) -> FileRows:
    rows = read_json(_table_text(path), table)
    usable = without_odd_columns(rows.frame, table, lines=rows.lines)
    return replace(rows, frame=usable.frame, warnings=(*rows.warnings, *usable.warnings))


def _read_ntriples(path: str, table: Table) -> FileRows:
    return read_ntriples(as_text(read_bytes(path)), table)


def _read_delta(folder: str, table: Table) -> FileRows:
    delta = open_table(str(Path(folder).absolute()), storage_options=None)
    if delta is None:
        raise UnreadableFileError("the folder's Delta log describes no table")
    return without_odd_columns(pl.scan_delta(delta).collect(), table)


def _read_remote(url: str, table: Table) -> FileRows:
    """Polars reads from object stores by itself. Text has to be regular there: a broken line refuses the file."""
    ending = Path(url.partition("?")[0]).suffix.lower()
    if ending in (".csv", ".tsv", ".tab"):
        separator = COMMA if ending == ".csv" else TAB
        frame = pl.scan_csv(url, infer_schema=False, separator=separator, glob=False).collect()
        typed, warnings = typed_columns(frame, table, where=lambda row: f" (row {row:,}, counting from 0)")
        return FileRows(typed, warnings=tuple(warnings))
    if ending == ".nt" or url.partition("?")[0].lower().endswith(".nt.gz"):
        raise UnreadableFileError("N-Triples are read from local files only", "Copy the file here first.")
    if ending in (".jsonl", ".ndjson"):
        return without_odd_columns(pl.read_ndjson(url, infer_schema_length=None), table)
    if ending in (".arrow", ".feather"):
        return without_odd_columns(pl.read_ipc(url), table)
    return without_odd_columns(pl.read_parquet(url, glob=False), table)


_TEXT_READERS: Mapping[str, _Reader] = {
    ".csv": _read_csv,
    ".tsv": _read_tsv,
    ".tab": _read_tsv,
    ".txt": _read_text,
    ".json": _read_json,
    ".jsonl": _read_json,
    ".ndjson": _read_json,
    ".nt": _read_ntriples,
}
_READERS: Mapping[str, _Reader] = {
    **_TEXT_READERS,
    ".parquet": read_parquet,
    ".pq": read_parquet,
    ".parq": read_parquet,
    ".arrow": read_arrow,
    ".feather": read_arrow,
    ".ipc": read_arrow,
    ".arrows": read_arrow,
}


def _refusal(table: str, got: str, remedy: str) -> DataError:
    return DataError(f"{table}.path: expected {_EXPECTED}, got {got}. {remedy}")
