"""Tables from a user's files: Parquet, CSV, JSON lines, Arrow, or a folder of Parquet."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import polars as pl

from feature_store._delta import open_table
from feature_store.data_errors import DataError, is_library_failure

_PARQUET = "a Parquet file or folder (or .csv, .jsonl, .ndjson, .arrow, .feather)"


_MOST_ROWS_A_BYTE = 100
"""Rows that name users or items take more room than this, however well they are packed."""


def read_parquet_table(path: str, *, table: str) -> pl.DataFrame:
    """The rows of a Parquet file, a folder of Parquet files, a Delta table, or a .csv, .jsonl, .ndjson,
    .arrow or .feather file.

    CSV has no dtypes: `cancels` and columns named `..._id` are read as text there, so that "007" stays as it is; the
    others as what all of their rows look like. An object store's URL is handed to polars as it is.

    Raises:
        DataError: nothing is there, it cannot be read as what its name says, or it has no rows. `table` names it in
            the message.
    """
    if "://" not in path and not os.path.exists(path):
        raise _refusal(table, f"nothing at {path!r}", "Check the path; it starts from the working folder.")
    if "://" not in path and os.path.isfile(path) and os.path.getsize(path) == 0:
        raise _refusal(table, f"an empty file at {path!r}", "Check what was to write it.")
    try:
        frame = _reader(path, table)(path)
    except BaseException as error:
        if not is_library_failure(error):
            raise
        cause = str(error).partition("\n")[0]
        remedy = "Write the file again, or name it as what it is."
        raise _refusal(table, f"{path!r}, which cannot be read ({cause})", remedy) from error
    if frame.is_empty():
        raise _refusal(table, f"{path!r} without rows", "Check the query that it comes from.")
    return frame


def _reader(path: str, table: str) -> Callable[[str], pl.DataFrame]:
    if os.path.isdir(os.path.join(path, "_delta_log")):
        return _read_delta
    if os.path.isdir(path):
        return lambda folder: _read_folder(folder, table)
    readers = {".csv": _read_csv, ".jsonl": _read_json_lines, ".ndjson": _read_json_lines}
    readers |= {".arrow": _read_arrow, ".feather": _read_arrow}
    return readers.get(Path(path).suffix.lower(), _read_file)


def _read_file(path: str) -> pl.DataFrame:
    if os.path.exists(path):
        _check_claim(path)
    return pl.read_parquet(path, glob=False)


def _check_claim(path: str) -> None:
    """Raises OSError where the metadata name far more rows than the file can hold: room would be made for all."""
    n_rows, size = pl.scan_parquet(path, glob=False).select(pl.len()).collect().item(), os.path.getsize(path)
    if n_rows > size * _MOST_ROWS_A_BYTE:
        raise OSError(f"it claims {n_rows:,} rows in {size:,} bytes")


def _read_folder(folder: str, table: str) -> pl.DataFrame:
    files = sorted(Path(folder).glob("*.parquet"))
    if not files:
        raise _refusal(table, f"the folder {folder!r} without a .parquet file", "Name the folder that holds the files.")
    for file in files:
        _check_claim(str(file))
    return pl.read_parquet(files, glob=False)


def _read_delta(folder: str) -> pl.DataFrame:
    delta = open_table(str(Path(folder).absolute()), storage_options=None)
    if delta is None:
        raise FileNotFoundError("the folder's Delta log names no table")
    return pl.scan_delta(delta).collect()


def _read_csv(path: str) -> pl.DataFrame:
    names = pl.scan_csv(path, infer_schema=False, glob=False).collect_schema().names()
    ids = {name: pl.String() for name in names if name.endswith("_id") or name == "cancels"}
    return pl.read_csv(path, schema_overrides=ids, infer_schema_length=None, glob=False)


def _read_json_lines(path: str) -> pl.DataFrame:
    return pl.read_ndjson(path, infer_schema_length=None)


def _read_arrow(path: str) -> pl.DataFrame:
    return pl.read_ipc(path)


def _refusal(table: str, got: str, remedy: str) -> DataError:
    return DataError(f"{table}.path: expected {_PARQUET}, got {got}. {remedy}")
