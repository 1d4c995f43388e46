"""Reads a user's table from Parquet, CSV, JSON lines, Arrow, a folder of Parquet files, or a Delta table."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path

import polars as pl

from feature_store._delta import open_table
from feature_store.data_errors import DataError, is_library_failure

_EXPECTED = "a Parquet file or folder (or .csv, .jsonl, .ndjson, .arrow, .feather)"
_MAX_ROWS_PER_BYTE = 100
"""Files claiming more are refused: rows that hold user or item ids never compress this well."""


def read_table(path: str, *, table: str) -> pl.DataFrame:
    """The rows of a Parquet file, a folder of Parquet files, a Delta table, or a .csv, .jsonl, .ndjson, .arrow or
    .feather file.

    CSV has no dtypes: `cancels` and columns named `..._id` are read as text, so that "007" keeps its zeros; the dtypes
    of the others are inferred from all rows. The URL of an object store is passed to polars unchanged.

    Raises:
        DataError: the path does not exist, the file is not of the format that its name indicates, or it has no rows.
            The message names `table`.
    """
    if "://" not in path and not os.path.exists(path):
        raise _refusal(table, f"nothing at {path!r}", "Check the path, which is relative to the working directory.")
    if "://" not in path and os.path.isfile(path) and os.path.getsize(path) == 0:
        raise _refusal(table, f"an empty file at {path!r}", "Check how the file was written.")
    try:
        frame = _reader(path, table)(path)
    except BaseException as error:
        if not is_library_failure(error):
            raise
        cause = str(error).partition("\n")[0]
        remedy = "Write the file again, or correct its extension."
        raise _refusal(table, f"{path!r}, which cannot be read ({cause})", remedy) from error
    if frame.is_empty():
        raise _refusal(table, f"{path!r} without rows", "Check the query that produced it.")
    return frame


def _reader(path: str, table: str) -> Callable[[str], pl.DataFrame]:
    if os.path.isdir(os.path.join(path, "_delta_log")):
        return _read_delta
    if os.path.isdir(path):
        return lambda folder: _read_folder(folder, table)
    return _READERS.get(Path(path).suffix.lower(), _read_file)


def _read_file(path: str) -> pl.DataFrame:
    if os.path.exists(path):
        _check_row_count(path)
    return pl.read_parquet(path, glob=False)


def _check_row_count(path: str) -> None:
    """Raises OSError if the metadata claims more rows than the file can hold: reading would allocate memory for all."""
    n_rows = pl.scan_parquet(path, glob=False).select(pl.len()).collect().item()
    n_bytes = os.path.getsize(path)
    if n_rows > n_bytes * _MAX_ROWS_PER_BYTE:
        raise OSError(f"it claims {n_rows:,} rows in {n_bytes:,} bytes")


def _read_folder(folder: str, table: str) -> pl.DataFrame:
    files = sorted(Path(folder).glob("*.parquet"))
    if not files:
        raise _refusal(
            table, f"the folder {folder!r} without a .parquet file", "Give the folder that contains the files."
        )
    for file in files:
        _check_row_count(str(file))
    return pl.read_parquet(files, glob=False)


def _read_delta(folder: str) -> pl.DataFrame:
    delta = open_table(str(Path(folder).absolute()), storage_options=None)
    if delta is None:
        raise FileNotFoundError("the folder's Delta log describes no table")
    return pl.scan_delta(delta).collect()


def _read_csv(path: str) -> pl.DataFrame:
    names = pl.scan_csv(path, infer_schema=False, glob=False).collect_schema().names()
    ids = {name: pl.String() for name in names if name.endswith("_id") or name == "cancels"}
    return pl.read_csv(path, schema_overrides=ids, infer_schema_length=None, glob=False)


def _read_json_lines(path: str) -> pl.DataFrame:
    return pl.read_ndjson(path, infer_schema_length=None)


def _read_arrow(path: str) -> pl.DataFrame:
    return pl.read_ipc(path)


_READERS: Mapping[str, Callable[[str], pl.DataFrame]] = {
    ".csv": _read_csv,
    ".jsonl": _read_json_lines,
    ".ndjson": _read_json_lines,
    ".arrow": _read_arrow,
    ".feather": _read_arrow,
}


def _refusal(table: str, got: str, remedy: str) -> DataError:
    return DataError(f"{table}.path: expected {_EXPECTED}, got {got}. {remedy}")
