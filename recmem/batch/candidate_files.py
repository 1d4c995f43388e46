"""Candidates in Parquet files: reading them, and finding out whether the rows of each query are next to each other."""

from __future__ import annotations

from collections import Counter
from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from feature_store import DataError
from feature_store.files.arrow_columns import as_polars, can_be_polars
from feature_store.timestamps import parse_timestamps

QUERY_COLUMNS = ("user_id", "timestamp", "impression_id")
"""Columns that identify a query."""
MAX_RUNS = 3_000_000
"""Runs of rows of one query that are kept to see whether a query comes back: some 100 MB."""
COMPRESSION = "zstd"
"""Compression of the Parquet files that this package writes."""

Hashes = NDArray[np.uint64]


@dataclass(frozen=True)
class CandidateFiles:
    """Parquet files with the same columns, read one after another; `schema` has them in the order of the first file."""

    files: tuple[Path, ...]
    schema: pa.Schema
    n_rows: int

    @classmethod
    def open(cls, path: str | Path) -> CandidateFiles:
        """The file, or a folder's .parquet files in order of their names. Raises DataError if they cannot be used."""
        files = _files(Path(path))
        schema, n_rows = _footer(files[0])
        for file in files[1:]:
            next_schema, next_n_rows = _footer(file)
            schema = _joint(schema, next_schema, files[0].name, file.name)
            n_rows += next_n_rows
        for name in (*QUERY_COLUMNS, "item_id", "history"):
            if name in schema.names and not can_be_polars(schema.field(name).type):
                remedy = "Cast it before you write the file."
                got = f"a column of {schema.field(name).type}"
                raise DataError(f"candidates.{name}: expected text, numbers or times, got {got}. {remedy}")
        return cls(files, schema, n_rows)

    def batches(self, rows: int, columns: list[str] | None = None) -> Generator[pa.RecordBatch, None, None]:
        """All rows in order, at most `rows` at a time; all columns, or the given ones."""
        names = self.schema.names if columns is None else columns
        schema = pa.schema([self.schema.field(name) for name in names])
        for file in self.files:
            try:
                with pq.ParquetFile(file) as opened:
                    batches = opened.iter_batches(batch_size=rows, columns=columns)
                    yield from (_in_schema(batch, schema) for batch in batches if batch.num_rows)
            except (pa.ArrowException, OSError) as error:
                if isinstance(error, OSError) and error.errno:
                    raise  # a failing drive, not a broken file
                raise _unreadable(file, error) from error

    def table(self) -> pa.Table:
        """All rows at once."""
        return pa.Table.from_batches(self.batches(max(self.n_rows, 1)), self.schema)

    def is_grouped(self, rows: int) -> bool:
        """Whether the rows of each query are next to each other. False if there are more than `MAX_RUNS` runs."""
        names = [name for name in QUERY_COLUMNS if name in self.schema.names]
        runs = [np.empty(0, np.uint64)]
        n_runs = 0
        last = None
        for batch in self.batches(rows, names):
            hashes = query_hashes(batch)
            # bool[row]: a run begins where the query is another than in the row before, also across batches.
            begins = np.ones(len(hashes), bool)
            begins[1:] = hashes[1:] != hashes[:-1]
            begins[:1] = hashes[:1] != last
            runs.append(hashes[begins])
            n_runs += len(runs[-1])
            last = hashes[-1]
            if n_runs > MAX_RUNS:
                return False
        return n_runs == len(np.unique(np.concatenate(runs)))

    def grouped(self, rows: int) -> Generator[pa.Table, None, None]:
        """Tables of whole queries with about `rows` rows, or of one longer query. Needs a file that `is_grouped`."""
        waiting: list[pa.RecordBatch] = []
        n_waiting = 0
        last = np.empty(0, np.uint64)
        for batch in self.batches(rows):
            hashes = query_hashes(batch)
            # Rows at which a query begins. `last` is the hash of the row before this batch; there is none at first.
            begins = np.flatnonzero(np.diff(np.concatenate([last, hashes]))) + 1 - len(last)
            last = hashes[-1:]
            cut = 0
            if len(begins) and n_waiting + len(hashes) >= rows:
                # The query that begins last may go on in the next batch.
                cut = int(begins[-1])
                yield pa.Table.from_batches([*waiting, batch.slice(0, cut)], self.schema)
                waiting = []
                n_waiting = 0
            waiting.append(batch.slice(cut))
            n_waiting += len(hashes) - cut
        if waiting:
            yield pa.Table.from_batches(waiting, self.schema)


