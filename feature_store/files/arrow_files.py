"""Parquet and Arrow files, and folders of Parquet files.

Read by pyarrow: its decoders raise on malformed files, where polars panics, and it can leave out columns that polars
cannot hold.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
from pyarrow import ipc

from feature_store.cell_parsing import parse_attribute
from feature_store.data_errors import DataError, repeated
from feature_store.files.arrow_columns import as_polars, can_be_polars
from feature_store.files.file_content import UnreadableFileError, looks_like
from feature_store.files.file_rows import FileRows
from feature_store.files.part_columns import Part, as_one
from feature_store.files.typed_columns import text_of_numbers
from feature_store.schema import Table

_MAX_ROWS_PER_BYTE = 100
"""Files claiming more are refused: rows that hold user or item ids never compress this well."""
_PARQUET_ENDINGS = (".parquet", ".pq", ".parq")
_N_LOOKED_AT = 4096
_HIVE_MISSING = "__HIVE_DEFAULT_PARTITION__"


def read_parquet(path: str, table: Table) -> FileRows:
    """The rows of one Parquet file."""
    frame, left_out = _parquet(Path(path))
    return _usable(frame, left_out, table)


def read_arrow(path: str, table: Table) -> FileRows:
    """The rows of an Arrow file or stream, which may be compressed as Feather files are."""
    with _Failures(path), pa.OSFile(path) as source:
        is_file = source.read(6) == b"ARROW1"
        source.seek(0)
        reader = ipc.open_file(source) if is_file else ipc.open_stream(source)
        read = reader.read_all()
        places = [place for place, field in enumerate(read.schema) if can_be_polars(field.type)]
        left_out = {field.name: field.type for field in read.schema if not can_be_polars(field.type)}
        _refuse_doubles(read.schema.names)
        frame = _checked(read.select(places))
    return _usable(frame, left_out, table)


def read_folder(folder: str, table: Table) -> FileRows:
    """The rows of a folder's Parquet files, one after the other in the order of their names, by column name.

    Folders called `name=value` within it, as Hive and Spark write them, are read too, with the column `name`. Files
    and folders whose names begin with a dot or an underscore are passed over.
    """
    root = Path(folder)
    parts = []
    left_out: dict[str, pa.DataType] = {}
    for file in _parquet_files(root):
        try:
            frame, odd = _parquet(file)
        except UnreadableFileError as error:
            raise UnreadableFileError(f"{file.relative_to(root)}: {error}") from error
        left_out |= odd
        if frame.height:
            parts.append(Part(str(file.relative_to(root)), _with_partitions(frame, file.relative_to(root))))
    if not parts:
        return FileRows(pl.DataFrame())
    frame, warnings = as_one(parts, table)
    rows = _usable(frame, left_out, table)
    return FileRows(rows.frame, warnings=(*_ignored_folders(root), *warnings, *rows.warnings))


class _Failures:
    """Turns pyarrow's errors into UnreadableFileError, with what the file looks like."""

    def __init__(self, path: str) -> None:
        self._path = path

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: Any, error: BaseException | None, traceback: Any) -> None:
        if isinstance(error, OSError) and error.errno:
            return  # a failing drive, not a broken file
        if isinstance(error, pa.ArrowException | OSError | UnicodeDecodeError | OverflowError | MemoryError):
            with open(self._path, "rb") as file:
                begin = file.read(_N_LOOKED_AT)
            found = looks_like(begin) or ("text, such as CSV or JSON" if _is_printable(begin) else "")
            cause = str(error).partition("\n")[0].rstrip(".") or type(error).__name__
            raise UnreadableFileError(f"it looks like {found}" if found and not _is_ours(found) else cause) from error


def _is_printable(begin: bytes) -> bool:
    text = begin.decode(errors="ignore")
    return len(text.encode()) > len(begin) - 4 and all(letter.isprintable() or letter in "\r\n\t" for letter in text)


def _is_ours(found: str) -> bool:
    return found in ("a Parquet file", "an Arrow file")


