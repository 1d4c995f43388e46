"""Writes rows with their scores as Parquet, Arrow, CSV or JSON lines, a table after the other."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from pathlib import Path
from typing import IO, Any

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
from pyarrow import ipc

from feature_store import DataError
from feature_store.files.arrow_columns import as_polars
from feature_store.files.delimited_text import COMMA, TAB
from feature_store.files.text_blocks import create_text
from recmem.batch.candidate_files import COMPRESSION
from recmem.batch.file_formats import FileFormat, Kind

_TIME = "%Y-%m-%dT%H:%M:%S%.f"
_TIME_IN_UTC = f"{_TIME}Z"

Write = Callable[[pa.Table], None]


@contextmanager
def rows_writer(path: Path, file_format: FileFormat, schema: pa.Schema, scores: set[str]) -> Iterator[Write]:
    """A function that adds rows of this schema to a new file; `scores` names the columns that hardly ever repeat."""
    if file_format.kind is Kind.PARQUET:
        with _parquet_writer(path, schema, scores) as parquet:
            yield parquet.write_table
    elif file_format.is_text:
        with create_text(path, file_format.compression) as file:
            yield _text_writer(file, file_format.kind, schema)
    else:
        plain = pa.schema([pa.field(field.name, _decoded(field.type)) for field in schema])
        options = ipc.IpcWriteOptions(compression=COMPRESSION)
        create = ipc.new_file if file_format.kind is Kind.ARROW else ipc.new_stream
        with pa.OSFile(str(path), "wb") as sink, create(sink, plain, options=options) as arrow:
            # A file of record batches has one dictionary for all of them, which chunks do not share.
            yield lambda table: arrow.write_table(table.cast(plain))


def check_writable(file_format: FileFormat, schema: pa.Schema) -> None:
    """Raises DataError for a column that the format cannot hold: before anything is scored."""
    if not file_format.is_text:
        return
    empty = as_polars(schema.empty_table())[0]
    for field in schema:
        if field.name not in empty.columns or not _is_text_type(empty.schema[field.name]):
            remedy = "Drop or cast it, or write Parquet."
            expected = f"columns that {file_format.kind} can hold"
            raise DataError(f"out: expected {expected}, got {field.name} of {field.type}. {remedy}")


def _is_text_type(dtype: pl.DataType) -> bool:
    if dtype in (pl.Binary, pl.Object):
        return False
    if isinstance(dtype, pl.Struct):
        return all(_is_text_type(_instance(field.dtype)) for field in dtype.fields)
    if isinstance(dtype, pl.List | pl.Array):
        return _is_text_type(_instance(dtype.inner))
    return True


def _instance(dtype: Any) -> pl.DataType:
    return pl.Series([], dtype=dtype).dtype


def _parquet_writer(path: Path, schema: pa.Schema, scores: set[str]) -> pq.ParquetWriter:
    # Scores hardly ever repeat: a dictionary of them would take most of the time, and more space.
    use_dictionary: bool | list[str] = [name for name in schema.names if name not in scores]
    if any(pa.types.is_nested(field.type) for field in schema):
        # Parquet names the leaves of nested columns otherwise, so columns cannot be listed.
        use_dictionary = True
    return pq.ParquetWriter(path, schema, compression=COMPRESSION, use_dictionary=use_dictionary)


def _decoded(kind: pa.DataType) -> pa.DataType:
    return kind.value_type if pa.types.is_dictionary(kind) else kind


def _text_writer(file: IO[bytes], kind: Kind, schema: pa.Schema) -> Write:
    if kind is Kind.JSON_LINES:
        # Polars writes null for NaN and infinity.
        return lambda table: _with_plain_text(as_polars(table)[0]).write_ndjson(file)
    separator = COMMA if kind is Kind.CSV else TAB
    # The header now, so that a file without rows has one too.
    _as_csv(as_polars(schema.empty_table())[0]).write_csv(file, separator=separator)

    def write(table: pa.Table) -> None:
        _as_csv(as_polars(table)[0]).write_csv(file, separator=separator, include_header=False)

    return write


def _as_csv(frame: pl.DataFrame) -> pl.DataFrame:
    """The frame with cells that CSV holds: times as ISO 8601, lists and objects as JSON."""
    nested = [_json_texts(frame[name]) for name, dtype in frame.schema.items() if dtype.is_nested()]
    return _with_plain_text(frame).with_columns(nested)


def _json_texts(cells: pl.Series) -> pl.Series:
    texts = [
        None if cell is None else json.dumps(cell, default=_json_cell, ensure_ascii=False) for cell in cells.to_list()
    ]
    return pl.Series(cells.name, texts, pl.String)


def _with_plain_text(frame: pl.DataFrame) -> pl.DataFrame:
    """The frame with times as ISO 8601, and categories and exact decimals as text."""
    columns = []
    for name, dtype in frame.schema.items():
        if isinstance(dtype, pl.Datetime):
            zoned = dtype.time_zone is not None
            column = frame[name].dt.convert_time_zone("UTC") if zoned else frame[name]
            columns.append(column.dt.to_string(_TIME_IN_UTC if zoned else _TIME))
        elif isinstance(dtype, pl.Duration):
            columns.append(frame[name].dt.to_string("iso"))
        elif dtype in (pl.Categorical, pl.Enum, pl.Date, pl.Time, pl.Decimal):
            columns.append(frame[name].cast(pl.String))
    return frame.with_columns(columns)


def _json_cell(cell: object) -> object:
    if isinstance(cell, datetime | date | time):
        return cell.isoformat()
    if isinstance(cell, Decimal | timedelta):
        return str(cell)
    raise TypeError(f"cell: expected text, a number or a time, got {type(cell).__name__}. Cast the column.")
