"""Candidates of other formats than Parquet: checked, typed and written as Parquet files, block by block.

Scoring reads its file two or three times and in pieces of any length, which text cannot be read in. So text and Arrow
are read once, from beginning to end, and kept as Parquet in a temporary folder meanwhile.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import cast

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
from pyarrow import ipc

from feature_store import DataError
from feature_store.files.delimited_text import COMMA, TAB, Header, read_header, rows_as_text
from feature_store.files.file_content import Text, UnreadableFileError
from feature_store.files.file_rows import BadLine, described, unreadable_lines
from feature_store.files.json_rows import read_json
from feature_store.files.text_blocks import text_blocks
from feature_store.schema import Column, Table
from feature_store.timestamps import TIMESTAMP
from recmem.batch.file_formats import FileFormat, Kind
from recmem.batch.text_types import CellTypes, in_type, joint_type

CANDIDATES = Table(
    "candidates",
    (
        Column("user_id", pl.String(), required=True),
        Column("item_id", pl.String(), required=True),
        Column("timestamp", TIMESTAMP),
        Column("impression_id", pl.String()),
        Column("history", pl.String()),
    ),
    identity=(),
    keeps_extra=True,
)
"""The columns that a header is recognised by."""
COMPRESSION = "lz4"
"""Of the files that are written and read once or twice."""
BATCH_ROWS = 100_000
_HISTORY = "history"

Warn = Callable[[str], None]


def spool(path: Path, file_format: FileFormat, folder: Path, *, warn: Warn) -> None:
    """Writes the rows of the file to Parquet files in the empty folder, in their order and with one schema.

    Every row has to be readable: a line that is not raises DataError with its number. `warn` is called with what was
    read but looks wrong, a sentence or two each. Raises UnreadableFileError for a file of another format.
    """
    if file_format.kind in (Kind.ARROW, Kind.ARROW_STREAM):
        _spool_arrow(path, folder)
    elif file_format.kind is Kind.JSON_LINES:
        _spool_json(path, file_format.compression, folder, warn)
    else:
        separator = COMMA if file_format.kind is Kind.CSV else TAB
        _spool_delimited(path, file_format.compression, folder, separator, warn)


def _spool_delimited(path: Path, compression: str, folder: Path, separator: str, warn: Warn) -> None:
    header: Header | None = None
    types: CellTypes | None = None
    parts: list[Path] = []
    line = 1
    for block in text_blocks(path, compression, has_quotes=True):
        if header is None:
            header = read_header(Text(block, {}, ()), CANDIDATES, separator=separator)
            for warning in header.warnings:
                warn(warning)
        else:
            header = Header(header.names, header.separator, block.rstrip(b"\r\n"), line, ())
        rows = rows_as_text(header, {})
        _refuse_bad(rows.records.bad, "Correct it: every row has to be scored.")
        types = types or CellTypes(rows.frame.columns)
        types.see(rows.frame)
        parts.append(_write_part(folder, len(parts), _with_lists(rows.frame, rows.lines)))
        line += block.count(b"\n")
    if header is None or types is None:
        raise UnreadableFileError("it is empty", "Check how it was written.")
    for part in parts:
        frame = _read_part(part)
        _write(part, types.typed(frame).to_arrow())


def _with_lists(frame: pl.DataFrame, lines: pl.Series) -> pl.DataFrame:
    """The frame with its histories, which CSV holds as JSON, as lists of text."""
    if _HISTORY not in frame.columns:
        return frame
    cells = frame[_HISTORY]
    lists = [None if cell is None else _ids(cell) for cell in cells]
    bad = next((row for row, ids in enumerate(lists) if ids is None and cells[row] is not None), None)
    if bad is not None:
        remedy = "Write it as JSON within quotes, its own quotes doubled, or write the file as JSON lines."
        expected = """a JSON list of item ids, such as ["a", "b"]"""
        got = f"{cells[bad][:60]!r} in line {lines[bad]:,}"
        raise DataError(f"candidates.{_HISTORY}: expected {expected}, got {got}. {remedy}")
    return frame.with_columns(pl.Series(_HISTORY, lists, pl.List(pl.String)))


def _ids(cell: str) -> list[str | None] | None:
    """The ids of a JSON list; None if the text is none."""
    try:
        found = json.loads(cell)
    except (ValueError, RecursionError):
        return None
    if not isinstance(found, list) or not all(isinstance(one, str | int) or one is None for one in found):
        return None
    return [None if one is None else str(one) for one in found]


def _spool_json(path: Path, compression: str, folder: Path, warn: Warn) -> None:
    parts: list[Path] = []
    line = 1
    for block in text_blocks(path, compression, has_quotes=False):
        if not parts and block.lstrip()[:1] == b"[":
            raise UnreadableFileError("it is a JSON array", "Write one object per line.")
        rows = read_json(Text(block, {}, ()), CANDIDATES)
        bad = [BadLine(number + line - 1, reason, text) for number, reason, text in rows.unreadable.iter_rows()]
        _refuse_bad(bad, "Correct it: every row has to be scored.")
        for warning in rows.warnings:
            warn(warning)
        parts.append(_write_part(folder, len(parts), _storable(rows.frame)))
        line += block.count(b"\n")
    if not parts:
        raise UnreadableFileError("it is empty", "Check how it was written.")
    schemas = [pq.read_schema(part) for part in parts]
    types: dict[str, pa.DataType] = {}
    for schema in schemas:
        for field in schema:
            types[field.name] = joint_type(field.name, types.get(field.name, pa.null()), field.type)
    joint = pl.from_arrow(pa.schema(list(types.items())).empty_table())
    for part, schema in zip(parts, schemas, strict=True):
        if [(field.name, field.type) for field in schema] != list(types.items()):
            _write(part, _in_schema(_read_part(part), cast(pl.DataFrame, joint)).to_arrow())


def _storable(frame: pl.DataFrame) -> pl.DataFrame:
    """The frame with whole numbers beyond 64 bits as text: Parquet has no such numbers."""
    return frame.with_columns(pl.col(pl.Int128).cast(pl.String))


def _in_schema(frame: pl.DataFrame, joint: pl.DataFrame) -> pl.DataFrame:
    columns = []
    for name, dtype in joint.schema.items():
        missing = pl.repeat(None, frame.height, dtype=pl.Null, eager=True).alias(name)
        columns.append(in_type(frame[name] if name in frame.columns else missing, dtype))
    return pl.DataFrame(columns)


def _refuse_bad(bad: list[BadLine], remedy: str) -> None:
    if bad:
        lines = unreadable_lines(bad)
        first = described(BadLine(*lines.row(0)))
        n_more = len(bad) - 1
        more = "" if not n_more else ", and 1 more line" if n_more == 1 else f", and {n_more:,} more lines"
        raise DataError(f"candidates.path: expected rows that can all be read, got {first}{more}. {remedy}")


def _spool_arrow(path: Path, folder: Path) -> None:
    with pa.memory_map(str(path)) as source:
        is_file = source.read(6) == b"ARROW1"
        source.seek(0)
        reader = ipc.open_file(source) if is_file else ipc.open_stream(source)
        odd = next((field for field in reader.schema if not _fits_parquet(field)), None)
        if odd is not None:
            remedy = "Cast or drop it, or write the file as Parquet."
            raise DataError(
                f"candidates.{odd.name}: expected a column that Parquet can hold, got one of {odd.type}. {remedy}"
            )
        with pq.ParquetWriter(folder / "part-0.parquet", reader.schema, compression=COMPRESSION) as writer:
            for batch in _batches(reader, is_file=is_file):
                # Malformed files can hold text that is not UTF-8, or offsets beyond their data.
                batch.validate(full=True)
                for first in range(0, batch.num_rows, BATCH_ROWS):
                    writer.write_batch(batch.slice(first, BATCH_ROWS))


def _batches(reader: ipc.RecordBatchFileReader, *, is_file: bool) -> Iterator[pa.RecordBatch]:
    if is_file:
        yield from (reader.get_batch(number) for number in range(reader.num_record_batches))
    else:
        yield from reader


def _fits_parquet(field: pa.Field) -> bool:
    sink = pa.BufferOutputStream()
    try:
        pq.write_table(pa.schema([field]).empty_table(), sink)
    except (pa.ArrowException, NotImplementedError):
        return False
    return True


def _write_part(folder: Path, number: int, frame: pl.DataFrame) -> Path:
    path = folder / f"part-{number:06}.parquet"
    _write(path, frame.to_arrow())
    return path


def _write(path: Path, table: pa.Table) -> None:
    pq.write_table(table, path, compression=COMPRESSION)


def _read_part(path: Path) -> pl.DataFrame:
    return cast(pl.DataFrame, pl.from_arrow(pq.read_table(path)))