def _parquet(path: Path) -> tuple[pl.DataFrame, dict[str, pa.DataType]]:
    """The columns that polars can hold, and the types of the others."""
    with _Failures(str(path)), pq.ParquetFile(path, coerce_int96_timestamp_unit="us") as file:
        n_rows = file.metadata.num_rows
        n_bytes = os.path.getsize(path)
        if n_rows > n_bytes * _MAX_ROWS_PER_BYTE:
            raise UnreadableFileError(f"it claims {n_rows:,} rows in {n_bytes:,} bytes")
        schema = file.schema_arrow
        _refuse_doubles(schema.names)
        names = [field.name for field in schema if can_be_polars(field.type)]
        left_out = {field.name: field.type for field in schema if not can_be_polars(field.type)}
        read = file.read(columns=names) if names else pa.table({})
        return _checked(read), left_out


def _checked(read: pa.Table) -> pl.DataFrame:
    # Malformed files can hold text that is not UTF-8, or offsets beyond their data, which polars would trust.
    read.validate(full=True)
    frame, _ = as_polars(read)
    return frame


def _refuse_doubles(names: list[str]) -> None:
    twice = repeated(names)
    if twice:
        raise UnreadableFileError(f"it has several columns called {twice[0]!r}: rename or drop all but one")


def _usable(
    frame: pl.DataFrame, left_out: dict[str, pa.DataType], table: Table, lines: pl.Series | None = None
) -> FileRows:
    """The frame without columns that cannot be attributes, if every column is one; with a warning for each."""
    known = {*table.features, *(column.name for column in table.columns)}
    for name, kind in left_out.items():
        if name in known:
            remedy = "Cast it before you write the file."
            raise DataError(f"{table.name}.{name}: expected text, numbers or times, got a column of {kind}. {remedy}")
    if not table.keeps_extra:
        return FileRows(frame)
    odd = [name for name in frame.columns if name not in known and parse_attribute(frame[name].clear())[1]]
    kinds = {**{name: str(frame.schema[name]) for name in odd}, **{name: str(kind) for name, kind in left_out.items()}}
    warnings = [
        f"{table.name}.{name}: not read, because a column of {kind} is neither text nor numbers."
        for name, kind in kinds.items()
    ]
    usable = frame.drop(odd)
    for column in usable.iter_columns():
        if column.dtype == pl.String and column.name not in known:
            warnings += text_of_numbers(column, table, partial(_where, lines))
    return FileRows(usable, warnings=tuple(warnings))


def _where(lines: pl.Series | None, row: int) -> str:
    return f" (row {row:,}, counting from 0)" if lines is None else f" (line {lines[row]:,})"


def without_odd_columns(frame: pl.DataFrame, table: Table, *, lines: pl.Series | None = None) -> FileRows:
    """The rows without columns that the table could only refuse, with a warning for each; `lines` as in `FileRows`."""
    return _usable(frame, {}, table, lines)


def _parquet_files(root: Path) -> list[Path]:
    files = sorted(_visible(root))
    found = [file for file in files if file.suffix.lower() in _PARQUET_ENDINGS]
    if not found:
        raise UnreadableFileError(_no_parquet(root), "Give one file, or a folder of Parquet files.")
    return found


def _visible(folder: Path) -> Iterator[Path]:
    """The files of the folder and of its partitions, hidden ones aside."""
    for path in folder.iterdir():
        if path.name.startswith((".", "_")):
            continue
        if path.is_file():
            yield path
        elif path.is_dir() and _is_partition(path):
            yield from _visible(path)


def _is_partition(folder: Path) -> bool:
    return "=" in folder.name.strip("=")


def _no_parquet(root: Path) -> str:
    names = sorted(path.name + "/" * path.is_dir() for path in root.iterdir() if not path.name.startswith((".", "_")))
    holds = f", but with {', '.join(names[:3])}{', ...' if len(names) > 3 else ''}" if names else ""
    return f"a folder without a .parquet file{holds}"


def _ignored_folders(root: Path) -> list[str]:
    ignored = sorted(
        path.name
        for path in root.iterdir()
        if path.is_dir() and not path.name.startswith((".", "_")) and not _is_partition(path)
    )
    if not ignored:
        return []
    return [f"Subfolders are read only if they are named name=value, so not {ignored[0]!r}."]


def _with_partitions(frame: pl.DataFrame, place: Path) -> pl.DataFrame:
    """The frame with the columns that the names of its folders give; a column in the file itself comes first."""
    given = [folder.partition("=") for folder in place.parts[:-1]]
    columns = {
        name: pl.lit(None if value == _HIVE_MISSING else value, pl.String)
        for name, _, value in given
        if name not in frame.columns
    }
    return frame.with_columns(**columns)