def query_hashes(batch: pa.RecordBatch, *, seed: int = 0) -> Hashes:
    """A hash of each row's query: uint64[row], the same for the same query in all batches."""
    names = [name for name in QUERY_COLUMNS if name in batch.schema.names]
    keys = as_frame(pa.Table.from_batches([batch.select(names)]))
    # Categories have other codes in every batch, and one time can be written in several ways.
    comparable = keys.with_columns(pl.col(pl.Categorical, pl.Enum).cast(pl.String))
    if "timestamp" in comparable.columns and not comparable.schema["timestamp"].is_numeric():
        comparable = comparable.with_columns(parse_timestamps(comparable["timestamp"])[0])
    hashes: Hashes = comparable.select(pl.struct(pl.all()).hash(seed).alias("hash"))["hash"].to_numpy()
    return hashes


def as_frame(table: pa.Table) -> pl.DataFrame:
    """The columns of the table that polars can hold; scoring reads no others."""
    return as_polars(table)[0]


def read_by_scoring(schema: pa.Schema) -> list[str]:
    """The names of the columns that `as_frame` gives to scoring; others are only passed on."""
    return [field.name for field in schema if can_be_polars(field.type)]


def _joint(schema: pa.Schema, other: pa.Schema, name: str, other_name: str) -> pa.Schema:
    """The schema of two files: columns by name; a type may be missing (all null) in one of them."""
    lacking = [column for column in schema.names if column not in other.names]
    surplus = [column for column in other.names if column not in schema.names]
    if lacking or surplus:
        column = (lacking or surplus)[0]
        where = other_name if lacking else name
        expected = f"the same columns in all files, got different ones in {name} and {other_name}"
        raise _refusal(f"{expected}: {where} has no {column}", "Write all files with the same columns and types.")
    try:
        return pa.unify_schemas([schema, other])
    except (pa.ArrowInvalid, pa.ArrowTypeError) as error:
        differs = next(field for field in schema if not _can_join(field, other.field(field.name)))
        kinds = f"{differs.type} in {name} and {other.field(differs.name).type} in {other_name}"
        expected = f"the same types in all files, got {differs.name} as {kinds}"
        raise _refusal(expected, "Write all files with the same columns and types.") from error


def _can_join(field: pa.Field, other: pa.Field) -> bool:
    is_null = pa.types.is_null(field.type) or pa.types.is_null(other.type)
    return is_null or bool(field.type.equals(other.type))


def _in_schema(batch: pa.RecordBatch, schema: pa.Schema) -> pa.RecordBatch:
    """The batch with its columns in the order of the schema, and typed where all of this file were null."""
    if batch.schema.equals(schema):
        return batch
    columns = [batch.column(field.name) for field in schema]
    typed = [
        pa.nulls(batch.num_rows, field.type) if pa.types.is_null(column.type) else column
        for column, field in zip(columns, schema, strict=True)
    ]
    return pa.RecordBatch.from_arrays(typed, schema=schema)


def _files(path: Path) -> tuple[Path, ...]:
    if (path / "_delta_log").exists():
        remedy = "Export its rows as Parquet: a Delta folder also holds files of older versions."
        raise _refusal(f"Parquet, got a Delta table at {str(path)!r}", remedy)
    # Hidden files and those with an underscore are what systems leave beside the data, such as `._a.parquet`.
    inside = sorted(file for file in path.glob("*.parquet") if not file.name.startswith((".", "_")))
    files = tuple(inside) if path.is_dir() else (path,)
    if not files:
        raise _refusal(
            f"Parquet, got the folder {str(path)!r} without a .parquet file", "Give the folder that holds the files."
        )
    if not path.exists():
        raise _refusal(
            f"a Parquet file, got nothing at {str(path)!r}",
            "Check the path, which is relative to the working directory.",
        )
    return files


def _footer(file: Path) -> tuple[pa.Schema, int]:
    try:
        with pq.ParquetFile(file) as opened:
            schema = opened.schema_arrow.remove_metadata()
            n_rows = opened.metadata.num_rows
    except (pa.ArrowException, OSError) as error:
        raise _unreadable(file, error) from error
    names = Counter(schema.names)
    twice = [name for name, n in names.items() if n > 1]
    if twice:
        raise _refusal(f"every column once, got {', '.join(twice)} twice in {file.name}", "Rename one of the two.")
    return schema, n_rows


def _unreadable(file: Path, error: Exception) -> DataError:
    cause = str(error).partition("\n")[0]
    return _refusal(f"a Parquet file, got {str(file)!r}, which cannot be read ({cause})", "Write the file as Parquet.")


def _refusal(expected: str, remedy: str) -> DataError:
    return DataError(f"candidates.path: expected {expected}. {remedy}")
